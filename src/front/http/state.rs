//! What every handler has at hand.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::configuration::InForce;
use crate::appliance::Appliance;
use crate::appliance::pulse::Pulse;
use crate::base::time::Time;
use crate::model::alert::Channel;
use crate::model::endpoint::Endpoint;
use crate::model::outcome::Answer;
use crate::model::target::AllowList;
use crate::model::task::Task;

/// What a test call to an endpoint came to.
#[derive(Clone, Debug)]
pub struct Probed {
    pub answer: Answer,
    pub elapsed_ms: u32,
}

/// Sends a signed test call; the composition hands it in, since doors and duties do not know
/// each other.
pub type Probe =
    Arc<dyn Fn(Task, Endpoint) -> Pin<Box<dyn Future<Output = Probed> + Send>> + Send + Sync>;

/// What a test of a channel of alerts came to: an error, and how long it took.
#[derive(Clone, Debug)]
pub struct ChannelTested {
    pub channel: Channel,
    pub error: Option<String>,
    pub elapsed_ms: u32,
}

/// Sends a test message through channels of alerts, one after another.
pub type ChannelTest = Arc<
    dyn Fn(Vec<Channel>) -> Pin<Box<dyn Future<Output = Vec<ChannelTested>> + Send>> + Send + Sync,
>;

/// Shared by all handlers; a cheap clone, since every request has its own.
#[derive(Clone)]
pub struct Front(Arc<Shared>);

impl Front {
    pub fn new(shared: Shared) -> Front {
        Front(Arc::new(shared))
    }
}

impl std::ops::Deref for Front {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What all handlers work with.
pub struct Shared {
    pub appliance: Appliance,
    pub about: Arc<About>,
    pub configuration: Arc<InForce>,
    pub pulse: Arc<Pulse>,
    pub probe: Probe,
    pub channel_test: ChannelTest,
    /// Hosts and networks that push may reach although they are private.
    pub allow: Arc<AllowList>,
    pub stop: CancellationToken,
}

/// What a page says about the appliance itself.
#[derive(Clone, Debug)]
pub struct About {
    pub version: &'static str,
    pub address: String,
    /// Where clients of the Redis protocol come in.
    pub redis: std::net::SocketAddr,
    pub data_dir: std::path::PathBuf,
    pub started_at: Time,
    /// Words for the page header, such as `fsync before every answer`.
    pub durability: String,
}
