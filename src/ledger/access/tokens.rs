//! Making and revoking API tokens. The secret never gets here, only its hash.

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::text::quote;
use crate::base::time::Time;
use crate::model::access::{Bounds, Role, SecretHash, Token};
use crate::model::refusal::{Code, Refusal};
use crate::store::fault::Stop;
use crate::store::kinds::access as rows;
use crate::store::tx::Tx;

/// Most tokens that are live. As many again are remembered when they are over.
pub const TOKENS_MAX: usize = 1_000;

/// A request for a token.
#[derive(Clone, Debug)]
pub struct Create {
    pub name: Name,
    pub role: Role,
    pub bounds: Bounds,
    pub hash: SecretHash,
    pub by: String,
    pub expires_at: Option<Time>,
}

pub fn create(tx: &mut Tx<'_>, command: Create) -> Result<Token, Stop> {
    let now = tx.now();
    let known = rows::tokens(tx, 2 * TOKENS_MAX)?;
    let live = known.iter().filter(|token| token.is_live(now)).count();
    if live >= TOKENS_MAX {
        let message = format!("there are {TOKENS_MAX} live tokens already; revoke one");
        return Err(Refusal::new(Code::TooManyTokens, message).into());
    }
    if known.len() >= 2 * TOKENS_MAX
        && let Some(oldest) = known.iter().find(|token| !token.is_live(now))
    {
        rows::remove_token(tx, oldest.id);
    }
    if command.expires_at.is_some_and(|at| at <= now) {
        return Err(Refusal::field("expires_in", "it lies in the past").into());
    }
    let token = Token {
        id: tx.mint(),
        name: command.name,
        role: command.role,
        bounds: command.bounds,
        hash: command.hash,
        created_at: now,
        created_by: command.by,
        expires_at: command.expires_at,
        revoked_at: None,
    };
    rows::put_token(tx, &token);
    rows::set_up(tx)?;
    Ok(token)
}

/// A token that is revoked already stays as it is.
pub fn revoke(tx: &mut Tx<'_>, id: Id) -> Result<Token, Stop> {
    let Some(mut token) = rows::token(tx, id)? else {
        return Err(no_token(&id.to_string()).into());
    };
    if token.revoked_at.is_none() {
        token.revoked_at = Some(tx.now());
        rows::put_token(tx, &token);
    }
    Ok(token)
}

pub fn no_token(id: &str) -> Refusal {
    Refusal::new(
        Code::TokenNotFound,
        format!("no token {}: the list of tokens has their ids", quote(id)),
    )
}
