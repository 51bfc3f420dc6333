//! The six services and the names each goes by.

use std::{fmt, str::FromStr};

/// One of the six services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Agents and their runs.
    Orchestrator,
    /// Language and embedding models.
    InferenceGateway,
    /// The knowledge graph.
    Memory,
    /// The paper exchange.
    Trading,
    /// The state of the suite.
    Monitor,
    /// Scores and instructions.
    Optimizer,
}

impl Service {
    /// All six, in the order in which people read about them.
    pub const ALL: [Self; 6] = [
        Self::Orchestrator,
        Self::InferenceGateway,
        Self::Memory,
        Self::Trading,
        Self::Monitor,
        Self::Optimizer,
    ];

    /// Its name for people, in containers, logs and metrics: `inference-gateway`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orchestrator => "orchestrator",
            Self::InferenceGateway => "inference-gateway",
            Self::Memory => "memory",
            Self::Trading => "trading",
            Self::Monitor => "monitor",
            Self::Optimizer => "optimizer",
        }
    }

    /// Its key in config.yaml: `inference_gateway`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::InferenceGateway => "inference_gateway",
            other => other.name(),
        }
    }

    /// Its program: `alina-inference-gateway`.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Orchestrator => "alina-orchestrator",
            Self::InferenceGateway => "alina-inference-gateway",
            Self::Memory => "alina-memory",
            Self::Trading => "alina-trading",
            Self::Monitor => "alina-monitor",
            Self::Optimizer => "alina-optimizer",
        }
    }

    /// Its gRPC service: `alina.inference.v1.InferenceService`.
    #[must_use]
    pub const fn grpc_name(self) -> &'static str {
        match self {
            Self::Orchestrator => "alina.orchestrator.v1.OrchestratorService",
            Self::InferenceGateway => "alina.inference.v1.InferenceService",
            Self::Memory => "alina.memory.v1.MemoryService",
            Self::Trading => "alina.trading.v1.TradingService",
            Self::Monitor => "alina.monitor.v1.MonitorService",
            Self::Optimizer => "alina.optimizer.v1.OptimizerService",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names none of the six services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownService(pub String);

impl fmt::Display for UnknownService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Service::ALL.map(Service::name).join(", ");
        write!(f, "no service `{}`; there are {names}", self.0)
    }
}

impl std::error::Error for UnknownService {}

impl FromStr for Service {
    type Err = UnknownService;

    /// Accepts its name or its key.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|service| service.name() == text || service.key() == text)
            .ok_or_else(|| UnknownService(text.to_owned()))
    }
}
