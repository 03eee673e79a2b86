//! Tokens, users, sessions, and since when access is controlled.

use bincode::{Decode, Encode};

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::Time;
use crate::model::access::{Bounds, Role, SecretHash, Session, Token, User};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader, last_id};
use crate::store::rows::{Row, Rows, Span, collect, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

#[derive(Encode, Decode)]
struct TokenRow {
    name: String,
    role: u8,
    org: Option<String>,
    env: Option<String>,
    hash: [u8; 32],
    created_at: i64,
    created_by: String,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl Record for TokenRow {
    const KIND: &'static str = "token";
}

fn role(number: u8) -> Result<Role, Fault> {
    super::word(Role::from_number(number), "role", number)
}

fn token_key(id: Id) -> Key {
    Key::new(Table::Token).id(id)
}

pub fn token(rows: &dyn Rows, id: Id) -> Result<Option<Token>, Fault> {
    load::<TokenRow>(rows, &token_key(id))?.map(|row| from_token(id, row)).transpose()
}

pub fn put_token(tx: &mut Tx<'_>, token: &Token) {
    let row = TokenRow {
        name: token.name.to_string(),
        role: token.role as u8,
        org: token.bounds.org.as_ref().map(Name::to_string),
        env: token.bounds.env.as_ref().map(Name::to_string),
        hash: token.hash,
        created_at: token.created_at.0,
        created_by: token.created_by.clone(),
        expires_at: token.expires_at.map(|at| at.0),
        revoked_at: token.revoked_at.map(|at| at.0),
    };
    tx.put(token_key(token.id), &row);
}

pub fn remove_token(tx: &mut Tx<'_>, id: Id) {
    tx.remove(token_key(id));
}

/// At most `limit` tokens, oldest first, those included that are over.
pub fn tokens(rows: &dyn Rows, limit: usize) -> Result<Vec<Token>, Fault> {
    let found = collect(rows, &Span::prefix(&Key::new(Table::Token)), limit)?;
    found.iter().map(|(key, value)| from_token(last_id(key)?, codec::decode(value)?)).collect()
}

fn from_token(id: Id, row: TokenRow) -> Result<Token, Fault> {
    let name = |text: Option<String>| text.map(|text| super::name(&text)).transpose();
    Ok(Token {
        id,
        name: super::name(&row.name)?,
        role: role(row.role)?,
        bounds: Bounds { org: name(row.org)?, env: name(row.env)? },
        hash: row.hash,
        created_at: Time(row.created_at),
        created_by: row.created_by,
        expires_at: row.expires_at.map(Time),
        revoked_at: row.revoked_at.map(Time),
    })
}

#[derive(Encode, Decode)]
struct UserRow {
    id: [u8; 16],
    role: u8,
    password: String,
    created_at: i64,
    created_by: String,
    password_set_at: i64,
}

impl Record for UserRow {
    const KIND: &'static str = "user";
}

fn user_key(name: &Name) -> Key {
    Key::new(Table::User).text(name.as_str())
}

pub fn user(rows: &dyn Rows, name: &Name) -> Result<Option<User>, Fault> {
    load::<UserRow>(rows, &user_key(name))?.map(|row| from_user(name.clone(), row)).transpose()
}

pub fn put_user(tx: &mut Tx<'_>, user: &User) {
    let row = UserRow {
        id: user.id.0,
        role: user.role as u8,
        password: user.password.clone(),
        created_at: user.created_at.0,
        created_by: user.created_by.clone(),
        password_set_at: user.password_set_at.0,
    };
    tx.put(user_key(&user.name), &row);
}

pub fn remove_user(tx: &mut Tx<'_>, name: &Name) {
    tx.remove(user_key(name));
}

/// At most `limit` users by name.
pub fn users(rows: &dyn Rows, limit: usize) -> Result<Vec<User>, Fault> {
    let read = |(key, value): &Row| {
        from_user(super::name(&KeyReader::new(key).text()?)?, codec::decode(value)?)
    };
    let found = collect(rows, &Span::prefix(&Key::new(Table::User)), limit)?;
    found.iter().map(read).collect()
}

fn from_user(name: Name, row: UserRow) -> Result<User, Fault> {
    Ok(User {
        id: Id(row.id),
        name,
        role: role(row.role)?,
        password: row.password,
        created_at: Time(row.created_at),
        created_by: row.created_by,
        password_set_at: Time(row.password_set_at),
    })
}

#[derive(Encode, Decode)]
struct SessionRow {
    user: String,
    user_id: [u8; 16],
    created_at: i64,
    seen_at: i64,
    from: String,
}

impl Record for SessionRow {
    const KIND: &'static str = "session";
}

fn session_key(hash: &SecretHash) -> Key {
    Key::new(Table::Session).raw(hash)
}

pub fn session(rows: &dyn Rows, hash: &SecretHash) -> Result<Option<Session>, Fault> {
    load::<SessionRow>(rows, &session_key(hash))?.map(|row| from_session(*hash, row)).transpose()
}

pub fn put_session(tx: &mut Tx<'_>, session: &Session) {
    let row = SessionRow {
        user: session.user.to_string(),
        user_id: session.user_id.0,
        created_at: session.created_at.0,
        seen_at: session.seen_at.0,
        from: session.from.clone(),
    };
    tx.put(session_key(&session.hash), &row);
}

pub fn remove_session(tx: &mut Tx<'_>, hash: &SecretHash) {
    tx.remove(session_key(hash));
}

/// At most `limit` sessions, in no order that means something.
pub fn sessions(rows: &dyn Rows, limit: usize) -> Result<Vec<Session>, Fault> {
    let found = collect(rows, &Span::prefix(&Key::new(Table::Session)), limit)?;
    let read = |(key, value): &Row| {
        let hash = key.last_chunk::<32>().copied();
        let hash = hash.ok_or_else(|| Fault::Corrupt("a session has a short key".to_owned()))?;
        from_session(hash, codec::decode(value)?)
    };
    found.iter().map(read).collect()
}

fn from_session(hash: SecretHash, row: SessionRow) -> Result<Session, Fault> {
    Ok(Session {
        hash,
        user: super::name(&row.user)?,
        user_id: Id(row.user_id),
        created_at: Time(row.created_at),
        seen_at: Time(row.seen_at),
        from: row.from,
    })
}

#[derive(Encode, Decode)]
struct SetUpRow {
    at: i64,
}

impl Record for SetUpRow {
    const KIND: &'static str = "set-up";
}

/// Since when access is controlled; it never ends, whatever is revoked or removed.
pub fn set_up_at(rows: &dyn Rows) -> Result<Option<Time>, Fault> {
    Ok(load::<SetUpRow>(rows, &Key::new(Table::SetUp))?.map(|row| Time(row.at)))
}

/// From the first token or user on.
pub fn set_up(tx: &mut Tx<'_>) -> Result<(), Fault> {
    if set_up_at(tx)?.is_none() {
        let row = SetUpRow { at: tx.now().0 };
        tx.put(Key::new(Table::SetUp), &row);
    }
    Ok(())
}
