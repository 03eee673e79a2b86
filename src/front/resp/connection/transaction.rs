//! MULTI to EXEC: what is queued, and how it is done.

use std::collections::VecDeque;
use std::sync::Arc;

use super::steps::flushed;
use super::{Connection, End, Group, Slot, help};
use crate::appliance::caller::as_caller;
use crate::appliance::requests::Command;
use crate::front::resp::asked::{Ask, Asked, Shape};
use crate::front::resp::encode::words;
use crate::front::resp::multi::{Queued, turned_away};
use crate::front::resp::reply::Reply;
use crate::front::resp::request::Request;
use crate::front::resp::writer::Writer;

impl Connection {
    /// Queues a request of a transaction; false for those that are done at once.
    pub(super) fn queue(&mut self, request: &Request, asked: &Asked, group: &mut Group) -> bool {
        let queued = match asked {
            // Within a transaction nobody waits.
            Asked::Data(ask) | Asked::Wait(ask, _) => Queued::Ask(Box::new(ask.clone())),
            Asked::Text(lines) => Queued::Ready(help(lines)),
            Asked::Connection => match request.word().as_str() {
                "EXEC" | "DISCARD" | "MULTI" | "RESET" | "QUIT" => return false,
                "FLUSHALL" | "FLUSHDB" => match flushed(request, self.session.db) {
                    // Nobody comes in between, so it goes in one piece.
                    Ok(db) => Queued::Ask(Box::new(Ask {
                        command: Command::Flush { db, limit: usize::MAX },
                        shape: Shape::Ok,
                    })),
                    Err(reply) => Queued::Ready(reply),
                },
                // Nobody else sees it: what it changes may change now.
                word => Queued::Ready(self.of_connection(word, request)),
            },
        };
        let Some(multi) = &mut self.session.multi else { return false };
        let reply = multi.add(request, queued);
        group.slots.push_back(Slot::Ready(reply, self.session.protocol));
        true
    }

    pub(super) async fn exec(&mut self) -> Result<(), End> {
        let Some(multi) = self.session.multi.take() else {
            self.reply(&Reply::error("ERR EXEC without MULTI"));
            return Ok(());
        };
        if multi.broken {
            (self.session.db, self.session.protocol) = multi.before;
            let text = "EXECABORT Transaction discarded because of previous errors.";
            self.reply(&Reply::error(text));
            return Ok(());
        }
        let protocol = self.session.protocol;
        let (mut commands, mut slots) = (Vec::new(), VecDeque::new());
        for queued in multi.queued {
            slots.push_back(match queued {
                Queued::Ask(ask) => {
                    self.stand_for(&ask.command);
                    commands.push(ask.command);
                    Slot::Data(ask.shape, protocol)
                }
                Queued::Ready(reply) => Slot::Ready(reply, protocol),
            });
        }
        let flushes = commands.iter().any(|command| matches!(command, Command::Flush { .. }));
        let asked = self.ask(commands, true);
        let answers = match flushes {
            true => as_caller(Arc::new(self.session.caller("EXEC of FLUSHDB")), asked).await,
            false => asked.await,
        };
        if let Some(refusal) = turned_away(&answers) {
            (self.session.db, self.session.protocol) = multi.before;
            let why = words(refusal, &Shape::Plain);
            let text = [b"EXECABORT Transaction discarded because of: ", &why[..]].concat();
            self.reply(&Reply::error(text));
            return Ok(());
        }
        Writer::new(&mut self.socket.output, protocol).array(slots.len());
        self.write(slots, answers).await
    }
}
