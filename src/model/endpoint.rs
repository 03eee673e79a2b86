//! The receiver side of a push task: its secrets, its breaker, and how it has been doing.

use crate::base::name::Name;
use crate::base::time::Time;

use super::breaker::Breaker;
use super::signature::{Secret, Secrets};

/// One endpoint; it has the name of its task.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub name: Name,
    pub secrets: Secrets,
    pub breaker: Breaker,
    pub last_success_at: Option<Time>,
    /// When, code and detail of the latest failure.
    pub last_error: Option<(Time, String, String)>,
    /// When people were last told that deliveries end as dead letters.
    pub exhausted_told_at: Option<Time>,
    /// Deliveries that succeeded and failed, ever.
    pub delivered: u64,
    pub failed: u64,
}

impl Endpoint {
    pub fn new(name: Name, secret: Secret) -> Endpoint {
        Endpoint {
            name,
            secrets: Secrets::new(secret),
            breaker: Breaker::default(),
            last_success_at: None,
            last_error: None,
            exhausted_told_at: None,
            delivered: 0,
            failed: 0,
        }
    }
}
