//! Adding and removing those who sign in, and their passwords, which come as hashes.

use crate::base::name::Name;
use crate::model::access::{Role, User};
use crate::model::refusal::{Code, Refusal};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::access as rows;
use crate::store::tx::Tx;

use super::sessions;

/// Most users.
pub const USERS_MAX: usize = 200;

/// A request for a user; the password is an argon2 hash.
#[derive(Clone, Debug)]
pub struct Add {
    pub name: Name,
    pub role: Role,
    pub password: String,
    pub by: String,
    /// Only while there is none: what the set-up link does.
    pub first: bool,
}

pub fn add(tx: &mut Tx<'_>, command: Add) -> Result<User, Stop> {
    let known = rows::users(tx, USERS_MAX)?;
    if command.first && !known.is_empty() {
        let message = "the appliance is set up already; sign in, or ask an admin";
        return Err(Refusal::new(Code::Forbidden, message).into());
    }
    if known.iter().any(|user| user.name == command.name) {
        let message = format!("there is a user `{}` already", command.name);
        return Err(Refusal::new(Code::UserExists, message).into());
    }
    if known.len() >= USERS_MAX {
        let message = format!("there are {USERS_MAX} users already; remove one");
        return Err(Refusal::new(Code::TooManyUsers, message).into());
    }
    let user = User {
        id: tx.mint(),
        name: command.name,
        role: command.role,
        password: command.password,
        created_at: tx.now(),
        created_by: command.by,
        password_set_at: tx.now(),
    };
    rows::put_user(tx, &user);
    rows::set_up(tx)?;
    Ok(user)
}

/// A new password of one's own, `old` being the hash that was proven: it may have been changed since.
pub fn change_password(
    tx: &mut Tx<'_>,
    name: &Name,
    old: &str,
    password: String,
) -> Result<User, Stop> {
    if must_get(tx, name)?.password != old {
        return Err(Refusal::new(Code::WrongPassword, "the password was changed; try again").into());
    }
    set_password(tx, name, password)
}

/// A new password ends the sessions that the old one began.
pub fn set_password(tx: &mut Tx<'_>, name: &Name, password: String) -> Result<User, Stop> {
    let mut user = must_get(tx, name)?;
    user.password = password;
    user.password_set_at = tx.now();
    rows::put_user(tx, &user);
    sessions::end_all_of(tx, name)?;
    Ok(user)
}

pub fn remove(tx: &mut Tx<'_>, name: &Name) -> Result<(), Stop> {
    let user = must_get(tx, name)?;
    if user.role == Role::Admin && admins(tx)? == 1 {
        let message = format!("`{name}` is the last admin: add another one first");
        return Err(Refusal::new(Code::LastAdmin, message).into());
    }
    sessions::end_all_of(tx, name)?;
    rows::remove_user(tx, name);
    Ok(())
}

fn admins(tx: &Tx<'_>) -> Result<usize, Fault> {
    let users = rows::users(tx, USERS_MAX)?;
    Ok(users.iter().filter(|user| user.role == Role::Admin).count())
}

fn must_get(tx: &Tx<'_>, name: &Name) -> Result<User, Stop> {
    let no_user = || Refusal::new(Code::UserNotFound, format!("no user `{name}`"));
    rows::user(tx, name)?.ok_or_else(|| no_user().into())
}
