//! What happened, of all kinds that are told as events: the fleet's and those of alerts, joined as they
//! are read.

use crate::base::id::Id;
use crate::base::time::Time;
use crate::model::alert::Line;
use crate::model::refusal::Refusal;
use crate::model::worker::{EventKind, FleetEvent};
use crate::store::kinds::{alert_message, worker};

use super::{Appliance, unreadable};

/// The kind of lines of alerts.
const ALERT: &str = "alert";

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Fleet(FleetEvent),
    /// A line of the history of alerts.
    Alert(Line),
}

impl Event {
    pub fn at(&self) -> Time {
        match self {
            Event::Fleet(event) => event.at,
            Event::Alert(line) => line.at,
        }
    }

    /// All that [`Event::kind`] says.
    pub const KINDS: [&'static str; 4] = [
        EventKind::ScaleUp.as_str(),
        EventKind::ScaleDown.as_str(),
        EventKind::Crash.as_str(),
        ALERT,
    ];

    pub fn kind(&self) -> &'static str {
        match self {
            Event::Fleet(event) => event.kind.as_str(),
            Event::Alert(_) => ALERT,
        }
    }

    /// The type of workers, or whatever an alert is about.
    pub fn worker(&self) -> &str {
        match self {
            Event::Fleet(event) => &event.worker,
            Event::Alert(line) => &line.subject,
        }
    }

    pub fn severity(&self) -> &'static str {
        match self {
            Event::Fleet(event) => event.severity(),
            Event::Alert(line) => line.severity.as_str(),
        }
    }

    /// A sentence for people.
    pub fn detail(&self) -> String {
        match self {
            Event::Fleet(event) => event.detail(),
            Event::Alert(line) => {
                format!("`{}` {}: {}", line.rule, line.what.as_str(), line.detail)
            }
        }
    }
}

impl Appliance {
    /// What happened, newest first, by id: at most `limit`.
    pub fn events(&self, before: Option<Id>, limit: usize) -> Result<Vec<(Id, Event)>, Refusal> {
        let view = self.snapshot()?;
        let fleet = worker::events(&view, before, limit).map_err(unreadable)?;
        let lines = alert_message::lines(&view, before, limit).map_err(unreadable)?;
        let fleet = fleet.into_iter().map(|(id, event)| (id, Event::Fleet(event)));
        let lines = lines.into_iter().map(|(id, line)| (id, Event::Alert(line)));
        let mut all: Vec<(Id, Event)> = fleet.chain(lines).collect();
        all.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
        all.truncate(limit);
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::appliance::{Settings, fleet::Beat, start::start};
    use crate::base::time::{ManualClock, Span};
    use crate::model::sample::{Metric, Sample};
    use crate::store::disk::Disk;

    /// An alert is an event among the others, in the order of what happened, page after page.
    #[tokio::test]
    async fn alerts_are_events_among_the_others() {
        let clock = Arc::new(ManualClock::at(Time(1_699_920_000_000)));
        let on_fault = Box::new(|fault: &_| panic!("{fault}"));
        let disk = Arc::new(Disk::in_memory().unwrap());
        let (appliance, writer) =
            start(disk, clock.clone(), Settings::default(), on_fault).unwrap();
        for (worker, burns) in [("arax", true), ("bte", false)] {
            let beat = Beat {
                stream: worker.to_owned(),
                consumer: "w1".to_owned(),
                started_at: None,
                task_limit: 1,
                info: None,
            };
            appliance.worker_beat(beat).await.unwrap();
            appliance.fleet_tick(appliance.now()).await.unwrap();
            clock.advance(Span::from_secs(1));
            let mut sample = Sample::default();
            if burns {
                sample.put(Metric::EndpointState, "resize/disabled".to_owned(), 1.0);
            }
            appliance.look_at_alerts(Arc::new(sample)).await.unwrap();
            clock.advance(Span::from_secs(1));
        }
        let told = |events: &[(Id, Event)]| -> Vec<String> {
            events.iter().map(|(_, event)| format!("{} {}", event.kind(), event.worker())).collect()
        };
        let all = appliance.events(None, 10).unwrap();
        let alert = "alert resize/disabled";
        let expected = [alert, "scale_up bte", alert, "scale_up arax"];
        assert_eq!(told(&all), expected);
        assert_eq!((all[2].1.severity(), all[0].1.at() > all[2].1.at()), ("critical", true));
        assert!(all[2].1.detail().starts_with("`endpoint-disabled` firing: "), "{:?}", all[2].1);
        // No event is lost or told twice where pages meet.
        let (mut paged, mut before) = (Vec::new(), None);
        while let Some((id, event)) = appliance.events(before, 1).unwrap().pop() {
            paged.push((id, event));
            before = Some(id);
        }
        assert_eq!(paged, all);
        drop(appliance);
        writer.stop();
    }
}
