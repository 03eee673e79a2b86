//! Setting the numbers and switches of the buffer, and what is in force.
//!
//! What people set wins over the configuration, field by field: what nobody ever set follows the
//! configuration, also after others were.

use crate::base::name::Name;
use crate::base::time::Time;
use crate::model::buffer::{BufferSettings, OrgPatch, OrgSwitch, Patch};
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::buffer_settings::{self as rows, Set};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

/// Most orgs with a switch: all of them are kept in memory.
pub const ORGS_MAX: usize = 10_000;

/// Who set what comes from the configuration.
pub const BY_CONFIGURATION: &str = "configuration";

/// The settings in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub settings: BufferSettings,
    /// `None` for those of the configuration.
    pub set_at: Option<Time>,
    pub set_by: String,
}

/// The switch of an org.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptOrg {
    pub org: Name,
    pub switch: OrgSwitch,
    pub set_at: Time,
    pub set_by: String,
}

/// What is in force: what was set, over `defaults`.
pub fn current(rows: &dyn Rows, defaults: &BufferSettings) -> Result<Kept, Fault> {
    Ok(match rows::get(rows)? {
        Some(set) => kept(&set, defaults),
        None => Kept { settings: *defaults, set_at: None, set_by: BY_CONFIGURATION.to_owned() },
    })
}

/// The switch of an org, if it was ever set.
pub fn current_org(rows: &dyn Rows, org: &Name) -> Result<Option<KeptOrg>, Fault> {
    Ok(rows::get_org(rows, org)?.map(|set| kept_org(org.clone(), set)))
}

/// At most `limit` orgs with a switch, by name, behind `after`.
pub fn orgs(rows: &dyn Rows, after: Option<&Name>, limit: usize) -> Result<Vec<KeptOrg>, Fault> {
    let found = rows::orgs(rows, after, limit)?;
    Ok(found.into_iter().map(|(org, set)| kept_org(org, set)).collect())
}

/// Changes what the patch gives; one that gives nothing changes nothing.
pub fn set(
    tx: &mut Tx<'_>,
    defaults: &BufferSettings,
    patch: &Patch,
    by: &str,
) -> Result<Kept, Stop> {
    let old = rows::get(tx)?;
    if *patch == Patch::default() {
        return Ok(current(tx, defaults)?);
    }
    let earlier = old.map(|set| set.value).unwrap_or_default();
    let set = Set { value: patch.clone().and(earlier), at: tx.now(), by: by.to_owned() };
    let kept = kept(&set, defaults);
    kept.settings.validate()?;
    rows::put(tx, &set, &kept.settings);
    tx.notify(Notice::Page);
    Ok(kept)
}

/// Changes the switch of an org. One that was never set is off.
pub fn set_org(tx: &mut Tx<'_>, org: Name, patch: OrgPatch, by: &str) -> Result<KeptOrg, Stop> {
    let old = rows::get_org(tx, &org)?;
    if old.is_none() && rows::orgs(tx, None, ORGS_MAX)?.len() >= ORGS_MAX {
        let message = format!("at most {ORGS_MAX} orgs have a switch of their own");
        return Err(Refusal::new(Code::NotAllowedInState, message).into());
    }
    let value = patch.over(old.map(|set| set.value).unwrap_or_default());
    let set = Set { value, at: tx.now(), by: by.to_owned() };
    rows::put_org(tx, &org, &set);
    tx.notify(Notice::Page);
    Ok(kept_org(org, set))
}

fn kept(set: &Set<Patch>, defaults: &BufferSettings) -> Kept {
    Kept { settings: set.value.over(defaults), set_at: Some(set.at), set_by: set.by.clone() }
}

fn kept_org(org: Name, set: Set<OrgSwitch>) -> KeptOrg {
    KeptOrg { org, switch: set.value, set_at: set.at, set_by: set.by }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Span;
    use crate::ledger::testing::{World, n};
    use crate::model::buffer::DrainerPatch;

    fn set_over(tx: &mut Tx<'_>, defaults: &BufferSettings, patch: &Patch) -> Result<Kept, Stop> {
        set(tx, defaults, patch, "api")
    }

    fn threshold(value: u32) -> Patch {
        Patch { threshold: Some(value), ..Patch::default() }
    }

    #[test]
    fn what_was_set_wins_over_configuration() {
        let mut world = World::new();
        let file = BufferSettings { hold: Span(7), ..BufferSettings::default() };
        let before = world.ask(|rows| current(rows, &file)).unwrap();
        assert_eq!((before.settings, before.set_at), (file, None));
        assert_eq!(before.set_by, "configuration");
        let set = world.act(|tx| set(tx, &file, &threshold(9), "api")).unwrap();
        assert_eq!(set.settings, BufferSettings { threshold: 9, ..file });
        assert_eq!((set.set_at, set.set_by.as_str()), (Some(world.now), "api"));
        assert_eq!(world.heard, [Notice::Page]);
        // Another configuration changes what nobody set, and nothing else.
        let other = BufferSettings { hold: Span(8), threshold: 50, ..file };
        let expected = BufferSettings { threshold: 9, ..other };
        assert_eq!(world.ask(|rows| current(rows, &other)).unwrap().settings, expected);
        let hold = Patch { hold: Some(Span(20)), ..Patch::default() };
        let both = world.act(|tx| set_over(tx, &other, &hold)).unwrap();
        assert_eq!(both.settings, BufferSettings { hold: Span(20), ..expected });
        assert_eq!(world.ask(|rows| current(rows, &file)).unwrap().settings.threshold, 9);
    }

    #[test]
    fn empty_change_writes_nothing() {
        let mut world = World::new();
        let (before, file) = (world.dump(), BufferSettings::default());
        let kept = world.act(|tx| set(tx, &file, &Patch::default(), "api")).unwrap();
        assert_eq!((kept.settings, kept.set_at), (file, None));
        assert_eq!(world.dump(), before);
    }

    #[test]
    fn refused_change_leaves_no_row() {
        let mut world = World::new();
        let (before, file) = (world.dump(), BufferSettings::default());
        let drainer = DrainerPatch { concurrency: Some(0), ..DrainerPatch::default() };
        let patch = Patch { enabled: Some(true), drainer: Some(drainer), ..Patch::default() };
        let refused = world.act(|tx| set(tx, &file, &patch, "api")).unwrap_err();
        assert_eq!(refused.code, Code::InvalidField);
        assert!(refused.message.contains("`drainer.concurrency`"), "{}", refused.message);
        assert_eq!(world.dump(), before);
    }

    #[test]
    fn switches_of_orgs_change_by_parts() {
        let mut world = World::new();
        let mut set = |enabled, shadow| {
            let patch = OrgPatch { enabled, shadow };
            world.act(|tx| set_org(tx, n("acme"), patch, "api")).unwrap().switch
        };
        assert_eq!(set(None, None), OrgSwitch::default());
        assert_eq!(set(Some(true), None), OrgSwitch { enabled: true, shadow: false });
        assert_eq!(set(None, Some(true)), OrgSwitch { enabled: true, shadow: true });
        assert_eq!(set(Some(false), None), OrgSwitch { enabled: false, shadow: true });
        let kept = world.ask(|rows| current_org(rows, &n("acme"))).unwrap().unwrap();
        assert_eq!((kept.set_at, kept.set_by.as_str()), (world.now, "api"));
        assert_eq!(world.ask(|rows| orgs(rows, None, 9)).unwrap(), [kept]);
        assert_eq!(world.ask(|rows| current_org(rows, &n("other"))).unwrap(), None);
    }

    #[test]
    fn orgs_with_a_switch_are_bounded() {
        let mut world = World::new();
        world.checking = false;
        let on = OrgPatch { enabled: Some(true), shadow: None };
        let value = on.over(OrgSwitch::default());
        world
            .act(|tx| {
                for number in 0..ORGS_MAX {
                    let set = Set { value, at: tx.now(), by: "api".to_owned() };
                    rows::put_org(tx, &n(&format!("o{number}")), &set);
                }
                Ok(())
            })
            .unwrap();
        let refused = world.act(|tx| set_org(tx, n("more"), on, "api")).unwrap_err();
        assert_eq!(refused.code, Code::NotAllowedInState);
        // Those that have one can still be switched off.
        let off = OrgPatch { enabled: Some(false), shadow: None };
        assert!(!world.act(|tx| set_org(tx, n("o7"), off, "api")).unwrap().switch.enabled);
    }
}
