//! Taking a run into the buffer: its head, its place in the queue of its env and its key, nothing
//! else. Everything that can be refused is refused here: what is accepted becomes a run.

use crate::base::name::Name;
use crate::base::time::Span;
use crate::ledger::runs::save;
use crate::ledger::runs::submit::{self, Begun, Receipt, Submit};
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::run::Run;
use crate::store::fault::Stop;
use crate::store::kinds::buffered::{self, Entry};
use crate::store::kinds::count;
use crate::store::kinds::run::Body;
use crate::store::tx::Tx;

/// What an entry counts for beyond payload and context: its head and its rows.
pub const HEAD_BYTES: u64 = 512;

/// What the buffer takes before it refuses.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    pub env_max: u64,
    pub total_max: u64,
    pub env_bytes_max: u64,
    pub total_bytes_max: u64,
    /// When whoever is refused may come again.
    pub retry_after: Span,
}

/// What a request for a run came to.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub receipt: Receipt,
    /// Runs of its env that wait by now, if it went into the buffer.
    pub waiting: Option<u64>,
}

/// Takes a run into the buffer. A run whose caller waits for its delivery is made at once.
pub fn accept(tx: &mut Tx<'_>, mut command: Submit, caps: &Caps) -> Result<Accepted, Stop> {
    let task = match submit::begin(tx, &command)? {
        Begun::Known(run) => {
            let receipt = Receipt { run: *run, cached: true, flush: false };
            return Ok(Accepted { receipt, waiting: None });
        }
        Begun::New(task) if submit::is_sync(&task) => {
            return Ok(Accepted { receipt: submit::create(tx, command, &task)?, waiting: None });
        }
        Begun::New(task) => task,
    };
    let bytes = size_of(&command.body);
    let env = (&command.org, &command.env);
    let before = check_room(tx, env, Load { entries: 1, bytes }, caps)?;
    count::move_buffered(tx, env, 1, bytes as i64);
    let body = std::mem::take(&mut command.body);
    let mut run = submit::build(tx, command, &body, &task);
    run.buffered = true;
    submit::put_input(tx, &run, &body);
    let run = keep(tx, run, bytes);
    let receipt = Receipt { run, cached: false, flush: false };
    Ok(Accepted { receipt, waiting: Some(before + 1) })
}

/// Writes the entry of a run that there is room for. Its input is kept by the caller, who has also
/// counted what it takes up.
pub fn keep(tx: &mut Tx<'_>, run: Run, bytes: u64) -> Run {
    save::count_new(tx, &run);
    save::set_timers(tx, None, &run);
    buffered::enqueue(tx, &run);
    let entry = Entry { run, bytes, attempts: 0, waits_until: None, last_error: None };
    buffered::put(tx, &entry);
    tx.notify(Notice::Buffer);
    entry.run
}

/// What an entry with this body counts for.
pub fn size_of(body: &Body) -> u64 {
    let parts = [&body.payload, &body.context];
    HEAD_BYTES + parts.into_iter().flatten().map(|part| part.len() as u64).sum::<u64>()
}

/// What is to be taken in one go.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub entries: u64,
    pub bytes: u64,
}

/// How many runs of the env wait, if there is room for all of that.
pub fn check_room(
    tx: &Tx<'_>,
    (org, env): (&Name, &Name),
    Load { entries, bytes }: Load,
    caps: &Caps,
) -> Result<u64, Stop> {
    let total = stands_at(tx.counter(&count::buffered())?);
    let refuse = |what: String| {
        let message = format!("the buffer is full: {what}; nothing was taken");
        Err(Refusal::new(Code::LimitBuffer, message).retry_after(caps.retry_after).into())
    };
    if total + entries > caps.total_max {
        return refuse(format!("{total} runs wait, in all at most {}", caps.total_max));
    }
    let total_bytes = stands_at(tx.counter(&count::buffered_bytes())?) + bytes;
    if total_bytes > caps.total_bytes_max {
        let most = caps.total_bytes_max;
        return refuse(format!("with this {total_bytes} bytes would wait, in all at most {most}"));
    }
    let of_env = stands_at(tx.counter(&count::buffered_of(org, env))?);
    // A single run always fits into an env of which nothing waits.
    if of_env == 0 && entries == 1 {
        return Ok(0);
    }
    let name = format!("`{org}/{env}`");
    if of_env + entries > caps.env_max {
        return refuse(format!("{of_env} runs of {name} wait, at most {}", caps.env_max));
    }
    let env_bytes = stands_at(tx.counter(&count::buffered_bytes_of(org, env))?) + bytes;
    if env_bytes > caps.env_bytes_max {
        let most = caps.env_bytes_max;
        return refuse(format!("with this {env_bytes} bytes of {name} would wait, at most {most}"));
    }
    Ok(of_env)
}

fn stands_at(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
