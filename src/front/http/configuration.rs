//! What the doors know of the configuration. A reload puts a new one in its place.

use std::sync::{Arc, PoisonError, RwLock};

use crate::base::time::Time;
use crate::model::setting::Setting;

/// The configuration that is in force.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// Names under which pages and API may be asked, besides addresses and `localhost`.
    pub hosts: Vec<String>,
    pub settings: Vec<Setting>,
    /// When it was read; the start counts.
    pub loaded_at: Time,
    /// A later one that could not be used.
    pub refused: Option<RefusedReload>,
}

/// A configuration that was read again and could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedReload {
    pub at: Time,
    /// The key that is wrong; the file when it cannot be read.
    pub key: String,
    pub message: String,
}

/// The one in force, shared by everyone who looks.
#[derive(Debug, Default)]
pub struct InForce(RwLock<Arc<Configuration>>);

impl InForce {
    pub fn new(configuration: Configuration) -> InForce {
        InForce(RwLock::new(Arc::new(configuration)))
    }

    pub fn get(&self) -> Arc<Configuration> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn put(&self, configuration: Configuration) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(configuration);
    }

    /// Remembers that a later one could not be used; all else stays as it is.
    pub fn refuse(&self, refused: RefusedReload) {
        self.put(Configuration { refused: Some(refused), ..Configuration::clone(&self.get()) });
    }
}
