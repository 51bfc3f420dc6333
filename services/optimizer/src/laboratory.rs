//! Carries experiments through: has new instructions written and tries them against the old ones
//! on the same cases, with the same model, seed and scoring functions.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    config::OptimizerConfig,
    error::Error,
    experiment::{
        Outcome, Pair, Policy, Trial, choose_trials, decide,
        improve::{self, Example},
        too_few,
    },
    peers::{Agent, Models, Prompt},
    score::{Score, Scorecard, complaints},
    scorer::{Scorer, Subject},
    store::{Store, StoredScore},
    text::excerpt,
};

/// What of a task and of instructions fits the window of a small model, in bytes.
const INPUT_BYTES: usize = 4_000;
const INSTRUCTIONS_BYTES: usize = 6_000;
/// How freely new instructions are written.
const WRITING_TEMPERATURE: f32 = 0.7;

/// What an experiment found.
#[derive(Debug)]
pub(crate) struct Findings {
    /// The new instructions; `None` when it came to none.
    pub(crate) tried: Option<String>,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) outcome: Outcome,
    pub(crate) old: Score,
    pub(crate) new: Score,
    pub(crate) reason: String,
}

impl Findings {
    /// It ended before new instructions were tried.
    fn kept(reason: impl Into<String>, old: Score) -> Self {
        let (tried, pairs, new) = (None, Vec::new(), Score::ZERO);
        Self { tried, pairs, outcome: Outcome::Kept, old, new, reason: reason.into() }
    }

    /// It could not be carried through.
    pub(crate) fn failed(error: &Error) -> Self {
        let reason = format!("not carried through: {error}");
        Self { outcome: Outcome::Failed, ..Self::kept(reason, Score::ZERO) }
    }
}

/// Where experiments are made.
#[derive(Debug)]
pub(crate) struct Laboratory {
    pub(crate) config: Arc<OptimizerConfig>,
    pub(crate) store: Store,
    pub(crate) models: Models,
    pub(crate) scorer: Scorer,
}

/// An answer to a case and its score.
struct Answer {
    text: String,
    card: Scorecard,
}

impl Laboratory {
    /// Tries new instructions; `id` seeds what is random.
    pub(crate) async fn experiment(&self, id: Uuid, agent: &Agent) -> Result<Findings, Error> {
        let (_, seed) = id.as_u64_pair();
        #[expect(clippy::cast_possible_truncation, reason = "any 32 of its random bits will do")]
        let model_seed = seed as u32;
        let policy =
            Policy { min_cases: self.config.min_cases as usize, min_gain: self.config.min_gain };
        let worst = self.worst(agent).await?;
        let trials = self.trials(agent, &worst).await?;
        if trials.len() < policy.min_cases {
            let reason = too_few(trials.len(), policy.min_cases);
            return Ok(Findings::kept(reason, Score::ZERO));
        }

        let before = self.answers(agent, &agent.instructions, &trials, model_seed).await?;
        let old = mean(&before);
        if old.value() + policy.min_gain > 1.0 {
            let reason = format!("the instructions in force score {:.3}: no room", old.value());
            return Ok(Findings::kept(reason, old));
        }
        let examples = if worst.is_empty() { worst_answers(&trials, &before) } else { worst };
        let Some(new) = self.write(&agent.instructions, &examples, model_seed).await? else {
            return Ok(Findings::kept("the model wrote no other instructions", old));
        };
        let after = self.answers(agent, &new, &trials, model_seed).await?;

        let pair =
            |(old, new): (&Answer, &Answer)| Pair { old: old.card.score, new: new.card.score };
        let pairs: Vec<_> = before.iter().zip(&after).map(pair).collect();
        let decision = decide(&pairs, policy, seed);
        Ok(Findings {
            tried: Some(new),
            pairs,
            outcome: if decision.promote { Outcome::Promoted } else { Outcome::Kept },
            old: decision.old,
            new: decision.new,
            reason: decision.reason,
        })
    }

    /// The worst of the agent's last outputs by the instructions in force.
    async fn worst(&self, agent: &Agent) -> Result<Vec<Example>, Error> {
        let window = self.config.window;
        let last = self.store.last_scores(&agent.name, &agent.version, window).await?;
        Ok(take_worst(last.into_iter().map(Example::from)))
    }

    async fn trials(&self, agent: &Agent, shown: &[Example]) -> Result<Vec<Trial>, Error> {
        let stored = self.store.cases(Some(&agent.name)).await?;
        let stored = stored
            .into_iter()
            .map(|case| Trial { input: case.input, expectation: case.expectation })
            .collect();
        let (min, max) = (self.config.min_cases, self.config.max_cases);
        let recent = self.store.recent_inputs(&agent.name, 2 * max).await?;
        let shown: Vec<_> = shown.iter().map(|example| example.input.as_str()).collect();
        Ok(choose_trials(stored, recent, &shown, min as usize, max as usize))
    }

    async fn answers(
        &self,
        agent: &Agent,
        instructions: &str,
        trials: &[Trial],
        seed: u32,
    ) -> Result<Vec<Answer>, Error> {
        let mut answers = Vec::with_capacity(trials.len());
        // One after the other: agents at work come first.
        for trial in trials {
            let text = self.answer(agent, instructions, &trial.input, seed).await?;
            let subject =
                Subject { input: &trial.input, output: &text, expectation: &trial.expectation };
            let card = self.scorer.full(subject, self.config.judge).await?;
            answers.push(Answer { text, card });
        }
        Ok(answers)
    }

    /// As the orchestrator has an agent answer a task without tools.
    async fn answer(
        &self,
        agent: &Agent,
        instructions: &str,
        input: &str,
        seed: u32,
    ) -> Result<String, Error> {
        let prompt = Prompt {
            model: &agent.model,
            system: &excerpt(instructions, INSTRUCTIONS_BYTES),
            user: format!("Task: {}", excerpt(input, INPUT_BYTES)),
            schema: None,
            max_tokens: self.config.max_answer_tokens,
            temperature: 0.0,
            seed,
        };
        Ok(self.models.chat(prompt).await?)
    }

    /// New instructions; `None` when the model had none.
    async fn write(
        &self,
        current: &str,
        examples: &[Example],
        seed: u32,
    ) -> Result<Option<String>, Error> {
        let prompt = Prompt {
            model: &self.config.model,
            system: improve::SYSTEM,
            user: improve::request(current, examples),
            schema: Some(improve::schema()),
            max_tokens: improve::MAX_TOKENS,
            temperature: WRITING_TEMPERATURE,
            seed,
        };
        Ok(improve::instructions(&self.models.chat(prompt).await?, current))
    }
}

fn mean(answers: &[Answer]) -> Score {
    Score::mean(&answers.iter().map(|answer| answer.card.score).collect::<Vec<_>>())
}

fn worst_answers(trials: &[Trial], answers: &[Answer]) -> Vec<Example> {
    take_worst(trials.iter().zip(answers).map(|(trial, answer)| Example {
        input: trial.input.clone(),
        output: answer.text.clone(),
        score: answer.card.score.value(),
        complaints: answer.card.complaints(),
    }))
}

fn take_worst(examples: impl Iterator<Item = Example>) -> Vec<Example> {
    let mut worst: Vec<_> = examples.filter(|example| !example.complaints.is_empty()).collect();
    worst.sort_by(|one, other| one.score.total_cmp(&other.score));
    worst.truncate(improve::EXAMPLES);
    worst
}

impl From<StoredScore> for Example {
    fn from(score: StoredScore) -> Self {
        Self {
            complaints: complaints(&score.functions),
            input: score.input,
            output: score.output,
            score: score.score.value(),
        }
    }
}
