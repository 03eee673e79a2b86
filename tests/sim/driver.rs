//! The dispatcher's driver, by hand: the real core decides; what it wants becomes commands of
//! later batches, and their answers become its next events.

use tidegate::base::name::Name;
use tidegate::base::time::Time;
use tidegate::ledger::outbox::claim::Delivery;
use tidegate::model::notice::Notice;
use tidegate::model::refusal::Code;
use tidegate::work::dispatch::core::{Act, ClaimedShape, Core, Event};

use crate::command::{Answer, Command, Said};

pub struct Driver {
    core: Core,
    /// When the core wants to be woken.
    wake: Option<Time>,
}

/// What an answer to one of the driver's commands leads to.
#[derive(Default)]
pub struct Led {
    pub commands: Vec<Command>,
    pub deliveries: Vec<Delivery>,
}

impl Driver {
    /// As at the start of the process: `endpoints` have something to deliver.
    pub fn start(endpoints: Vec<Name>, now: Time) -> (Driver, Vec<Command>) {
        let mut driver = Driver { core: Core::new(), wake: None };
        let commands = driver.on(Event::Hints { endpoints, timer: None }, now);
        (driver, commands)
    }

    pub fn wake_at(&self) -> Option<Time> {
        self.wake
    }

    pub fn tick(&mut self, now: Time) -> Vec<Command> {
        if self.wake.is_some_and(|at| at <= now) { self.on(Event::Tick, now) } else { Vec::new() }
    }

    /// Hints of a commit, as the hub gathers them.
    pub fn hints(&mut self, notices: &[Notice], now: Time) -> Vec<Command> {
        let mut endpoints: Vec<Name> = Vec::new();
        let mut timer: Option<Time> = None;
        for notice in notices {
            match notice {
                Notice::Work(name) if !endpoints.contains(name) => endpoints.push(name.clone()),
                Notice::Timer(at) => timer = Some(timer.map_or(*at, |known| known.min(*at))),
                Notice::Work(_)
                | Notice::Run(_)
                | Notice::Key(_)
                | Notice::Purge
                | Notice::Buffer
                | Notice::Page => {}
            }
        }
        if endpoints.is_empty() && timer.is_none() {
            return Vec::new();
        }
        endpoints.sort();
        self.on(Event::Hints { endpoints, timer }, now)
    }

    /// An answer to one of its commands. `insist` says that a result whose fate is unknown is
    /// reported again; otherwise its claim runs out.
    pub fn answered(&mut self, command: &Command, answer: Answer, insist: bool, now: Time) -> Led {
        if let Err(refusal) = &answer {
            // A claim, a timer or a result that is refused for any other reason stays so for ever.
            let passing = matches!(refusal.code, Code::Unknown | Code::ReadOnly);
            assert!(passing, "{} was refused: {refusal}", command.to_text());
        }
        let mut led = Led::default();
        let event = match (command, answer) {
            (Command::Claim(claim), Ok(Said::Claimed(claimed))) => {
                let shape = ClaimedShape::of(&claimed);
                assert!(shape.count <= claim.max, "more was claimed than asked for");
                led.deliveries = claimed.deliveries;
                Event::Claimed { endpoint: claim.endpoint.clone(), claimed: shape }
            }
            (Command::Claim(claim), _) => Event::ClaimRefused { endpoint: claim.endpoint.clone() },
            (Command::Fire, Ok(Said::Fired(fired))) => Event::Fired(fired),
            (Command::Fire, _) => Event::FireRefused,
            (Command::Settle(_), Err(_)) if insist => {
                led.commands.push(command.clone());
                return led;
            }
            (Command::Settle(report), _) => Event::Freed { endpoint: report.endpoint.clone() },
            _ => return led,
        };
        led.commands = self.on(event, now);
        led
    }

    fn on(&mut self, event: Event, now: Time) -> Vec<Command> {
        let acts = self.core.on(event, now);
        self.wake = self.core.wake_at(now);
        acts.into_iter()
            .map(|act| match act {
                Act::Claim(claim) => Command::Claim(claim),
                Act::Fire => Command::Fire,
            })
            .collect()
    }
}
