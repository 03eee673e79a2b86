//! Acts of access control over a memory store.

use super::{audit, sessions, tokens, users};
use crate::base::entropy::Entropy;
use crate::base::id::Minter;
use crate::base::name::Name;
use crate::base::time::{Span, Time};
use crate::model::access::{Bounds, Role, SESSION_IDLE_MAX};
use crate::model::refusal::Code;
use crate::store::changes::Changes;
use crate::store::fault::Stop;
use crate::store::kinds::{access as rows, audit as lines};
use crate::store::memory::Memory;
use crate::store::tx::Tx;

/// A store, and when it is.
struct Desk {
    memory: Memory,
    minter: Minter,
    now: Time,
}

impl Desk {
    fn new() -> Desk {
        let minter = Minter::new(Entropy::from_seed(1));
        Desk { memory: Memory::default(), minter, now: Time(1_700_000_000_000) }
    }

    fn act<T>(&mut self, act: impl FnOnce(&mut Tx<'_>) -> Result<T, Stop>) -> Result<T, Code> {
        let batch = Changes::default();
        let mut tx = Tx::new(&self.memory, &batch, self.now, &mut self.minter);
        match act(&mut tx) {
            Ok(answer) => {
                let changes = tx.into_changes();
                self.memory.apply(&changes).unwrap();
                Ok(answer)
            }
            Err(Stop::Refused(refusal)) => Err(refusal.code),
            Err(Stop::Failed(fault)) => panic!("{fault}"),
        }
    }

    fn add(&mut self, user: &str, role: Role) -> Result<(), Code> {
        let (name, password, by) = (name(user), format!("hash of {user}"), "test".to_owned());
        self.act(|tx| {
            users::add(tx, users::Add { name, role, password, by, first: false }).map(drop)
        })
    }

    fn sign_in(&mut self, user: &str, secret: u8) -> Result<(), Code> {
        let password = format!("hash of {user}");
        self.act(|tx| {
            sessions::begin(tx, &name(user), &password, [secret; 32], "x".into()).map(drop)
        })
    }

    fn sessions(&self) -> Vec<u8> {
        let found = rows::sessions(&self.memory, 100).unwrap();
        found.iter().map(|session| session.hash[0]).collect()
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn wish(expires_at: Option<Time>) -> tokens::Create {
    tokens::Create {
        name: name("ci"),
        role: Role::Worker,
        bounds: Bounds::default(),
        hash: [1; 32],
        by: "test".to_owned(),
        expires_at,
    }
}

#[test]
fn tokens_live_until_they_expire_or_are_revoked() {
    let mut desk = Desk::new();
    let later = desk.now.plus(Span::from_secs(1));
    let token = desk.act(|tx| tokens::create(tx, wish(Some(later)))).unwrap();
    assert!(token.is_live(desk.now) && !token.is_live(later));
    let token = desk.act(|tx| tokens::create(tx, wish(None))).unwrap();
    let revoked = desk.act(|tx| tokens::revoke(tx, token.id)).unwrap();
    assert!(!revoked.is_live(desk.now));
    desk.now = later;
    let again = desk.act(|tx| tokens::revoke(tx, token.id)).unwrap();
    assert_eq!(again, revoked);
    assert_eq!(
        desk.act(|tx| tokens::create(tx, wish(Some(later)))).err(),
        Some(Code::InvalidField)
    );
    let unknown = crate::base::id::Id([9; 16]);
    assert_eq!(desk.act(|tx| tokens::revoke(tx, unknown)).err(), Some(Code::TokenNotFound));
}

#[test]
fn tokens_are_bounded_and_old_dead_ones_make_room() {
    let mut desk = Desk::new();
    let mut ids = Vec::new();
    for _ in 0..tokens::TOKENS_MAX {
        ids.push(desk.act(|tx| tokens::create(tx, wish(None))).unwrap().id);
    }
    assert_eq!(desk.act(|tx| tokens::create(tx, wish(None))).err(), Some(Code::TooManyTokens));
    for round in 0..2 {
        for id in std::mem::take(&mut ids) {
            desk.act(|tx| tokens::revoke(tx, id)).unwrap();
        }
        for _ in 0..tokens::TOKENS_MAX {
            ids.push(desk.act(|tx| tokens::create(tx, wish(None))).unwrap().id);
        }
        let rows = rows::tokens(&desk.memory, 10_000).unwrap().len();
        assert_eq!(rows, 2 * tokens::TOKENS_MAX, "round {round}");
    }
}

#[test]
fn set_up_is_for_ever() {
    let mut desk = Desk::new();
    assert_eq!(rows::set_up_at(&desk.memory).unwrap(), None);
    let token = desk.act(|tx| tokens::create(tx, wish(None))).unwrap();
    let since = rows::set_up_at(&desk.memory).unwrap();
    assert_eq!(since, Some(desk.now));
    desk.now = desk.now.plus(Span::from_secs(1));
    desk.act(|tx| tokens::revoke(tx, token.id)).unwrap();
    desk.add("ada", Role::Admin).unwrap();
    assert_eq!(rows::set_up_at(&desk.memory).unwrap(), since);
}

#[test]
fn last_admin_cannot_be_removed() {
    let mut desk = Desk::new();
    desk.add("ada", Role::Admin).unwrap();
    desk.add("bob", Role::Viewer).unwrap();
    assert_eq!(desk.add("ada", Role::Viewer), Err(Code::UserExists));
    assert_eq!(desk.act(|tx| users::remove(tx, &name("ada"))), Err(Code::LastAdmin));
    desk.act(|tx| users::remove(tx, &name("bob"))).unwrap();
    desk.add("eve", Role::Admin).unwrap();
    desk.act(|tx| users::remove(tx, &name("ada"))).unwrap();
    assert_eq!(desk.act(|tx| users::remove(tx, &name("ada"))), Err(Code::UserNotFound));
}

#[test]
fn set_up_link_makes_the_first_user_only() {
    let mut desk = Desk::new();
    let first = |name| users::Add {
        name,
        role: Role::Admin,
        password: "p".to_owned(),
        by: "set-up".to_owned(),
        first: true,
    };
    desk.act(|tx| users::add(tx, first(name("ada")))).unwrap();
    assert_eq!(desk.act(|tx| users::add(tx, first(name("eve")))).err(), Some(Code::Forbidden));
}

#[test]
fn sessions_end_with_password_and_user() {
    let mut desk = Desk::new();
    desk.add("ada", Role::Admin).unwrap();
    desk.add("bob", Role::Viewer).unwrap();
    desk.sign_in("ada", 1).unwrap();
    desk.sign_in("bob", 2).unwrap();
    desk.act(|tx| users::set_password(tx, &name("ada"), "new".to_owned())).unwrap();
    assert_eq!(desk.sessions(), [2]);
    assert_eq!(desk.sign_in("ada", 3), Err(Code::WrongPassword));
    // One that was proven and has changed meanwhile changes nothing.
    let change = |tx: &mut Tx<'_>| users::change_password(tx, &name("ada"), "old", "x".to_owned());
    assert_eq!(desk.act(change).err(), Some(Code::WrongPassword));
    desk.act(|tx| users::remove(tx, &name("bob"))).unwrap();
    assert_eq!(desk.sessions(), Vec::<u8>::new());
    assert_eq!(desk.sign_in("bob", 4), Err(Code::WrongPassword));
}

#[test]
fn sessions_of_a_user_are_bounded() {
    let mut desk = Desk::new();
    desk.add("ada", Role::Admin).unwrap();
    for secret in 1..=sessions::OF_USER_MAX as u8 + 3 {
        desk.now = desk.now.plus(Span::from_secs(1));
        desk.sign_in("ada", secret).unwrap();
    }
    let kept = desk.sessions();
    assert_eq!((kept.len(), kept[0]), (sessions::OF_USER_MAX, 4));
    desk.act(|tx| sessions::end(tx, &[4; 32])).unwrap();
    assert_eq!(desk.sessions().len(), sessions::OF_USER_MAX - 1);
    desk.now = desk.now.plus(SESSION_IDLE_MAX);
    desk.act(|tx| sessions::touch(tx, &[5; 32])).unwrap();
    desk.sign_in("ada", 99).unwrap();
    assert_eq!(desk.sessions(), [5, 99]);
}

#[test]
fn lines_of_the_audit_log_are_cut_and_come_newest_first() {
    let mut desk = Desk::new();
    for action in ["one", "two", "three"] {
        let line = audit::Line {
            action: action.to_owned(),
            what: "x".repeat(10_000),
            ..audit::Line::default()
        };
        desk.act(|tx| Ok(audit::add(tx, &line))).unwrap();
    }
    let page = lines::page(&desk.memory, None, 2).unwrap();
    let actions: Vec<&str> = page.iter().map(|line| line.action.as_str()).collect();
    assert_eq!(actions, ["three", "two"]);
    assert!(page[0].what.len() < 500);
    let rest = lines::page(&desk.memory, Some(page[1].id), 2).unwrap();
    assert_eq!(rest.len(), 1);
}
