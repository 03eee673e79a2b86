//! The settings of the burst buffer that were set while it ran: numbers for all, a switch for each
//! org, and who set them when.
//!
//! The row of the settings has the number of the table alone as its key, so it stands before the
//! rows of all orgs.

use bincode::{Decode, Encode};

use crate::base::name::Name;
use crate::base::time::{self, Time};
use crate::model::buffer::{BufferSettings, DrainerSettings, EngineGate, OrgSwitch, SweepSettings};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::rows::{Rows, Span, collect, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

#[derive(Encode, Decode)]
struct SettingsRow {
    enabled: bool,
    shadow: bool,
    window: i64,
    threshold: u32,
    hold: i64,
    backlog_max: u32,
    engine_queue: u32,
    engine_commit: i64,
    env_max: u64,
    total_max: u64,
    env_bytes_max: u64,
    total_bytes_max: u64,
    age_max: i64,
    drainer_enabled: bool,
    drainer_concurrency: u32,
    drainer_max_attempts: u32,
    sweep_enabled: bool,
    sweep_interval: i64,
    sweep_stale_after: i64,
    sweep_orgs_per_pass: u32,
    sweep_entries_per_env: u32,
    set_at: i64,
    set_by: String,
}

impl Record for SettingsRow {
    const KIND: &'static str = "buffer settings";
}

#[derive(Encode, Decode)]
struct OrgRow {
    enabled: bool,
    shadow: bool,
    set_at: i64,
    set_by: String,
}

impl Record for OrgRow {
    const KIND: &'static str = "buffer switch of an org";
}

/// Something that was set, when, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set<T> {
    pub value: T,
    pub at: Time,
    pub by: String,
}

fn key() -> Key {
    Key::new(Table::BufferSettings)
}

fn org_key(org: &Name) -> Key {
    key().text(org.as_str())
}

/// The settings, if they were ever set.
pub fn get(rows: &dyn Rows) -> Result<Option<Set<BufferSettings>>, Fault> {
    Ok(load::<SettingsRow>(rows, &key())?.map(from_row))
}

pub fn put(tx: &mut Tx<'_>, set: &Set<BufferSettings>) {
    let settings = &set.value;
    let row = SettingsRow {
        enabled: settings.enabled,
        shadow: settings.shadow,
        window: settings.window.0,
        threshold: settings.threshold,
        hold: settings.hold.0,
        backlog_max: settings.backlog_max,
        engine_queue: settings.engine.queue,
        engine_commit: settings.engine.commit.0,
        env_max: settings.env_max,
        total_max: settings.total_max,
        env_bytes_max: settings.env_bytes_max,
        total_bytes_max: settings.total_bytes_max,
        age_max: settings.age_max.0,
        drainer_enabled: settings.drainer.enabled,
        drainer_concurrency: settings.drainer.concurrency,
        drainer_max_attempts: settings.drainer.max_attempts,
        sweep_enabled: settings.sweep.enabled,
        sweep_interval: settings.sweep.interval.0,
        sweep_stale_after: settings.sweep.stale_after.0,
        sweep_orgs_per_pass: settings.sweep.orgs_per_pass,
        sweep_entries_per_env: settings.sweep.entries_per_env,
        set_at: set.at.0,
        set_by: set.by.clone(),
    };
    tx.put(key(), &row);
}

fn from_row(row: SettingsRow) -> Set<BufferSettings> {
    let value = BufferSettings {
        enabled: row.enabled,
        shadow: row.shadow,
        window: time::Span(row.window),
        threshold: row.threshold,
        hold: time::Span(row.hold),
        backlog_max: row.backlog_max,
        engine: EngineGate { queue: row.engine_queue, commit: time::Span(row.engine_commit) },
        env_max: row.env_max,
        total_max: row.total_max,
        env_bytes_max: row.env_bytes_max,
        total_bytes_max: row.total_bytes_max,
        age_max: time::Span(row.age_max),
        drainer: DrainerSettings {
            enabled: row.drainer_enabled,
            concurrency: row.drainer_concurrency,
            max_attempts: row.drainer_max_attempts,
        },
        sweep: SweepSettings {
            enabled: row.sweep_enabled,
            interval: time::Span(row.sweep_interval),
            stale_after: time::Span(row.sweep_stale_after),
            orgs_per_pass: row.sweep_orgs_per_pass,
            entries_per_env: row.sweep_entries_per_env,
        },
    };
    Set { value, at: Time(row.set_at), by: row.set_by }
}

/// The switch of an org, if it was ever set.
pub fn get_org(rows: &dyn Rows, org: &Name) -> Result<Option<Set<OrgSwitch>>, Fault> {
    Ok(load::<OrgRow>(rows, &org_key(org))?.map(from_org_row))
}

pub fn put_org(tx: &mut Tx<'_>, org: &Name, set: &Set<OrgSwitch>) {
    let OrgSwitch { enabled, shadow } = set.value;
    tx.put(org_key(org), &OrgRow { enabled, shadow, set_at: set.at.0, set_by: set.by.clone() });
}

fn from_org_row(row: OrgRow) -> Set<OrgSwitch> {
    let value = OrgSwitch { enabled: row.enabled, shadow: row.shadow };
    Set { value, at: Time(row.set_at), by: row.set_by }
}

/// At most `limit` orgs with a switch, by name, behind `after`.
pub fn orgs(
    rows: &dyn Rows,
    after: Option<&Name>,
    limit: usize,
) -> Result<Vec<(Name, Set<OrgSwitch>)>, Fault> {
    // The row of the settings is the prefix itself; whatever has a byte more is an org.
    let first = after.map_or_else(key, org_key).u8(0);
    let span = Span::prefix(&key()).from(&first);
    collect(rows, &span, limit)?
        .iter()
        .map(|(key, value)| {
            let org = super::name(&KeyReader::new(key).text()?)?;
            Ok((org, from_org_row(codec::decode(value)?)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::Entropy;
    use crate::base::id::Minter;
    use crate::store::changes::Changes;
    use crate::store::memory::Memory;

    /// Every field has a value of its own, so that no two can be exchanged.
    fn distinct() -> BufferSettings {
        let span = time::Span;
        BufferSettings {
            enabled: true,
            shadow: false,
            window: span(1),
            threshold: 2,
            hold: span(3),
            backlog_max: 4,
            engine: EngineGate { queue: 5, commit: span(6) },
            env_max: 7,
            total_max: 8,
            env_bytes_max: 9,
            total_bytes_max: 10,
            age_max: span(11),
            drainer: DrainerSettings { enabled: false, concurrency: 12, max_attempts: 13 },
            sweep: SweepSettings {
                enabled: true,
                interval: span(14),
                stale_after: span(15),
                orgs_per_pass: 16,
                entries_per_env: 17,
            },
        }
    }

    fn n(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn settings_and_switches_read_back() {
        let set = Set { value: distinct(), at: Time(18), by: "api".into() };
        let switch = |enabled, by: &str| Set {
            value: OrgSwitch { enabled, shadow: !enabled },
            at: Time(19),
            by: by.to_owned(),
        };
        let (base, batch) = (Memory::default(), Changes::default());
        let mut minter = Minter::new(Entropy::from_seed(1));
        let mut tx = Tx::new(&base, &batch, Time(0), &mut minter);
        assert_eq!((get(&tx).unwrap(), get_org(&tx, &n("a")).unwrap()), (None, None));
        put(&mut tx, &set);
        for (org, enabled) in [("b", false), ("a", true), ("a.b", true)] {
            put_org(&mut tx, &n(org), &switch(enabled, org));
        }
        assert_eq!(get(&tx).unwrap(), Some(set));
        assert_eq!(get_org(&tx, &n("b")).unwrap(), Some(switch(false, "b")));
        let listed = |after: Option<&str>, limit| -> Vec<String> {
            let after = after.map(n);
            let found = orgs(&tx, after.as_ref(), limit).unwrap();
            found.into_iter().map(|(org, set)| format!("{org} {}", set.by)).collect()
        };
        assert_eq!(listed(None, 9), ["a a", "a.b a.b", "b b"]);
        assert_eq!(listed(None, 1), ["a a"]);
        assert_eq!(listed(Some("a"), 9), ["a.b a.b", "b b"]);
        assert_eq!(listed(Some("b"), 9), [""; 0]);
    }
}
