//! Totals by hour, agent, run and model, of this process.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use uuid::Uuid;

use super::Used;

/// Rows held; names of agents and runs come from callers.
const HELD: usize = 10_000;

/// A total.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) hour: DateTime<Utc>,
    pub(super) agent: String,
    pub(super) run_id: String,
    pub(super) model: String,
    pub(super) process: Uuid,
    pub(super) chats: i64,
    pub(super) prompt_tokens: i64,
    pub(super) completion_tokens: i64,
    pub(super) reused_tokens: i64,
    pub(super) queue_seconds: f64,
    pub(super) run_seconds: f64,
    pub(super) cpu_seconds: f64,
}

type Key = (DateTime<Utc>, String, String, String);

/// All totals that may still change or are not written.
#[derive(Debug)]
pub(super) struct Tally {
    process: Uuid,
    rows: BTreeMap<Key, (Row, bool)>,
}

impl Tally {
    pub(super) fn new(process: Uuid) -> Self {
        Self { process, rows: BTreeMap::new() }
    }

    /// Adds a record; false when there is no room for it.
    pub(super) fn add(&mut self, used: &Used, at: DateTime<Utc>) -> bool {
        let hour = at.duration_trunc(TimeDelta::hours(1)).unwrap_or(at);
        let run_id = used.run.as_ref().map(|run| run.0.clone()).unwrap_or_default();
        let key = (hour, used.agent.0.clone(), run_id.clone(), used.model.0.clone());
        if self.rows.len() >= HELD && !self.rows.contains_key(&key) && !self.make_room() {
            return false;
        }
        let (row, changed) = self.rows.entry(key).or_insert_with(|| {
            let row = Row {
                hour,
                agent: used.agent.0.clone(),
                run_id,
                model: used.model.0.clone(),
                process: self.process,
                chats: 0,
                prompt_tokens: 0,
                completion_tokens: 0,
                reused_tokens: 0,
                queue_seconds: 0.0,
                run_seconds: 0.0,
                cpu_seconds: 0.0,
            };
            (row, true)
        });
        *changed = true;
        row.chats += 1;
        row.prompt_tokens += i64::from(used.prompt_tokens);
        row.completion_tokens += i64::from(used.completion_tokens);
        row.reused_tokens += i64::from(used.reused_tokens);
        row.queue_seconds += used.waited.as_secs_f64();
        row.run_seconds += used.took.as_secs_f64();
        row.cpu_seconds += used.cpu.as_secs_f64();
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
        self.rows.retain(|(of, ..), _| *of >= hour);
        self.rows.values_mut().for_each(|(_, changed)| *changed = false);
    }

    /// Forgets what is written. From now on rows are another process's: were one of those to come
    /// again, it would overwrite what it was.
    fn make_room(&mut self) -> bool {
        self.rows.retain(|_, (_, changed)| *changed);
        self.process = Uuid::now_v7();
        self.rows.len() < HELD
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chat::{AgentId, ModelName, RunId};

    fn used(agent: &str) -> Used {
        Used {
            agent: AgentId::new(agent),
            run: Some(RunId("r".to_owned())),
            model: ModelName("m".to_owned()),
            prompt_tokens: 10,
            completion_tokens: 5,
            reused_tokens: 4,
            waited: Duration::from_millis(250),
            took: Duration::from_millis(500),
            cpu: Duration::from_millis(125),
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
        let row = &rows[0];
        assert_eq!((row.chats, row.prompt_tokens, row.completion_tokens), (2, 20, 10));
        assert_eq!((row.run_seconds, row.queue_seconds, row.cpu_seconds), (1.0, 0.5, 0.25));
        assert_eq!((row.run_id.as_str(), row.reused_tokens, row.hour), ("r", 8, at(0)));
        tally.written(at(59));
        assert!(tally.changed().is_empty());
        tally.add(&used("a"), at(59));
        assert_eq!(tally.changed()[0].chats, 3, "a total, not a difference");
        let other = Used { run: None, ..used("a") };
        tally.add(&other, at(59));
        assert_eq!(tally.changed().len(), 2, "each run has its own");
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

    #[test]
    fn what_is_written_makes_room_and_is_never_overwritten_with_less() {
        let mut tally = Tally::new(Uuid::nil());
        let now = Utc::now();
        for n in 0..HELD {
            assert!(tally.add(&used(&n.to_string()), now));
        }
        tally.written(now);
        assert!(tally.add(&used("one more"), now));
        assert!(tally.add(&used("0"), now));
        let rows = tally.changed();
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| row.chats == 1 && row.process != Uuid::nil()));
    }
}
