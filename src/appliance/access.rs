//! Who a caller is: tokens and sessions looked up in memory, passwords compared off the runtime,
//! guesses slowed; and the acts on tokens, users and the audit log.
//!
//! What is in memory is read anew from the store after each change, so a token that was revoked is
//! refused once the answer to that is out. A look-up hashes what was given and finds the hash in a
//! map: neither depends on how much of a guess is right.

mod own;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::base::entropy::fill_secret;
use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::{Span, Time};
use crate::ledger::access::audit::{self as audit_line, Line};
use crate::ledger::access::{sessions, tokens, users};
use crate::model::access::{
    Audited, Bounds, Known, Role, SEEN_EVERY, SecretHash, Session, Token, User, Who,
};
use crate::model::attempts::Attempts;
use crate::model::refusal::{Code, Refusal};
use crate::store::fault::Fault;
use crate::store::kinds::{access as rows, audit};
use crate::store::rows::Rows;

use super::{Appliance, caller, unreadable};

pub use crate::ledger::access::tokens::TOKENS_MAX;
pub use crate::ledger::access::users::USERS_MAX;

/// What API tokens begin with, for people and for scanners of sources.
pub const TOKEN_PREFIX: &str = "tidegate_";
/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;
/// Passwords that are compared at the same time: each takes 19 MiB and a core for a moment.
const HASHING_MAX: usize = 2;
/// Callers that wait for that; any more are told to come again.
const WAITING_MAX: usize = 32;
/// Shortest and longest password, in characters and in bytes.
pub const PASSWORD_CHARS_MIN: usize = 10;
const PASSWORD_BYTES_MAX: usize = 1_024;
/// How long the set-up link is good.
pub const SET_UP_FOR: Span = Span::from_mins(30);

/// A clock may be set back by so much without bringing anything back that was over.
const SET_BACK_MAX: Span = Span::from_hours(24);

/// What is known of callers, in memory.
pub struct Keeper {
    callers: RwLock<Callers>,
    attempts: Mutex<Attempts>,
    /// The latest moment there was.
    latest: AtomicI64,
    /// Hash of the secret of the set-up link, and until when it is good.
    link: Mutex<Option<(SecretHash, Time)>>,
    hashing: Semaphore,
    waiting: Semaphore,
    /// Compared with when no such user is known, so that both take as long.
    nobody: std::sync::OnceLock<String>,
}

#[derive(Default)]
struct Callers {
    set_up: bool,
    tokens: HashMap<SecretHash, KnownToken>,
    sessions: HashMap<SecretHash, KnownSession>,
    users: BTreeMap<Name, Id>,
}

struct KnownToken {
    who: Arc<Who>,
    expires_at: Option<Time>,
}

struct KnownSession {
    session: Session,
    who: Arc<Who>,
    /// When it was used last, also when that is not written yet.
    seen: AtomicI64,
}

impl KnownSession {
    /// With what is not written yet.
    fn session_now(&self) -> Session {
        let seen_at = Time(self.seen.load(Ordering::Relaxed));
        Session { seen_at, ..self.session.clone() }
    }
}

impl Callers {
    fn load(view: &dyn Rows) -> Result<Callers, Fault> {
        let users = rows::users(view, USERS_MAX)?;
        let tokens = rows::tokens(view, 2 * TOKENS_MAX)?;
        // Those that have expired are told by each look: the clock may have been wrong.
        let live = tokens.into_iter().filter(|token| token.revoked_at.is_none());
        let found = rows::sessions(view, sessions::SESSIONS_MAX)?;
        let known = |session: Session| {
            // Of a user that was removed, perhaps with another one of that name since.
            let user = users.iter().find(|user| user.id == session.user_id)?;
            let who = Arc::new(who_of_user(user));
            let seen = AtomicI64::new(session.seen_at.0);
            Some((session.hash, KnownSession { session, who, seen }))
        };
        Ok(Callers {
            set_up: rows::set_up_at(view)?.is_some(),
            tokens: live.map(|token| (token.hash, known_token(token))).collect(),
            sessions: found.into_iter().filter_map(known).collect(),
            users: users.iter().map(|user| (user.name.clone(), user.id)).collect(),
        })
    }
}

fn known_token(token: Token) -> KnownToken {
    let who = Who {
        known: Known::Token(token.id),
        name: token.name.to_string(),
        role: token.role,
        bounds: token.bounds,
    };
    KnownToken { who: Arc::new(who), expires_at: token.expires_at }
}

fn who_of_user(user: &User) -> Who {
    Who {
        known: Known::User(user.name.clone()),
        name: user.name.to_string(),
        role: user.role,
        bounds: Bounds::default(),
    }
}

impl Keeper {
    /// `latest`: a moment of which the store knows that it was.
    pub fn load(view: &dyn Rows, latest: Time) -> Result<Keeper, Fault> {
        Ok(Keeper {
            callers: RwLock::new(Callers::load(view)?),
            attempts: Mutex::default(),
            latest: AtomicI64::new(latest.0),
            link: Mutex::default(),
            hashing: Semaphore::new(HASHING_MAX),
            waiting: Semaphore::new(WAITING_MAX),
            nobody: std::sync::OnceLock::new(),
        })
    }

    fn look<T>(&self, look: impl FnOnce(&Callers) -> T) -> T {
        look(&self.callers.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fresh secret, and its hash.
fn fresh_secret(prefix: &str) -> (String, SecretHash) {
    let mut bytes = [0; SECRET_BYTES];
    fill_secret(&mut bytes);
    let text = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes));
    let hash = hash_of(&text);
    (text, hash)
}

/// What is kept of a secret.
pub fn hash_of(secret: &str) -> SecretHash {
    Sha256::digest(secret.as_bytes()).into()
}

/// What a token is to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub name: Name,
    pub role: Role,
    pub bounds: Bounds,
    /// Until then; `None` for ever.
    pub expires_at: Option<Time>,
}

impl Appliance {
    /// Whether anybody was let in yet. Until then whoever reaches the address may do everything,
    /// and so only this machine may reach it.
    pub fn is_set_up(&self) -> bool {
        self.access.look(|callers| callers.set_up)
    }

    pub fn has_users(&self) -> bool {
        self.access.look(|callers| !callers.users.is_empty())
    }

    /// Wrong tokens and passwords since the start.
    pub fn failed_attempts(&self) -> u64 {
        self.access.attempts().failed()
    }

    /// The caller with this token. Strangers are counted by `from`; one that guesses too often is
    /// told to wait, and whoever has the right token is let in all the same.
    pub fn of_token(&self, secret: &str, from: &str) -> Result<Arc<Who>, Refusal> {
        let now = self.now();
        if let Some(who) = self.of_proof(&hash_of(secret)) {
            return Ok(who);
        }
        // Apart from the passwords: a worker with an old token locks nobody out of the pages.
        let key = format!("token {from}");
        let wait = self.access.attempts().wait(&key, now);
        self.count_failure(&key, from, now);
        match wait {
            Some(wait) => Err(too_often(wait)),
            None => {
                Err(Refusal::new(Code::Unauthorized, "the token is unknown, revoked or expired"))
            }
        }
    }

    /// A guess that was wrong. Where a pause begins the audit log has a line.
    fn count_failure(&self, key: &str, from: &str, now: Time) {
        if !self.access.attempts().fail(key, now) {
            return;
        }
        let line = Line {
            who: "a stranger".to_owned(),
            from: from.to_owned(),
            action: "too many wrong tokens or passwords".to_owned(),
            what: key.to_owned(),
            detail: "further ones are slowed".to_owned(),
            ..Line::default()
        };
        // Nobody waits for it, least of all who guesses.
        drop(self.handle.send(move |tx| {
            audit_line::add(tx, &line);
            Ok(())
        }));
    }

    /// The caller whose token has this hash, for as long as that is live.
    pub fn of_proof(&self, proof: &SecretHash) -> Option<Arc<Who>> {
        let now = self.moment();
        self.access.look(|callers| {
            let token = callers.tokens.get(proof)?;
            token.expires_at.is_none_or(|at| now < at).then(|| token.who.clone())
        })
    }

    /// Whether the session with this hash goes on; does not count as using it.
    pub fn knows_session(&self, hash: &SecretHash) -> bool {
        let now = self.moment();
        self.access.look(|callers| {
            callers.sessions.get(hash).is_some_and(|known| known.session_now().is_live(now))
        })
    }

    /// The moment by which tokens, sessions and links are over. A clock that is set back brings none
    /// of them back to life; one that is set back by more than a day was wrong before, and is
    /// believed.
    pub fn moment(&self) -> Time {
        let now = self.now();
        let latest = Time(self.access.latest.fetch_max(now.0, Ordering::Relaxed));
        if latest.since(now) > SET_BACK_MAX {
            self.access.latest.store(now.0, Ordering::Relaxed);
            return now;
        }
        latest.max(now)
    }

    /// The caller with this session, if it is live. Notes that it was used, now and then.
    pub fn of_session(&self, secret: &str) -> Option<Arc<Who>> {
        let (hash, now) = (hash_of(secret), self.moment());
        let (who, stale) = self.access.look(|callers| {
            let known = callers.sessions.get(&hash)?;
            let session = known.session_now();
            if !session.is_live(now) {
                return None;
            }
            let stale = now.since(session.seen_at) > SEEN_EVERY;
            if stale {
                known.seen.store(now.0, Ordering::Relaxed);
            }
            Some((known.who.clone(), stale))
        })?;
        if stale {
            // Nobody waits for it: what is lost in a crash is that it was used of late.
            drop(self.handle.send(move |tx| sessions::touch(tx, &hash)));
        }
        Some(who)
    }

    /// Reads again what the store says of callers; after each change.
    fn reload_callers(&self) -> Result<(), Refusal> {
        let mut callers = self.access.callers.write().unwrap_or_else(PoisonError::into_inner);
        *callers = Callers::load(&self.snapshot()?).map_err(unreadable)?;
        Ok(())
    }

    /// Makes a token; gives its secret, which nobody can find out again.
    pub async fn create_token(&self, wish: NewToken) -> Result<(Token, String), Refusal> {
        let (secret, hash) = fresh_secret(TOKEN_PREFIX);
        let NewToken { name, role, bounds, expires_at } = wish;
        caller::say(format!("{name}: {} of {bounds}", role.as_str()));
        let by = caller::name();
        let create = tokens::Create { name, role, bounds, hash, by, expires_at };
        let token = self.call(move |tx| tokens::create(tx, create)).await?;
        self.reload_callers()?;
        Ok((token, secret))
    }

    pub async fn revoke_token(&self, id: Id) -> Result<Token, Refusal> {
        let token = self.call(move |tx| tokens::revoke(tx, id)).await?;
        self.reload_callers()?;
        Ok(token)
    }

    /// All tokens, oldest first, those included that are over.
    pub fn tokens(&self) -> Result<Vec<Token>, Refusal> {
        rows::tokens(&self.snapshot()?, 2 * TOKENS_MAX).map_err(unreadable)
    }

    pub fn users(&self) -> Result<Vec<User>, Refusal> {
        rows::users(&self.snapshot()?, USERS_MAX).map_err(unreadable)
    }

    /// Adds a user; `first` refuses unless there is none.
    pub async fn add_user(
        &self,
        name: Name,
        role: Role,
        password: String,
        first: bool,
    ) -> Result<User, Refusal> {
        let password = self.password_hash(password).await?;
        caller::say(format!("{name}: {}", role.as_str()));
        let add = users::Add { name, role, password, by: caller::name(), first };
        let user = self.call(move |tx| users::add(tx, add)).await?;
        self.reload_callers()?;
        Ok(user)
    }

    pub async fn set_password(&self, name: Name, password: String) -> Result<User, Refusal> {
        let password = self.password_hash(password).await?;
        let user = self.call(move |tx| users::set_password(tx, &name, password)).await?;
        self.reload_callers()?;
        Ok(user)
    }

    pub async fn remove_user(&self, name: Name) -> Result<(), Refusal> {
        self.call(move |tx| users::remove(tx, &name)).await?;
        self.reload_callers()
    }

    /// Signs a user in; gives the secret of the session. Unknown users and wrong passwords are told
    /// apart neither by words nor by time.
    pub async fn sign_in(
        &self,
        user: &str,
        password: String,
        from: &str,
    ) -> Result<String, Refusal> {
        let found = self.prove_password(user, password, from).await?;
        caller::has_role(found.role);
        let (secret, hash) = fresh_secret("");
        let from = from.to_owned();
        self.call(move |tx| sessions::begin(tx, &found.name, &found.password, hash, from)).await?;
        self.reload_callers()?;
        Ok(secret)
    }

    /// The user of this name and password; guesses are counted by name and address.
    async fn prove_password(
        &self,
        user: &str,
        password: String,
        from: &str,
    ) -> Result<User, Refusal> {
        let now = self.now();
        let keys = [format!("address {from}"), format!("user {user}")];
        let name = Name::new(user).ok();
        // Whoever guesses a name from elsewhere must not keep its owner out.
        let counts = if self.is_at_home(name.as_ref(), from) { &keys[..1] } else { &keys[..] };
        {
            let mut attempts = self.access.attempts();
            if let Some(wait) = counts.iter().filter_map(|key| attempts.wait(key, now)).max() {
                return Err(too_often(wait));
            }
        }
        let found = match &name {
            Some(name) => rows::user(&self.snapshot()?, name).map_err(unreadable)?,
            None => None,
        };
        let stored = match &found {
            Some(user) => user.password.clone(),
            None => self.nobodys_password().await?,
        };
        let right = self.is_password(password, stored).await?;
        match found.filter(|_| right) {
            Some(found) => {
                let mut attempts = self.access.attempts();
                counts.iter().for_each(|key| attempts.succeed(key));
                Ok(found)
            }
            None => {
                keys.iter().for_each(|key| self.count_failure(key, from, now));
                let message = "no user of this name has this password";
                Err(Refusal::new(Code::WrongPassword, message))
            }
        }
    }

    /// Whether this user is signed in from that address already.
    fn is_at_home(&self, name: Option<&Name>, from: &str) -> bool {
        let now = self.moment();
        let is_theirs = |session: &Session| {
            Some(&session.user) == name && session.from == from && session.is_live(now)
        };
        self.access
            .look(|callers| callers.sessions.values().any(|known| is_theirs(&known.session_now())))
    }

    pub async fn sign_out(&self, secret: &str) -> Result<(), Refusal> {
        let hash = hash_of(secret);
        self.call(move |tx| sessions::end(tx, &hash)).await?;
        self.reload_callers()
    }

    /// The secret of a fresh set-up link, good for [`SET_UP_FOR`]; an older one is void. `None` once
    /// there are users.
    pub fn set_up_link(&self) -> Option<String> {
        if self.has_users() {
            return None;
        }
        let (secret, hash) = fresh_secret("");
        let until = self.moment().plus(SET_UP_FOR);
        *self.access.link.lock().unwrap_or_else(PoisonError::into_inner) = Some((hash, until));
        Some(secret)
    }

    /// Whether this is the secret of the set-up link, and it is still good.
    pub fn check_link(&self, secret: &str, from: &str) -> Result<(), Refusal> {
        let now = self.now();
        let key = format!("address {from}");
        if let Some(wait) = self.access.attempts().wait(&key, now) {
            return Err(too_often(wait));
        }
        let link = *self.access.link.lock().unwrap_or_else(PoisonError::into_inner);
        let good = link.is_some_and(|(hash, until)| {
            bool::from(hash.ct_eq(&hash_of(secret))) && self.moment() < until
        });
        if good && !self.has_users() {
            return Ok(());
        }
        self.count_failure(&key, from, now);
        let message = "the link is used up or too old: the log of a fresh start has another one, \
                       and `tidegate user add` needs none";
        Err(Refusal::new(Code::Forbidden, message))
    }

    /// Lines of the audit log before `before`, newest first.
    pub fn audit(&self, before: Option<Id>, limit: usize) -> Result<Vec<Audited>, Refusal> {
        audit::page(&self.snapshot()?, before, limit).map_err(unreadable)
    }

    async fn password_hash(&self, password: String) -> Result<String, Refusal> {
        if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
            let message =
                format!("expected {PASSWORD_CHARS_MIN} characters to {PASSWORD_BYTES_MAX} bytes");
            return Err(Refusal::field("password", message));
        }
        self.hashed(move || {
            let hash = Argon2::default().hash_password(password.as_bytes());
            hash.expect("the length was checked").to_string()
        })
        .await
    }

    async fn is_password(&self, password: String, stored: String) -> Result<bool, Refusal> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        self.hashed(move || match PasswordHash::new(&stored) {
            Ok(hash) => Argon2::default().verify_password(password.as_bytes(), &hash).is_ok(),
            Err(error) => {
                tracing::error!(%error, "a stored password cannot be read");
                false
            }
        })
        .await
    }

    async fn nobodys_password(&self) -> Result<String, Refusal> {
        if let Some(known) = self.access.nobody.get() {
            return Ok(known.clone());
        }
        let fresh = self.password_hash(fresh_secret("").0).await?;
        Ok(self.access.nobody.get_or_init(|| fresh).clone())
    }

    /// Work of a tenth of a second, a few pieces at a time and away from the requests.
    async fn hashed<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let busy = || {
            Refusal::new(Code::LimitAttempts, "too many are signing in; try again in a moment")
                .retry_after(Span::from_secs(1))
        };
        let _place = self.access.waiting.try_acquire().map_err(|_| busy())?;
        let _turn = self.access.hashing.acquire().await.map_err(|_| busy())?;
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|_| Refusal::new(Code::Internal, "the password could not be hashed"))
    }
}

fn too_often(wait: Span) -> Refusal {
    let message = format!("too many wrong tokens or passwords; try again in {wait}");
    Refusal::new(Code::LimitAttempts, message).retry_after(wait)
}
