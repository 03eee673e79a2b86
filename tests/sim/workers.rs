//! Workers that pull: they read, hold, acknowledge, give back, fail, claim from each other, die
//! and come back, and answer late for what was taken from them. A process whose connection is
//! gone may go on working: its answers come as those of nobody.

use bytes::Bytes;
use tidegate::base::entropy::Entropy;
use tidegate::base::id::RunId;
use tidegate::base::time::{Span, Time};
use tidegate::engine::parked::Token;
use tidegate::ledger::keys::command::{self as ask, AutoClaim, Claim, Delivered, ReadGroup, Refs};
use tidegate::model::refusal::Code;
use tidegate::model::stream::{GroupStart, KeyName, StreamId};

use crate::command::{Answer, Command, Said};
use crate::entries::run_of;
use crate::mix::{Mix, once_in, one};
use crate::streams::{GROUPS, PLAIN, PULL, all_groups, group};

#[derive(Clone, Copy, Debug)]
enum Act {
    Read,
    Wait,
    ReadOwn,
    Ack,
    AckAll,
    AckDelete,
    Nack,
    Complete,
    Fail,
    Heartbeat,
    Forget,
    Claim,
    AutoClaim,
    Die,
    Late,
}

impl Act {
    fn is_answer(self) -> bool {
        use Act::{Ack, AckAll, AckDelete, Complete, Fail, Forget, Heartbeat, Nack};
        matches!(self, Ack | AckAll | AckDelete | Nack | Complete | Fail | Heartbeat | Forget)
    }
}

/// An entry that a worker was given.
#[derive(Clone, Debug)]
pub struct Held {
    pub key: KeyName,
    pub group: Bytes,
    pub id: StreamId,
    /// The run and its fence, when it is one.
    pub run: Option<(RunId, u32)>,
}

struct Worker {
    name: Bytes,
    /// Counts its lives: answers to an earlier one are not heard.
    life: u32,
    up: bool,
    /// Since when its present connection is known.
    since: Option<Time>,
    held: Vec<Held>,
    /// It waits for something to read.
    waiting: Option<Token>,
    /// A request of it is under way, once all is well.
    busy: bool,
}

/// What a worker wants next.
pub enum Wish {
    Ask(Command),
    /// It waits no longer.
    Leave(Token),
}

/// A worker and its life.
pub type Name = (usize, u32);

pub struct Workers {
    mix: Mix<Act>,
    all: Vec<Worker>,
    /// Held by processes that nobody knows to be alive.
    ghosts: Vec<Held>,
    tokens: Token,
    names: usize,
    /// A group was missing: it went with its stream.
    regroup: bool,
    /// The latest moment there ever was, by a clock that steps. What was delivered to an earlier
    /// life was delivered by then.
    latest: Time,
}

impl Workers {
    pub fn random(entropy: &mut Entropy) -> Workers {
        let always = [(Act::Read, 6), (Act::Ack, 3)];
        let sometimes = [
            (Act::Wait, 4),
            (Act::ReadOwn, 1),
            (Act::AckAll, 1),
            (Act::AckDelete, 1),
            (Act::Nack, 2),
            (Act::Complete, 3),
            (Act::Fail, 2),
            (Act::Heartbeat, 1),
            (Act::Forget, 1),
            (Act::Claim, 1),
            (Act::AutoClaim, 1),
            (Act::Die, 1),
            (Act::Late, 2),
        ];
        let mix = Mix::random(entropy, &always, &sometimes);
        let names = 2 + entropy.below(3) as usize;
        let worker = |n| Worker {
            name: Bytes::from(format!("w{n}")),
            life: 0,
            up: true,
            since: None,
            held: Vec::new(),
            waiting: None,
            busy: false,
        };
        let all = (0..names).map(worker).collect();
        Workers {
            mix,
            all,
            ghosts: Vec::new(),
            tokens: 0,
            names,
            regroup: false,
            latest: Time::ZERO,
        }
    }

    /// Whether a consumer of this name shows a sign of life, and since when.
    pub fn alive(&self, consumer: &[u8]) -> Option<Time> {
        let found = self.all.iter().find(|worker| worker.up && worker.name == consumer)?;
        found.since
    }

    /// What one of the workers does now.
    pub fn next(&mut self, entropy: &mut Entropy, now: Time) -> Option<(Name, Wish)> {
        let index = entropy.below(self.all.len() as u64) as usize;
        if !self.all[index].up {
            self.rise(index, entropy);
        }
        let worker = &mut self.all[index];
        worker.since.get_or_insert(now.max(self.latest));
        let name = (index, worker.life);
        if let Some(token) = worker.waiting {
            return match entropy.below(12) {
                0 => self.die(index, entropy).map(|token| (name, Wish::Leave(token))),
                1 | 2 => Some((name, Wish::Leave(token))),
                _ => None,
            };
        }
        let act = match self.mix.pick(entropy) {
            // Nothing to answer: it reads.
            act if self.all[index].held.is_empty() && act.is_answer() => Act::Read,
            act => act,
        };
        Some((name, Wish::Ask(self.act(index, act, entropy)?)))
    }

    fn act(&mut self, index: usize, act: Act, entropy: &mut Entropy) -> Option<Command> {
        let consumer = self.all[index].name.clone();
        Some(match act {
            Act::Read => {
                let start = GroupStart::New;
                keys(ask::Command::ReadGroup(some_read(&consumer, start, entropy)))
            }
            Act::ReadOwn => {
                let start = GroupStart::Own(StreamId::MIN);
                keys(ask::Command::ReadGroup(some_read(&consumer, start, entropy)))
            }
            Act::Wait => {
                let read = some_read(&consumer, GroupStart::New, entropy);
                self.wait(index, read)
            }
            Act::Die => {
                self.die(index, entropy);
                return None;
            }
            Act::Forget => {
                self.some_held(index, entropy)?;
                return None;
            }
            Act::AckAll => {
                let first = self.some_held(index, entropy)?;
                let held = &mut self.all[index].held;
                let same = |other: &Held| (&other.key, &other.group) == (&first.key, &first.group);
                let mut ids: Vec<StreamId> =
                    held.iter().filter(|held| same(held)).map(|held| held.id).collect();
                held.retain(|held| !same(held));
                ids.push(first.id);
                keys(ask::Command::Ack { key: first.key, group: first.group, ids })
            }
            Act::Claim => {
                let held = self.all.iter().flat_map(|worker| &worker.held).chain(&self.ghosts);
                let held: Vec<&Held> = held.collect();
                let wanted = (!held.is_empty()).then(|| one(entropy, &held))?.clone();
                keys(ask::Command::Claim(claim(&consumer, wanted, entropy)))
            }
            Act::AutoClaim => keys(ask::Command::AutoClaim(auto_claim(&consumer, entropy))),
            Act::Late => {
                let at = (!self.ghosts.is_empty())
                    .then(|| entropy.below(self.ghosts.len() as u64) as usize)?;
                let held = self.ghosts.swap_remove(at);
                answer(
                    one(entropy, &[Act::Ack, Act::Complete, Act::Fail, Act::Nack]),
                    held,
                    entropy,
                )
            }
            Act::Heartbeat => {
                let held = self.some_held(index, entropy)?;
                self.all[index].held.push(held.clone());
                let (run, fence) = held.run?;
                Command::Heartbeat(run, fence)
            }
            Act::Ack | Act::AckDelete | Act::Nack | Act::Complete | Act::Fail => {
                let held = self.some_held(index, entropy)?;
                answer(act, held, entropy)
            }
        })
    }

    fn some_held(&mut self, index: usize, entropy: &mut Entropy) -> Option<Held> {
        let held = &mut self.all[index].held;
        let at = (!held.is_empty()).then(|| entropy.below(held.len() as u64) as usize)?;
        Some(held.swap_remove(at))
    }

    fn wait(&mut self, index: usize, read: ReadGroup) -> Command {
        self.tokens += 1;
        self.all[index].waiting = Some(self.tokens);
        Command::Wait(Box::new(ask::Command::ReadGroup(read)), self.tokens)
    }

    /// The process ends, or only its connection; gives what it waited for.
    fn die(&mut self, index: usize, entropy: &mut Entropy) -> Option<Token> {
        let worker = &mut self.all[index];
        worker.up = false;
        worker.life += 1;
        worker.since = None;
        let held = std::mem::take(&mut worker.held);
        let waited = worker.waiting.take();
        if once_in(entropy, 2) {
            self.ghosts.extend(held);
        }
        waited
    }

    /// It comes back, under its old name or as someone new.
    fn rise(&mut self, index: usize, entropy: &mut Entropy) {
        if once_in(entropy, 3) {
            self.all[index].name = Bytes::from(format!("w{}", self.names));
            self.names += 1;
        }
        self.all[index].up = true;
    }

    /// Whether this life of the worker goes on.
    pub fn lives(&self, (index, life): Name) -> bool {
        self.all[index].up && self.all[index].life == life
    }

    /// The answer to a request of a worker.
    pub fn heard(&mut self, (index, life): Name, command: &Command, answer: &Answer) {
        let worker = &mut self.all[index];
        if !worker.up || worker.life != life {
            return;
        }
        worker.busy = false;
        if matches!(command, Command::Wait(..)) {
            worker.waiting = None;
        }
        let (Command::Keys(asked) | Command::Wait(asked, _)) = command else { return };
        let said = match answer {
            Ok(Said::Keys(said)) => said,
            Err(refusal) => {
                self.regroup |= refusal.code == Code::GroupNotFound;
                return;
            }
            Ok(_) => return,
        };
        match (&**asked, &**said) {
            (ask::Command::ReadGroup(read), ask::Answer::Read(found)) => {
                for (place, delivered) in found {
                    worker.take(&read.keys[*place].0, &read.group, delivered);
                }
            }
            (ask::Command::Claim(claim), ask::Answer::Claimed(claimed)) => {
                worker.take(&claim.key, &claim.group, claimed);
            }
            (ask::Command::AutoClaim(claim), ask::Answer::AutoClaimed { claimed, .. }) => {
                worker.take(&claim.key, &claim.group, claimed);
            }
            _ => {}
        }
    }

    /// A batch ran at this moment.
    pub fn saw(&mut self, now: Time) {
        self.latest = self.latest.max(now.plus(Span(1)));
    }

    /// The server went away: every connection is gone.
    pub fn hang_up(&mut self) {
        for worker in &mut self.all {
            worker.since = None;
            worker.waiting = None;
            worker.busy = false;
        }
    }

    /// From now on all of them live and work. What they forgot was forgotten by an earlier life.
    pub fn heal(&mut self, now: Time) -> Vec<Token> {
        self.ghosts.clear();
        self.regroup = true;
        let mut waited = Vec::new();
        for worker in &mut self.all {
            worker.up = true;
            worker.life += 1;
            worker.since = Some(now.max(self.latest));
            worker.held.clear();
            worker.busy = false;
            waited.extend(worker.waiting.take());
        }
        waited
    }

    /// What the workers do once all is well: everything that comes, as soon as it comes.
    pub fn work(&mut self, now: Time) -> Vec<(Name, Command)> {
        let mut wanted = Vec::new();
        for index in 0..self.all.len() {
            let worker = &mut self.all[index];
            worker.since.get_or_insert(now.max(self.latest));
            if worker.busy || worker.waiting.is_some() {
                continue;
            }
            worker.busy = true;
            let name = (index, worker.life);
            let command = match worker.held.pop() {
                Some(Held { run: Some((run, fence)), id, .. }) if id.ms % 2 == 0 => {
                    Command::Complete { run, output: None, fence: Some(fence) }
                }
                Some(Held { key, group, id, .. }) => {
                    keys(ask::Command::Ack { key, group, ids: vec![id] })
                }
                None => {
                    let consumer = self.all[index].name.clone();
                    let (group, pull) = if index % 2 == 0 { (0, &PULL[..]) } else { (1, &[][..]) };
                    let names = PLAIN.iter().chain(pull).map(|key| KeyName::of(key));
                    let keys = names.map(|key| (key, GroupStart::New)).collect();
                    self.wait(index, read(keys, GROUPS[group], &consumer, Some(3)))
                }
            };
            wanted.push((name, command));
        }
        wanted
    }

    /// Groups that must be there for [`Workers::work`], if one was missing.
    pub fn groups(&mut self) -> Vec<Command> {
        match std::mem::take(&mut self.regroup) {
            true => groups(),
            false => Vec::new(),
        }
    }
}

/// Groups that workers read from.
pub fn groups() -> Vec<Command> {
    all_groups().into_iter().map(keys).collect()
}

impl Worker {
    fn take(&mut self, key: &KeyName, group: &Bytes, delivered: &[Delivered]) {
        for item in delivered {
            let run = item.fields.as_ref().and_then(run_of).map(|is| (is.run, is.fence));
            self.held.push(Held { key: key.clone(), group: group.clone(), id: item.id, run });
        }
    }
}

fn keys(command: ask::Command) -> Command {
    Command::Keys(Box::new(command))
}

fn read(
    keys: Vec<(KeyName, GroupStart)>,
    name: &str,
    consumer: &Bytes,
    count: Option<u64>,
) -> ReadGroup {
    let group = group(name);
    ReadGroup { group, consumer: consumer.clone(), keys, count, no_ack: false, claim: None }
}

fn some_read(consumer: &Bytes, start: GroupStart, entropy: &mut Entropy) -> ReadGroup {
    let mut names: Vec<&str> = match entropy.below(3) {
        0 => PLAIN.to_vec(),
        _ => PULL.to_vec(),
    };
    if once_in(entropy, 2) {
        names = vec![one(entropy, &names)];
    }
    let plain = PLAIN.contains(&names[0]);
    let group = if plain { one(entropy, &GROUPS) } else { GROUPS[0] };
    let keys = names.iter().map(|name| (KeyName::of(name), start)).collect();
    let count = one(entropy, &[Some(1), Some(1), Some(3), None]);
    let mut read = read(keys, group, consumer, count);
    if start == GroupStart::New && once_in(entropy, 8) {
        read.claim = Some(Span::from_secs(entropy.below(90) as i64));
    }
    read
}

fn claim(consumer: &Bytes, wanted: Held, entropy: &mut Entropy) -> Claim {
    Claim {
        key: wanted.key,
        group: wanted.group,
        consumer: consumer.clone(),
        min_idle: Span::from_secs(one(entropy, &[0, 0, 20])),
        ids: vec![wanted.id],
        delivered_at: None,
        deliveries: None,
        force: once_in(entropy, 8),
        just_ids: once_in(entropy, 4),
        last_id: None,
    }
}

fn auto_claim(consumer: &Bytes, entropy: &mut Entropy) -> AutoClaim {
    let key = one(entropy, &[PLAIN[0], PLAIN[1], PULL[0], PULL[1], PULL[2]]);
    let name = if PLAIN.contains(&key) { one(entropy, &GROUPS) } else { GROUPS[0] };
    AutoClaim {
        key: KeyName::of(key),
        group: group(name),
        consumer: consumer.clone(),
        min_idle: Span::from_secs(one(entropy, &[0, 20, 90])),
        start: StreamId::MIN,
        count: 1 + entropy.below(4),
        just_ids: once_in(entropy, 4),
    }
}

/// How a worker comes to an end with an entry; a plain one knows no runs.
fn answer(act: Act, held: Held, entropy: &mut Entropy) -> Command {
    let Held { key, group, id, run } = held;
    let ids = vec![id];
    let fence = |fence: u32, entropy: &mut Entropy| match entropy.below(6) {
        0 => None,
        1 => Some(fence.saturating_sub(1)),
        _ => Some(fence),
    };
    match (act, run) {
        (Act::Complete, Some((run, held))) => {
            let output = once_in(entropy, 2).then(|| b"\"by call\"".to_vec());
            Command::Complete { run, output, fence: fence(held, entropy) }
        }
        (Act::Fail, Some((run, held))) => {
            let retryable = !once_in(entropy, 4);
            Command::Fail { run, retryable, fence: fence(held, entropy) }
        }
        (Act::Nack, _) => {
            let delay = Span::from_secs(one(entropy, &[0, 0, 5, 60]));
            keys(ask::Command::Nack { key, group, ids, delay })
        }
        (Act::AckDelete, _) => {
            let refs = one(entropy, &[Refs::Keep, Refs::Delete, Refs::Acked]);
            keys(ask::Command::AckDelete { key, group, refs, ids })
        }
        _ => keys(ask::Command::Ack { key, group, ids }),
    }
}
