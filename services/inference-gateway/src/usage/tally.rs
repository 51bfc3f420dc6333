//! Totals by hour, agent and model, of this process.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use uuid::Uuid;

use super::Used;

/// Rows held while PostgreSQL is away; names of agents come from callers.
const HELD: usize = 10_000;

/// A total.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) hour: DateTime<Utc>,
    pub(super) agent: String,
    pub(super) model: String,
    pub(super) process: Uuid,
    pub(super) chats: i64,
    pub(super) prompt_tokens: i64,
    pub(super) completion_tokens: i64,
    pub(super) run_seconds: f64,
}

/// All totals that may still change or are not written.
#[derive(Debug)]
pub(super) struct Tally {
    process: Uuid,
    rows: BTreeMap<(DateTime<Utc>, String, String), (Row, bool)>,
}

impl Tally {
    pub(super) fn new(process: Uuid) -> Self {
        Self { process, rows: BTreeMap::new() }
    }

    /// Adds a record; false when there is no room for it.
    pub(super) fn add(&mut self, used: &Used, at: DateTime<Utc>) -> bool {
        let hour = at.duration_trunc(TimeDelta::hours(1)).unwrap_or(at);
        let key = (hour, used.agent.0.clone(), used.model.0.clone());
        if self.rows.len() >= HELD && !self.rows.contains_key(&key) {
            return false;
        }
        let (row, changed) = self.rows.entry(key).or_insert_with(|| {
            let row = Row {
                hour,
                agent: used.agent.0.clone(),
                model: used.model.0.clone(),
                process: self.process,
                chats: 0,
                prompt_tokens: 0,
                completion_tokens: 0,
                run_seconds: 0.0,
            };
            (row, true)
        });
        *changed = true;
        row.chats += 1;
        row.prompt_tokens += i64::from(used.prompt_tokens);
        row.completion_tokens += i64::from(used.completion_tokens);
        row.run_seconds += used.run.as_secs_f64();
        true
    }

    /// Those that are not written yet.
    pub(super) fn changed(&self) -> Vec<Row> {
        let rows = self.rows.values().filter(|(_, changed)| *changed);
        rows.map(|(row, _)| row.clone()).collect()
    }

    /// All are written; those of hours gone by are forgotten.
    pub(super) fn written(&mut self, now: DateTime<Utc>) {
        let hour = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
        self.rows.retain(|(of, _, _), _| *of >= hour);
        self.rows.values_mut().for_each(|(_, changed)| *changed = false);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chat::{AgentId, ModelName};

    fn used(agent: &str) -> Used {
        Used {
            agent: AgentId::new(agent),
            model: ModelName("m".to_owned()),
            prompt_tokens: 10,
            completion_tokens: 5,
            run: Duration::from_millis(500),
        }
    }

    #[test]
    fn totals_grow_within_an_hour_and_are_forgotten_after_it() {
        let at = |minute: i64| DateTime::from_timestamp(1_795_438_800 + minute * 60, 0).unwrap();
        let mut tally = Tally::new(Uuid::nil());
        tally.add(&used("a"), at(1));
        tally.add(&used("a"), at(59));
        tally.add(&used("b"), at(59));
        let rows = tally.changed();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].chats, rows[0].prompt_tokens, rows[0].completion_tokens), (2, 20, 10));
        assert_eq!((rows[0].run_seconds, rows[0].hour), (1.0, at(0)));
        tally.written(at(59));
        assert!(tally.changed().is_empty());
        tally.add(&used("a"), at(59));
        assert_eq!(tally.changed()[0].chats, 3, "a total, not a difference");
        tally.written(at(60));
        tally.add(&used("a"), at(61));
        assert_eq!((tally.changed()[0].chats, tally.rows.len()), (1, 1));
    }

    #[test]
    fn made_up_names_do_not_fill_the_memory() {
        let mut tally = Tally::new(Uuid::nil());
        let now = Utc::now();
        let kept = (0..HELD + 5).filter(|n| tally.add(&used(&n.to_string()), now)).count();
        assert_eq!(kept, HELD);
    }
}
