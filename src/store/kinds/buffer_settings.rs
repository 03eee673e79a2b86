//! The settings of the burst buffer that were set while it ran: numbers for all, a switch for each
//! org, and who set them when.
//!
//! The row of the settings has the number of the table alone as its key, so it stands before the
//! rows of all orgs. It says which of its fields people have set: the others are what was in force
//! then, for binaries that know of no difference.

use bincode::{Decode, Encode};

use crate::base::name::Name;
use crate::base::time::{self, Time};
use crate::model::buffer::{
    BufferSettings, DrainerPatch, EnginePatch, OrgSwitch, Patch, SweepPatch,
};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::rows::{Rows, Span, collect, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

#[derive(Encode, Decode)]
struct SettingsRow0 {
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

#[derive(Encode, Decode)]
struct SettingsRow {
    old: SettingsRow0,
    new: SettingsRow1,
}

/// What version 1.1 added.
#[derive(Encode, Decode)]
struct SettingsRow1 {
    /// A bit for each field of the row before, in their order: people have set it.
    given: u32,
}

impl Record for SettingsRow {
    const KIND: &'static str = "buffer settings";
    const MINOR: u8 = 1;

    fn upgrade(major: u8, minor: u8, body: &[u8]) -> Option<Result<SettingsRow, Fault>> {
        ((major, minor) == (1, 0)).then(|| {
            let (old, _) = codec::decode_body::<SettingsRow0>(SettingsRow::KIND, body)?;
            // The first change kept every number that was in force then.
            Ok(SettingsRow { old, new: SettingsRow1 { given: u32::MAX } })
        })
    }
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

/// What people have set, if anything.
pub fn get(rows: &dyn Rows) -> Result<Option<Set<Patch>>, Fault> {
    Ok(load::<SettingsRow>(rows, &key())?.map(from_row))
}

/// Keeps what people have set, and what is in force by it.
pub fn put(tx: &mut Tx<'_>, set: &Set<Patch>, in_force: &BufferSettings) {
    let settings = in_force;
    let old = SettingsRow0 {
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
    tx.put(key(), &SettingsRow { old, new: SettingsRow1 { given: given(&set.value) } });
}

/// The bits of the fields that a patch gives.
fn given(patch: &Patch) -> u32 {
    let engine = patch.engine.clone().unwrap_or_default();
    let drainer = patch.drainer.clone().unwrap_or_default();
    let sweep = patch.sweep.clone().unwrap_or_default();
    let fields = [
        patch.enabled.is_some(),
        patch.shadow.is_some(),
        patch.window.is_some(),
        patch.threshold.is_some(),
        patch.hold.is_some(),
        patch.backlog_max.is_some(),
        engine.queue.is_some(),
        engine.commit.is_some(),
        patch.env_max.is_some(),
        patch.total_max.is_some(),
        patch.env_bytes_max.is_some(),
        patch.total_bytes_max.is_some(),
        patch.age_max.is_some(),
        drainer.enabled.is_some(),
        drainer.concurrency.is_some(),
        drainer.max_attempts.is_some(),
        sweep.enabled.is_some(),
        sweep.interval.is_some(),
        sweep.stale_after.is_some(),
        sweep.orgs_per_pass.is_some(),
        sweep.entries_per_env.is_some(),
    ];
    fields.into_iter().enumerate().map(|(at, given)| u32::from(given) << at).sum()
}

fn from_row(row: SettingsRow) -> Set<Patch> {
    let SettingsRow { old: row, new: SettingsRow1 { given } } = row;
    let mut at = 0;
    // Asked for each field in the order of the row.
    let mut is_given = || {
        at += 1;
        given >> (at - 1) & 1 == 1
    };
    let value = Patch {
        enabled: is_given().then_some(row.enabled),
        shadow: is_given().then_some(row.shadow),
        window: is_given().then_some(time::Span(row.window)),
        threshold: is_given().then_some(row.threshold),
        hold: is_given().then_some(time::Span(row.hold)),
        backlog_max: is_given().then_some(row.backlog_max),
        engine: Some(EnginePatch {
            queue: is_given().then_some(row.engine_queue),
            commit: is_given().then_some(time::Span(row.engine_commit)),
        }),
        env_max: is_given().then_some(row.env_max),
        total_max: is_given().then_some(row.total_max),
        env_bytes_max: is_given().then_some(row.env_bytes_max),
        total_bytes_max: is_given().then_some(row.total_bytes_max),
        age_max: is_given().then_some(time::Span(row.age_max)),
        drainer: Some(DrainerPatch {
            enabled: is_given().then_some(row.drainer_enabled),
            concurrency: is_given().then_some(row.drainer_concurrency),
            max_attempts: is_given().then_some(row.drainer_max_attempts),
        }),
        sweep: Some(SweepPatch {
            enabled: is_given().then_some(row.sweep_enabled),
            interval: is_given().then_some(time::Span(row.sweep_interval)),
            stale_after: is_given().then_some(time::Span(row.sweep_stale_after)),
            orgs_per_pass: is_given().then_some(row.sweep_orgs_per_pass),
            entries_per_env: is_given().then_some(row.sweep_entries_per_env),
        }),
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
    fn distinct() -> Patch {
        let span = |n| Some(time::Span(n));
        Patch {
            enabled: Some(true),
            shadow: Some(true),
            window: span(1),
            threshold: Some(2),
            hold: span(3),
            backlog_max: Some(4),
            engine: Some(EnginePatch { queue: Some(5), commit: span(6) }),
            env_max: Some(7),
            total_max: Some(8),
            env_bytes_max: Some(9),
            total_bytes_max: Some(10),
            age_max: span(11),
            drainer: Some(DrainerPatch {
                enabled: Some(false),
                concurrency: Some(12),
                max_attempts: Some(13),
            }),
            sweep: Some(SweepPatch {
                enabled: Some(true),
                interval: span(14),
                stale_after: span(15),
                orgs_per_pass: Some(16),
                entries_per_env: Some(17),
            }),
        }
    }

    fn read_back(patch: Patch) -> Patch {
        let (base, batch) = (Memory::default(), Changes::default());
        let mut minter = Minter::new(Entropy::from_seed(1));
        let mut tx = Tx::new(&base, &batch, Time(0), &mut minter);
        let in_force = patch.over(&BufferSettings::default());
        put(&mut tx, &Set { value: patch, at: Time(18), by: "api".into() }, &in_force);
        get(&tx).unwrap().unwrap().value
    }

    #[test]
    fn each_field_is_kept_alone() {
        let everything = BufferSettings::default();
        let empty = read_back(Patch::default());
        assert_eq!(empty.over(&everything), everything);
        let fields: [fn(&mut Patch, Patch); 5] = [
            |to, from| to.shadow = from.shadow,
            |to, from| to.window = from.window,
            |to, from| to.age_max = from.age_max,
            |to, from| to.engine = from.engine,
            |to, from| {
                let drainer = from.drainer.unwrap();
                to.drainer = Some(DrainerPatch { max_attempts: None, ..drainer });
            },
        ];
        for field in fields {
            let mut patch = Patch::default();
            field(&mut patch, distinct());
            assert_eq!(read_back(patch.clone()).over(&everything), patch.over(&everything));
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
        put(&mut tx, &set, &set.value.over(&BufferSettings::default()));
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
