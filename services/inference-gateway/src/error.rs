//! What can go wrong, and what to do about it.

use std::time::Duration;

use crate::{
    chat::{AgentId, ModelName},
    models::residency::NoRoom,
    schedule::{Resource, Spent, Whose},
};

/// When there may be room for a model again.
const ROOM: Duration = Duration::from_secs(1);

/// Why a request has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No model or alias of that name.
    #[error("no model `{name}`{}", suggestion(.near))]
    ModelNotFound {
        /// As asked for.
        name: String,
        /// Names that look alike.
        near: Vec<String>,
    },
    /// The model is for something else.
    #[error("model `{name}` {problem}")]
    WrongKind {
        /// The model.
        name: ModelName,
        /// What it is for, and what is needed.
        problem: &'static str,
    },
    /// The model's file or its back end is not in order.
    #[error("model `{name}` is unavailable: {problem}")]
    ModelUnavailable {
        /// The model.
        name: ModelName,
        /// Which file, what was expected, how to mend it.
        problem: String,
    },
    /// The prompt does not fit.
    #[error(
        "the prompt has {tokens} tokens, model `{model}` has room for {fit} (its context of \
         {context} less {} for the answer); shorten the messages",
        .context - .fit
    )]
    PromptTooLong {
        /// The model.
        model: ModelName,
        /// Of the prompt.
        tokens: u32,
        /// The most a prompt may have.
        fit: u32,
        /// The model's window.
        context: u32,
    },
    /// What the answer must be cannot be enforced.
    #[error("{field} cannot be enforced: {why}")]
    InvalidConstraint {
        /// Of the request.
        field: &'static str,
        /// Where and why.
        why: String,
    },
    /// The model's back end cannot do it.
    #[error("model `{model}` is served by `{backend}`, which cannot do {what}")]
    Unsupported {
        /// The model.
        model: ModelName,
        /// Its back end.
        backend: String,
        /// For example "grammar".
        what: &'static str,
    },
    /// There is no room for the model.
    #[error(
        "model `{name}` needs {} MiB of memory; of the {} MiB for models, pinned ones have {} MiB \
         and those that answer {} MiB; {}",
        mib(.no_room.needed), mib(.no_room.budget), mib(.no_room.pinned), mib(.no_room.in_use),
        if .no_room.will_pass() {
            "try again when they have answered"
        } else {
            "raise inference_gateway.memory_mb, lower context_length or prefix_cache_mb, or unpin one"
        }
    )]
    OutOfMemory {
        /// The model.
        name: ModelName,
        /// The sizes.
        no_room: NoRoom,
    },
    /// Too many wait already.
    #[error(
        "{waiting} requests {}wait already, the most that may; try again in {:.1} s",
        of(.agent.as_ref()), .retry_after.as_secs_f32()
    )]
    QueueFull {
        /// How many.
        waiting: usize,
        /// Whose bound it is; none when it is that of all together.
        agent: Option<AgentId>,
        /// When a place in the queue is likely.
        retry_after: Duration,
    },
    /// The answer would come after the call's deadline.
    #[error(
        "the answer is expected in {:.1} s, the call's deadline is in {:.1} s; allow more time, \
         ask for fewer tokens, or try again in {:.1} s",
        .needed.as_secs_f32(), .left.as_secs_f32(), .retry_after.as_secs_f32()
    )]
    DeadlineTooShort {
        /// To the end of the answer, at the present rate.
        needed: Duration,
        /// To the deadline.
        left: Duration,
        /// When less is likely to wait.
        retry_after: Duration,
    },
    /// The agent's or the run's budget is spent.
    #[error("{whose} budget of {what} is spent{}", again(*.retry_after))]
    BudgetSpent {
        /// Whose.
        whose: Whose,
        /// Of what.
        what: Resource,
        /// When there is some of it again, if ever.
        retry_after: Option<Duration>,
    },
    /// PostgreSQL is away.
    #[error("what was used cannot be read: {problem}")]
    StoreUnavailable {
        /// What it said.
        problem: String,
    },
    /// The back end failed before or while it answered.
    #[error("back end `{backend}` failed: {cause}")]
    BackendFailed {
        /// "embedded" or the name of a server.
        backend: String,
        /// What it said.
        cause: String,
    },
    /// The back end has too much to do.
    #[error(
        "back end `{backend}` is busy: {cause}; try again in {:.1} s", .retry_after.as_secs_f32()
    )]
    BackendBusy {
        /// The name of a server.
        backend: String,
        /// When it asks to be asked again.
        retry_after: Duration,
        /// What it said.
        cause: String,
    },
    /// The back end finds fault with the request.
    #[error("back end `{backend}` refuses the request: {cause}")]
    BackendRefused {
        /// The name of a server.
        backend: String,
        /// What it said.
        cause: String,
    },
}

fn suggestion(names: &[String]) -> String {
    match names {
        [] => "; `alina models` lists those there are".to_owned(),
        names => format!("; did you mean {}?", names.join(", ")),
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

fn of(agent: Option<&AgentId>) -> String {
    agent.map(|agent| format!("of agent `{agent}` ")).unwrap_or_default()
}

fn again(after: Option<Duration>) -> String {
    let again = |after: Duration| format!("; there is some again in {} s", after.as_secs() + 1);
    after.map(again).unwrap_or_default()
}

impl From<Spent> for Error {
    fn from(spent: Spent) -> Self {
        let Spent { whose, what, retry_after } = spent;
        Self::BudgetSpent { whose, what, retry_after }
    }
}

impl Error {
    /// `json_schema` cannot be enforced.
    #[must_use]
    pub fn schema(why: impl Into<String>) -> Self {
        Self::InvalidConstraint { field: "json_schema", why: why.into() }
    }

    /// When it is worth trying again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::QueueFull { retry_after, .. } | Self::BackendBusy { retry_after, .. } => {
                Some(*retry_after)
            }
            Self::OutOfMemory { no_room, .. } => no_room.will_pass().then_some(ROOM),
            _ => None,
        }
    }

    /// The reason in `google.rpc.ErrorInfo`, as documented in proto/: for example `QUEUE_FULL`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ModelNotFound { .. } => "MODEL_NOT_FOUND",
            Self::WrongKind { .. } => "INVALID_REQUEST",
            Self::ModelUnavailable { .. } => "MODEL_UNAVAILABLE",
            Self::PromptTooLong { .. } => "PROMPT_TOO_LONG",
            Self::InvalidConstraint { .. } => "INVALID_SCHEMA",
            Self::Unsupported { .. } => "UNSUPPORTED",
            Self::OutOfMemory { .. } => "OUT_OF_MEMORY",
            Self::QueueFull { .. } => "QUEUE_FULL",
            Self::DeadlineTooShort { .. } => "DEADLINE_TOO_SHORT",
            Self::BudgetSpent { .. } => "BUDGET_SPENT",
            Self::StoreUnavailable { .. } => "STORE_UNAVAILABLE",
            Self::BackendFailed { .. } => "BACKEND_FAILED",
            Self::BackendBusy { .. } => "BACKEND_BUSY",
            Self::BackendRefused { .. } => "INVALID_REQUEST",
        }
    }

    /// The back end is not well. A refusal says nothing of that.
    #[must_use]
    pub fn is_fault_of_backend(&self) -> bool {
        matches!(self, Self::ModelUnavailable { .. } | Self::BackendFailed { .. })
    }

    /// Another model may do what this one cannot.
    #[must_use]
    pub fn is_of_the_place(&self) -> bool {
        // By reason rather than by variant: the reasons are the contract.
        matches!(
            self.reason(),
            "MODEL_UNAVAILABLE"
                | "MODEL_NOT_FOUND"
                | "BACKEND_FAILED"
                | "BACKEND_BUSY"
                | "OUT_OF_MEMORY"
                | "UNSUPPORTED"
        )
    }
}
