//! Signing in and out, as rows: a session is known by the hash of its secret.

use crate::base::name::Name;
use crate::model::access::{SecretHash, Session};
use crate::model::refusal::{Code, Refusal};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::access as rows;
use crate::store::tx::Tx;

/// Most sessions in all, and of one user; the one that was used longest ago goes first.
pub const SESSIONS_MAX: usize = 2_000;
pub const OF_USER_MAX: usize = 20;

/// Begins a session of a user whose password was right, `password` being its hash: it may have been
/// changed, or the user removed, while the guess was compared.
pub fn begin(
    tx: &mut Tx<'_>,
    user: &Name,
    password: &str,
    hash: SecretHash,
    from: String,
) -> Result<Session, Stop> {
    let found = rows::user(tx, user)?.filter(|found| found.password == password);
    let Some(found) = found else {
        return Err(Refusal::new(Code::WrongPassword, "the password was changed; try again").into());
    };
    make_room(tx, user)?;
    let session = Session {
        hash,
        user: user.clone(),
        user_id: found.id,
        created_at: tx.now(),
        seen_at: tx.now(),
        from,
    };
    rows::put_session(tx, &session);
    Ok(session)
}

/// Takes out sessions that are over, and the oldest ones where there are too many.
fn make_room(tx: &mut Tx<'_>, user: &Name) -> Result<(), Fault> {
    let now = tx.now();
    let (mut live, over): (Vec<_>, Vec<_>) =
        rows::sessions(tx, SESSIONS_MAX)?.into_iter().partition(|session| session.is_live(now));
    for session in over {
        rows::remove_session(tx, &session.hash);
    }
    live.sort_by_key(|session| session.seen_at);
    let of_user: Vec<_> = live.iter().filter(|session| session.user == *user).collect();
    let too_many = of_user.len().saturating_sub(OF_USER_MAX - 1);
    for session in of_user.iter().take(too_many) {
        rows::remove_session(tx, &session.hash);
    }
    if too_many == 0 && live.len() >= SESSIONS_MAX {
        rows::remove_session(tx, &live[0].hash);
    }
    Ok(())
}

/// Notes that a session was used.
pub fn touch(tx: &mut Tx<'_>, hash: &SecretHash) -> Result<(), Stop> {
    if let Some(mut session) = rows::session(tx, hash)? {
        session.seen_at = tx.now();
        rows::put_session(tx, &session);
    }
    Ok(())
}

pub fn end(tx: &mut Tx<'_>, hash: &SecretHash) -> Result<(), Stop> {
    rows::remove_session(tx, hash);
    Ok(())
}

pub fn end_all_of(tx: &mut Tx<'_>, user: &Name) -> Result<(), Fault> {
    for session in rows::sessions(tx, SESSIONS_MAX)? {
        if session.user == *user {
            rows::remove_session(tx, &session.hash);
        }
    }
    Ok(())
}
