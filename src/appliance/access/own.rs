//! A signed-in user's own password: asked for before it is changed, and afterwards only the session
//! that changed it goes on.

use crate::ledger::access::{sessions, users};
use crate::model::access::{Known, Who};
use crate::model::refusal::{Code, Refusal};

use super::super::{Appliance, caller};
use super::fresh_secret;

impl Appliance {
    /// Changes the password of the user who asks; gives the secret of the session that goes on. All
    /// others of that user end.
    pub async fn change_own_password(
        &self,
        old: String,
        new: String,
        from: &str,
    ) -> Result<String, Refusal> {
        let name = match caller::current().as_deref().map(|caller| &*caller.who) {
            Some(Who { known: Known::User(name), .. }) => name.clone(),
            _ => return Err(Refusal::new(Code::Forbidden, "only who is signed in has a password")),
        };
        let user = self.prove_password(name.as_str(), old, from).await?;
        let password = self.password_hash(new).await?;
        let (secret, hash) = fresh_secret("");
        let from = from.to_owned();
        caller::say(name.to_string());
        self.call(move |tx| {
            users::change_password(tx, &name, &user.password, password.clone())?;
            sessions::begin(tx, &name, &password, hash, from)
        })
        .await?;
        self.reload_callers()?;
        Ok(secret)
    }
}
