//! What can go wrong here, and what to do about it.

use crate::{
    peers::PeerError,
    run::{RunId, RunState},
};

/// A failure of the orchestrator.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    /// config.yaml has no such agent.
    #[error("no agent `{name}`; {hint}")]
    UnknownAgent {
        /// As asked for.
        name: String,
        /// Near names, and all.
        hint: String,
    },
    /// Nothing is stored under this id.
    #[error("no run {0}; `alina runs list` shows those there are")]
    RunNotFound(RunId),
    /// The idempotency key belongs to a run with another goal.
    #[error("the idempotency key was used for run {0}, which has another goal; choose a new key")]
    KeyReused(RunId),
    /// It has ended in a state that does not allow this.
    #[error("run {0} has already {state}", state = .1.as_str())]
    RunFinished(RunId, RunState),
    /// The queue of runs is at its bound.
    #[error(
        "{0} runs wait already, which is the bound (orchestrator.max_queued_runs); try again later"
    )]
    TooManyRuns(u32),
    /// PostgreSQL does not answer.
    #[error("PostgreSQL does not answer ({0}); runs continue when it is back")]
    StoreUnavailable(String),
    /// PostgreSQL refuses, or holds what this version does not understand.
    #[error("the store failed: {0}")]
    Store(String),
    /// Another service refuses or is away.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// A model's text is of no use.
    #[error("the model gave {0}")]
    BadOutput(&'static str),
    /// A step failed for good; the journal has it.
    #[error("{key}: {reason}")]
    StepFailed {
        /// Which.
        key: String,
        /// Why.
        reason: String,
    },
    /// Every task failed.
    #[error("every task failed; {0}. Mend that, then `alina runs resume` takes the run up again")]
    AllTasksFailed(String),
    /// Another process works on the run now, or it was ended.
    #[error("run {0} is no longer this process's")]
    LeaseLost(RunId),
}

impl Error {
    /// Who is away, when waiting helps.
    pub(crate) fn away(&self) -> Option<&'static str> {
        match self {
            Self::StoreUnavailable(_) => Some("PostgreSQL"),
            Self::Peer(error) if error.is_away() => Some(error.service.name()),
            _ => None,
        }
    }

    /// Whether the same step, taken again, may succeed.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Peer(error) => error.may_pass(),
            Self::BadOutput(_) | Self::Store(_) => true,
            _ => false,
        }
    }
}
