//! Golden rows of access control.

use super::{id, name};
use crate::base::time::Time;
use crate::model::access::{Audited, Bounds, Role, Session, Token, User};
use crate::store::kinds::{access, audit};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

fn a_token() -> Token {
    Token {
        id: id(31),
        name: name("ci"),
        role: Role::Producer,
        bounds: Bounds { org: Some(name("acme")), env: Some(name("prod")) },
        hash: [32; 32],
        created_at: Time(1101),
        created_by: "user ada".to_owned(),
        expires_at: Some(Time(1102)),
        revoked_at: Some(Time(1103)),
    }
}

fn a_user() -> User {
    User {
        id: id(33),
        name: name("ada"),
        role: Role::Admin,
        password: "$argon2id$v=19$x".to_owned(),
        created_at: Time(1104),
        created_by: "command line".to_owned(),
        password_set_at: Time(1105),
    }
}

fn a_session() -> Session {
    Session {
        hash: [34; 32],
        user: name("ada"),
        user_id: id(33),
        created_at: Time(1106),
        seen_at: Time(1107),
        from: "127.0.0.1".to_owned(),
    }
}

fn a_line() -> Audited {
    Audited {
        id: id(35),
        who: "user ada".to_owned(),
        role: "admin".to_owned(),
        from: "127.0.0.1".to_owned(),
        action: "PUT /v1/tasks/{name}".to_owned(),
        what: "/v1/tasks/resize".to_owned(),
        detail: "d".to_owned(),
    }
}

pub fn write(tx: &mut Tx<'_>) {
    access::put_token(tx, &a_token());
    access::put_user(tx, &a_user());
    access::put_session(tx, &a_session());
    access::set_up(tx).unwrap();
    audit::put(tx, &a_line());
}

pub fn check(rows: &dyn Rows) {
    assert_eq!(access::token(rows, id(31)).unwrap(), Some(a_token()));
    assert_eq!(access::tokens(rows, 9).unwrap(), [a_token()]);
    assert_eq!(access::users(rows, 9).unwrap(), [a_user()]);
    assert_eq!(access::sessions(rows, 9).unwrap(), [a_session()]);
    assert_eq!(access::set_up_at(rows).unwrap(), Some(Time(1_700_000_000_000)));
    assert_eq!(audit::page(rows, None, 9).unwrap(), [a_line()]);
}
