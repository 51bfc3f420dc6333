//! What a service is given to build itself from.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use alina_client::Connector;
use prometheus_client::registry::Registry;
use sqlx::{PgPool, migrate::Migrator};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{Common, ConfigError, postgres};

/// A service's configuration and the parts the chassis gives it.
#[derive(Debug)]
pub struct Context<S> {
    /// The service's own section of config.yaml.
    pub config: Arc<S>,
    /// The shared sections.
    pub common: Arc<Common>,
    /// Cancelled when the service is asked to stop; streams and background tasks end on it.
    pub shutdown: CancellationToken,
    pub(crate) connector: Connector,
    pub(crate) tasks: TaskTracker,
    pub(crate) registry: Arc<Mutex<Registry>>,
}

impl<S> Clone for Context<S> {
    fn clone(&self) -> Self {
        Self {
            config: Arc::clone(&self.config),
            common: Arc::clone(&self.common),
            shutdown: self.shutdown.clone(),
            connector: self.connector.clone(),
            tasks: self.tasks.clone(),
            registry: Arc::clone(&self.registry),
        }
    }
}

impl<S> Context<S> {
    /// Clients to the other services.
    #[must_use]
    pub fn connector(&self) -> Connector {
        self.connector.clone()
    }

    /// A pool of connections that see `schema` first, then `public`; the schema is made and
    /// migrated. Waits for PostgreSQL as long as config.yaml says.
    ///
    /// # Errors
    /// When PostgreSQL does not answer in that time, or a migration fails.
    pub async fn postgres(
        &self,
        schema: &'static str,
        migrator: &Migrator,
    ) -> Result<PgPool, StartError> {
        postgres::connect(&self.common, schema, migrator, &self.shutdown).await
    }

    /// Registers the service's own metrics.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `task` in the background, under a span of that `name`. It must end soon after
    /// `self.shutdown` is cancelled; the end of the service waits for it, within bounds.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task.instrument(tracing::info_span!("task", name)));
    }
}

/// The service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// PostgreSQL does not answer.
    #[error("PostgreSQL at {address} did not answer within {seconds} s ({cause}); is it running?")]
    Postgres {
        /// Host and port.
        address: String,
        /// How long it was waited for.
        seconds: u64,
        /// What it or the network said last.
        cause: String,
    },
    /// A schema could not be brought up to date.
    #[error("schema {schema} could not be migrated: {cause}")]
    Migration {
        /// Which.
        schema: &'static str,
        /// What PostgreSQL said.
        cause: String,
    },
    /// An address to listen on is not to be had.
    #[error("cannot listen on {address} ({key} in config.yaml): {cause}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The key that names it.
        key: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The service was told to stop while it started.
    #[error("told to stop while starting")]
    Stopped,
    /// Anything of the service's own; says what to do about it.
    #[error("{0}")]
    Other(String),
}

impl StartError {
    /// A failure of the service's own.
    pub fn other(message: impl fmt::Display) -> Self {
        Self::Other(message.to_string())
    }
}
