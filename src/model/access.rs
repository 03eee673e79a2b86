//! Who may do what: roles, what each may, whose things a caller is bound to, and the tokens and
//! users that stand for callers. No secret is in here but as a hash.

use std::fmt;

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::{Span, Time};

use super::words::words;

/// What a caller is to Tidegate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Everything, tokens and users included.
    Admin = 1,
    /// Everything but tokens, users and the audit log.
    Operator = 2,
    /// Creates runs, follows and cancels them.
    Producer = 3,
    /// Takes runs out of streams and says what became of them.
    Worker = 4,
    /// Looks, and changes nothing.
    Viewer = 5,
}

words!(Role {
    Admin "admin",
    Operator "operator",
    Producer "producer",
    Worker "worker",
    Viewer "viewer",
});

impl Role {
    pub fn may(self, needs: Needs) -> bool {
        use Role::{Admin, Operator, Producer, Viewer, Worker};
        match needs {
            Needs::Nothing | Needs::Read => true,
            Needs::View => matches!(self, Admin | Operator | Viewer),
            Needs::Create | Needs::Steer => matches!(self, Admin | Operator | Producer),
            Needs::Feed => matches!(self, Admin | Operator | Producer | Worker),
            Needs::Work => matches!(self, Admin | Operator | Worker),
            Needs::Operate => matches!(self, Admin | Operator),
            Needs::Administer => self == Admin,
        }
    }
}

/// What a route or a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Open to everyone: whether the process lives, and the way in.
    Nothing,
    /// Runs, streams and tasks as those see them who work with them.
    Read,
    /// Everything that an operator looks at.
    View,
    /// New runs.
    Create,
    /// Runs that are there: cancel, replay, edit.
    Steer,
    /// Entries of streams, answers of callbacks: what comes in from either side.
    Feed,
    /// Taking work and saying what became of it.
    Work,
    /// Tasks, schedules, pauses, settings, repair.
    Operate,
    /// Tokens, users, the audit log.
    Administer,
}

impl Needs {
    pub const ALL: [Needs; 9] = [
        Needs::Nothing,
        Needs::Read,
        Needs::View,
        Needs::Create,
        Needs::Steer,
        Needs::Feed,
        Needs::Work,
        Needs::Operate,
        Needs::Administer,
    ];

    /// Whether the audit log tells of it when `role` does it. It tells of changes of settings and of
    /// what people do to runs, not of the traffic: that is in the runs' own timelines.
    pub fn is_audited(self, role: Role) -> bool {
        match self {
            Needs::Operate | Needs::Administer => true,
            Needs::Steer => role <= Role::Operator,
            Needs::Nothing
            | Needs::Read
            | Needs::View
            | Needs::Create
            | Needs::Feed
            | Needs::Work => false,
        }
    }

    /// The roles that may, for messages and documents.
    pub fn roles(self) -> impl Iterator<Item = Role> {
        Role::ALL.iter().copied().filter(move |role| role.may(self))
    }
}

/// Whose things a caller is bound to; empty means everybody's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub org: Option<Name>,
    pub env: Option<Name>,
}

impl Bounds {
    pub fn is_everything(&self) -> bool {
        self.org.is_none() && self.env.is_none()
    }
}

/// In words, for messages: "org `acme` and env `prod`".
impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.org, &self.env) {
            (Some(org), Some(env)) => write!(f, "org `{org}` and env `{env}`"),
            (Some(org), None) => write!(f, "org `{org}`"),
            (None, Some(env)) => write!(f, "env `{env}`"),
            (None, None) => f.write_str("everything"),
        }
    }
}

/// How a caller is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nobody was set up yet: whoever reaches the address.
    Anyone,
    /// Through the data directory: the command line.
    Local,
    Token(Id),
    User(Name),
}

/// A caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub known: Known,
    /// Of the token or user.
    pub name: String,
    pub role: Role,
    pub bounds: Bounds,
}

impl Who {
    pub fn anyone() -> Who {
        Who {
            known: Known::Anyone,
            name: "anyone".to_owned(),
            role: Role::Admin,
            bounds: Bounds::default(),
        }
    }

    pub fn local() -> Who {
        Who { known: Known::Local, name: "command line".to_owned(), ..Who::anyone() }
    }
}

/// As the audit log names a caller.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.known {
            Known::Anyone | Known::Local => f.write_str(&self.name),
            Known::Token(_) => write!(f, "token {}", self.name),
            Known::User(name) => write!(f, "user {name}"),
        }
    }
}

/// SHA-256 of a secret of 256 random bits: such a secret needs no slow hash.
pub type SecretHash = [u8; 32];

/// An API token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: Id,
    pub name: Name,
    pub role: Role,
    pub bounds: Bounds,
    pub hash: SecretHash,
    pub created_at: Time,
    pub created_by: String,
    pub expires_at: Option<Time>,
    pub revoked_at: Option<Time>,
}

impl Token {
    pub fn is_live(&self, now: Time) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }
}

/// Someone who signs in to the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Another one when a user of the same name is added later: old sessions are not theirs.
    pub id: Id,
    pub name: Name,
    pub role: Role,
    /// An argon2 hash in its usual text form.
    pub password: String,
    pub created_at: Time,
    pub created_by: String,
    pub password_set_at: Time,
}

/// A user who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub hash: SecretHash,
    pub user: Name,
    pub user_id: Id,
    pub created_at: Time,
    /// When it was last used, give or take [`SEEN_EVERY`].
    pub seen_at: Time,
    pub from: String,
}

/// A session ends so long after it began, and when it was not used for so long.
pub const SESSION_AGE_MAX: Span = Span::from_days(7);
pub const SESSION_IDLE_MAX: Span = Span::from_hours(12);
/// How exactly it is known when a session was last used.
pub const SEEN_EVERY: Span = Span::from_mins(10);

impl Session {
    pub fn is_live(&self, now: Time) -> bool {
        now.since(self.created_at) < SESSION_AGE_MAX && now.since(self.seen_at) < SESSION_IDLE_MAX
    }
}

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    pub id: Id,
    /// As [`Who`] names itself.
    pub who: String,
    pub role: String,
    /// Address of the caller.
    pub from: String,
    /// Method and route, or a word: `PUT /v1/tasks/{name}`, `sign-in`.
    pub action: String,
    /// What it was done to.
    pub what: String,
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole of it, to be read: who may do what.
    #[test]
    fn roles_may_what_the_table_says() {
        let table: Vec<String> = Needs::ALL
            .into_iter()
            .map(|needs| {
                let roles: Vec<&str> = needs.roles().map(Role::as_str).collect();
                format!("{needs:?}: {}", roles.join(" "))
            })
            .collect();
        assert_eq!(
            table,
            [
                "Nothing: admin operator producer worker viewer",
                "Read: admin operator producer worker viewer",
                "View: admin operator viewer",
                "Create: admin operator producer",
                "Steer: admin operator producer",
                "Feed: admin operator producer worker",
                "Work: admin operator worker",
                "Operate: admin operator",
                "Administer: admin",
            ]
        );
        for role in Role::ALL.iter().copied() {
            assert_eq!(Role::parse(role.as_str()), Some(role));
            assert_eq!(Role::from_number(role as u8), Some(role));
        }
    }

    #[test]
    fn sessions_end_by_age_and_by_idleness() {
        let session = |created: Span, seen: Span| Session {
            hash: [0; 32],
            user: Name::new("ada").unwrap(),
            user_id: Id::MIN,
            created_at: Time::ZERO.minus(created),
            seen_at: Time::ZERO.minus(seen),
            from: String::new(),
        };
        let (hour, day) = (Span::from_hours(1), Span::from_days(6));
        assert!(session(day, hour).is_live(Time::ZERO));
        assert!(!session(SESSION_AGE_MAX, hour).is_live(Time::ZERO));
        assert!(!session(day, SESSION_IDLE_MAX).is_live(Time::ZERO));
    }
}
