//! The wire to the domain and back.

use std::time::Duration;

use alina_proto::{optimizer::v1 as wire, time::timestamp};
use alina_service::status::{self as statuses, Violations};
use tonic::{Code, Status};

use crate::{
    error::Error,
    experiment::Outcome,
    optimizer::Round,
    score::{Expectation, Scorecard, Weighted},
    store::{AgentScore, Case, Experiment, StoredScore, Version},
};

impl From<wire::Expectation> for Expectation {
    fn from(expectation: wire::Expectation) -> Self {
        let wire::Expectation { json_schema, required, forbidden, min_words, max_words, reference } =
            expectation;
        Self { json_schema, required, forbidden, min_words, max_words, reference }
    }
}

impl From<Expectation> for wire::Expectation {
    fn from(expectation: Expectation) -> Self {
        let Expectation { json_schema, required, forbidden, min_words, max_words, reference } =
            expectation;
        Self { json_schema, required, forbidden, min_words, max_words, reference }
    }
}

impl From<Weighted> for wire::FunctionScore {
    fn from(one: Weighted) -> Self {
        Self {
            function: one.function.name().to_owned(),
            score: one.score.value(),
            weight: one.weight,
            reason: one.reason,
        }
    }
}

impl From<Scorecard> for wire::ScoreTextResponse {
    fn from(card: Scorecard) -> Self {
        Self {
            score: card.score.value(),
            functions: card.functions.into_iter().map(wire::FunctionScore::from).collect(),
        }
    }
}

impl From<StoredScore> for wire::Score {
    fn from(score: StoredScore) -> Self {
        Self {
            id: score.id.to_string(),
            output_id: score.output_id,
            run_id: score.run_id,
            agent: score.agent,
            instructions_version: score.version,
            score: score.score.value(),
            functions: score.functions.into_iter().map(wire::FunctionScore::from).collect(),
            at: Some(timestamp(score.at)),
        }
    }
}

pub(super) fn agent_score(score: AgentScore, threshold: f64) -> wire::AgentScore {
    wire::AgentScore {
        agent: score.agent,
        rolling_score: score.rolling.value(),
        outputs: score.outputs,
        instructions_version: score.version,
        threshold,
    }
}

impl From<Case> for wire::Case {
    fn from(case: Case) -> Self {
        Self {
            id: case.id.to_string(),
            agent: case.agent,
            input: case.input,
            expectation: Some(case.expectation.into()),
        }
    }
}

impl From<Experiment> for wire::Experiment {
    fn from(experiment: Experiment) -> Self {
        Self {
            id: experiment.id.to_string(),
            agent: experiment.agent,
            old_version: experiment.old_version,
            new_version: experiment.new_version,
            old_score: experiment.old.value(),
            new_score: experiment.new.value(),
            cases: u32::try_from(experiment.pairs.len()).unwrap_or(u32::MAX),
            promoted: experiment.outcome == Outcome::Promoted,
            reason: experiment.reason,
            at: Some(timestamp(experiment.at)),
        }
    }
}

impl From<Round> for wire::OptimizeResponse {
    fn from(round: Round) -> Self {
        Self {
            outputs_scored: round.outputs_scored,
            experiments: round.experiments.into_iter().map(wire::Experiment::from).collect(),
        }
    }
}

impl From<Version> for wire::Version {
    fn from(version: Version) -> Self {
        Self {
            version: version.version,
            agent: version.agent,
            instructions: version.instructions,
            score: version.score.value(),
            in_force: version.in_force,
            reason: version.reason,
            created_at: Some(timestamp(version.created_at)),
        }
    }
}

/// A failure as the contract names it.
pub(super) fn status(error: Error) -> Status {
    let message = error.to_string();
    match error {
        Error::UnknownAgent { name, .. } => {
            statuses::resource(Code::NotFound, "UNKNOWN_AGENT", "agent", name, message)
        }
        Error::VersionNotFound { wanted, .. } => {
            statuses::resource(Code::NotFound, "VERSION_NOT_FOUND", "version", wanted, message)
        }
        Error::OptimizationRunning(_) => {
            statuses::error(Code::FailedPrecondition, "OPTIMIZATION_RUNNING", message)
        }
        Error::KeyReused => invalid("idempotency_key", &message),
        Error::TooManyCases { .. } => invalid("agent", &message),
        Error::StoreUnavailable(_) => {
            let after = Duration::from_secs(1);
            statuses::retry(Code::Unavailable, "STORE_UNAVAILABLE", message, after)
        }
        // The reason of whoever failed; without one it was not reached.
        Error::Peer(error) if error.reason.is_empty() => Status::new(error.code, message),
        Error::Peer(error) => statuses::error(error.code, &error.reason, message),
        Error::Store(_) | Error::BadReply(_) => {
            tracing::error!(message, "a request failed");
            statuses::error(Code::Internal, "INTERNAL", message)
        }
    }
}

fn invalid(field: &str, rule: &str) -> Status {
    let mut bad = Violations::default();
    bad.add(field, rule);
    // Something was added: it never succeeds.
    bad.finish().err().unwrap_or_else(|| Status::invalid_argument(rule))
}
