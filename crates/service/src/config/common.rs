//! The sections that all services share.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use alina_client::{Connector, Endpoints, Token};
use alina_proto::Service;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::postgres::PgConnectOptions;

use super::{Check, ConfigError};

/// As the file has it: every top-level key but the services' own sections.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Shared {
    /// The budget that `alina plan` fits to the machine at hand.
    #[serde(default)]
    pub(super) machine: Machine,
    /// Where each service listens, how the others reach it, and what it may use of the machine.
    pub(super) services: Services,
    /// The database.
    pub(super) postgres: Postgres,
    /// The cache.
    pub(super) redis: Redis,
    /// Who may call.
    #[serde(default)]
    pub(super) security: Security,
    /// Logs and traces.
    #[serde(default)]
    pub(super) telemetry: Telemetry,
}

/// The configuration that all services share.
#[derive(Debug, Clone)]
pub struct Common {
    /// The budget.
    pub machine: Machine,
    /// The six services.
    pub services: Services,
    /// The database.
    pub postgres: Postgres,
    /// The cache.
    pub redis: Redis,
    /// Who may call.
    pub security: Security,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// The file this was read from.
    pub file: PathBuf,
}

/// What the suite may use.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Machine {
    /// CPUs.
    pub cpus: u32,
    /// Memory in GiB.
    pub memory_gb: f64,
    /// Weight against other programs when CPUs are contended (Docker's `cpu_shares`).
    pub cpu_shares: u32,
    /// Agents that decode at once, over all runs.
    pub parallel_agents: u32,
}

impl Default for Machine {
    fn default() -> Self {
        Self { cpus: 8, memory_gb: 48.0, cpu_shares: 2048, parallel_agents: 4 }
    }
}

/// One service's place.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// gRPC.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Prometheus metrics, HTTP `/metrics`.
    #[schemars(with = "String")]
    pub metrics: SocketAddr,
    /// How the other services reach it: `http://host:port`.
    pub url: String,
    /// CPUs it may use.
    pub cpus: f64,
    /// Ceiling of its memory in MiB.
    pub memory_mb: u32,
}

/// The six services' places.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Services {
    /// Agents and their runs.
    pub orchestrator: Endpoint,
    /// Language and embedding models.
    pub inference_gateway: Endpoint,
    /// The knowledge graph.
    pub memory: Endpoint,
    /// The paper exchange.
    pub trading: Endpoint,
    /// The state of the suite.
    pub monitor: Endpoint,
    /// Scores and instructions.
    pub optimizer: Endpoint,
}

impl Services {
    /// One of them.
    #[must_use]
    pub const fn get(&self, service: Service) -> &Endpoint {
        match service {
            Service::Orchestrator => &self.orchestrator,
            Service::InferenceGateway => &self.inference_gateway,
            Service::Memory => &self.memory,
            Service::Trading => &self.trading,
            Service::Monitor => &self.monitor,
            Service::Optimizer => &self.optimizer,
        }
    }
}

/// The database.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// `postgres://user@host:port/database`.
    pub url: String,
    /// A file with the password; null when the URL has it or the server needs none.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Connections of each service.
    #[serde(default = "eight")]
    pub max_connections: u32,
    /// How long a service waits for the database when it starts.
    #[serde(default = "thirty")]
    pub connect_timeout_seconds: u64,
    /// A folder that `alina up` lets its PostgreSQL copy its write-ahead log to, for base backups and
    /// for restoring a point in time; null for none.
    #[serde(default)]
    pub archive: Option<PathBuf>,
}

const fn eight() -> u32 {
    8
}

const fn thirty() -> u64 {
    30
}

/// The cache.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// `redis://host:port/`.
    pub url: String,
}

/// Who may call.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// A file with one bearer token a line; when set, every call but health needs one of them, and
    /// the services use the first one among themselves.
    pub token_file: Option<PathBuf>,
}

/// Logs and traces.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `alina_memory=debug,info`.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Where traces are sent (OTLP over gRPC), for example `http://127.0.0.1:4317`; null for nowhere.
    pub otlp_endpoint: Option<String>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: "info".to_owned(), log_format: LogFormat::Auto, otlp_endpoint: None }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Common {
    pub(super) fn new(shared: Shared, file: &Path) -> Self {
        let Shared { machine, services, postgres, redis, security, telemetry } = shared;
        Self { machine, services, postgres, redis, security, telemetry, file: file.to_owned() }
    }

    /// Reads the shared sections of `file`, with the environment's overrides.
    ///
    /// # Errors
    /// Everything wrong with them.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        super::Raw::read(file, std::env::vars())?.common()
    }

    /// One service's place.
    #[must_use]
    pub const fn endpoint(&self, service: Service) -> &Endpoint {
        self.services.get(service)
    }

    /// `relative` to the folder of config.yaml; absolute paths stay as they are.
    #[must_use]
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new(".")).join(relative)
    }

    /// The bearer tokens in force, the services' own first; empty when none are asked for.
    ///
    /// # Errors
    /// When the file cannot be read or holds no usable token.
    pub fn tokens(&self) -> Result<Vec<String>, ConfigError> {
        let Some(file) = &self.security.token_file else { return Ok(Vec::new()) };
        let file = self.path(file);
        let wrong = |message: String| ConfigError::one(&self.file, "security.token_file", message);
        let text = std::fs::read_to_string(&file)
            .map_err(|error| wrong(format!("{} cannot be read: {error}", file.display())))?;
        let tokens: Vec<String> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Into::into).collect();
        if tokens.is_empty() || tokens.iter().any(|token| Token::new(token).is_none()) {
            return Err(wrong(format!(
                "{} must hold one token a line, of printable ASCII without blanks",
                file.display()
            )));
        }
        Ok(tokens)
    }

    /// How to connect to the database, with the password when a file has it.
    ///
    /// # Errors
    /// When the address or the password file is unusable.
    pub fn postgres_options(&self) -> Result<PgConnectOptions, ConfigError> {
        let wrong = |key: &str, message| ConfigError::one(&self.file, key, message);
        let options = PgConnectOptions::from_str(&self.postgres.url)
            .map_err(|error| wrong("postgres.url", error.to_string()))?;
        let Some(file) = &self.postgres.password_file else { return Ok(options) };
        let file = self.path(file);
        let password = std::fs::read_to_string(&file).map_err(|error| {
            let message = format!("{} cannot be read: {error}", file.display());
            wrong("postgres.password_file", message)
        })?;
        Ok(options.password(password.trim()))
    }

    /// Clients to all services, with the first token when tokens are asked for.
    ///
    /// # Errors
    /// When an address or the token file is unusable.
    pub fn connector(&self) -> Result<Connector, ConfigError> {
        let token = self.tokens()?.first().and_then(|token| Token::new(token));
        let urls: BTreeMap<_, _> = Service::ALL
            .into_iter()
            .map(|service| (service, self.endpoint(service).url.clone()))
            .collect();
        let endpoints = Endpoints::new(urls).map_err(|error| {
            let path = format!("services.{}.url", error.service.key());
            ConfigError::one(&self.file, path, error.to_string())
        })?;
        Ok(Connector::new(&endpoints, token.as_ref()))
    }

    pub(super) fn check(&self, check: &mut Check) {
        let machine = &self.machine;
        check.that((1..=1024).contains(&machine.cpus), "machine.cpus", "must be 1 to 1024");
        check.that(
            machine.memory_gb.is_finite() && machine.memory_gb >= 1.0,
            "machine.memory_gb",
            "must be at least 1",
        );
        check.that(
            (2..=262_144).contains(&machine.cpu_shares),
            "machine.cpu_shares",
            "must be 2 to 262144",
        );
        check.that(
            (1..=64).contains(&machine.parallel_agents),
            "machine.parallel_agents",
            "must be 1 to 64",
        );
        let mut ports = BTreeMap::new();
        for service in Service::ALL {
            let place = self.endpoint(service);
            let path = format!("services.{}", service.key());
            let cpus_fit = place.cpus.is_finite() && place.cpus > 0.0;
            check.that(cpus_fit, format!("{path}.cpus"), "must be over 0");
            check.that(place.memory_mb >= 64, format!("{path}.memory_mb"), "must be at least 64");
            let is_address = Endpoints::single(service, place.url.clone()).is_ok();
            check.that(is_address, format!("{path}.url"), "must be http://host:port");
            for (key, address) in [("listen", place.listen), ("metrics", place.metrics)] {
                let path = format!("{path}.{key}");
                if let Some(other) = ports.insert(address, path.clone()) {
                    check.that(false, path, format!("{address} is taken by {other}"));
                }
            }
        }
        check.that(
            self.postgres.url.starts_with("postgres://")
                || self.postgres.url.starts_with("postgresql://"),
            "postgres.url",
            "must be postgres://user@host:port/database",
        );
        check.that(
            (1..=200).contains(&self.postgres.max_connections),
            "postgres.max_connections",
            "must be 1 to 200",
        );
        check.that(
            self.redis.url.starts_with("redis://"),
            "redis.url",
            "must be redis://host:port/",
        );
    }
}
