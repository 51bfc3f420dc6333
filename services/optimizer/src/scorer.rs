//! A text's score by every function that applies, models included.

use crate::{
    error::Error,
    peers::{Models, Prompt},
    score::{Expectation, Scorecard, Weights, judge, similarity, without_models},
};

/// What is scored.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What was asked.
    pub input: &'a str,
    /// The text.
    pub output: &'a str,
    /// What it must have.
    pub expectation: &'a Expectation,
}

/// Scores texts.
#[derive(Debug, Clone)]
pub struct Scorer {
    models: Models,
    weights: Weights,
    /// The model that judges.
    judge: String,
}

impl Scorer {
    /// With these weights, and `judge` as the model that judges.
    #[must_use]
    pub fn new(models: Models, weights: Weights, judge: String) -> Self {
        Self { models, weights, judge }
    }

    /// By the functions that need no model.
    #[must_use]
    pub fn plain(&self, subject: Subject<'_>) -> Scorecard {
        Scorecard::new(without_models(subject.output, subject.expectation), &self.weights)
    }

    /// By all functions that apply; by "judge" only when `use_judge`.
    ///
    /// # Errors
    /// When a model is needed and does not answer, or gives no judgement.
    pub async fn full(&self, subject: Subject<'_>, use_judge: bool) -> Result<Scorecard, Error> {
        let Subject { input, output, expectation } = subject;
        let is_blank = output.trim().is_empty();
        let mut verdicts = without_models(output, expectation);
        if !expectation.reference.trim().is_empty() {
            let (text, reference) = if is_blank {
                Default::default()
            } else {
                self.models.embed_two(output, &expectation.reference).await?
            };
            verdicts.push(similarity::verdict(&text, &reference));
        }
        if use_judge {
            verdicts.push(if is_blank {
                judge::blank()
            } else {
                let reply = self.models.chat(self.judgement(input, output)).await?;
                judge::verdict(&reply).ok_or(Error::BadReply("no judgement"))?
            });
        }
        Ok(Scorecard::new(verdicts, &self.weights))
    }

    fn judgement(&self, input: &str, output: &str) -> Prompt<'_> {
        Prompt {
            model: &self.judge,
            system: judge::SYSTEM,
            user: judge::question(input, output),
            schema: Some(judge::schema()),
            max_tokens: judge::MAX_TOKENS,
            temperature: 0.0,
            seed: 0,
        }
    }
}
