//! Budgets: of agents in any hour, of runs over all their requests. They are charged as tokens
//! come, and time as it passes, so that none is exceeded by more than what one step takes.

use std::{collections::VecDeque, fmt, time::Duration};

use tokio::time::Instant;

use super::{Budget, recent::Recent};
use crate::chat::{AgentId, RunId};

/// An hour in slices of a minute: the last hour is no more than what is kept.
const SLICE: Duration = Duration::from_secs(60);
const SLICES: u64 = 60;
/// Agents whose last hour is remembered; beyond it, those idle the longest are forgotten.
const AGENTS: usize = 4_096;
/// Runs that are remembered; beyond it, those idle the longest are forgotten.
const RUNS: usize = 10_000;

/// Whose budget it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// An agent's, by the hour.
    Agent(AgentId),
    /// A run's.
    Run(RunId),
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(agent) => write!(f, "agent `{agent}`'s hourly"),
            Self::Run(run) => write!(f, "run `{}`'s", run.0),
        }
    }
}

/// What there is a budget of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Of prompts and answers.
    Tokens,
    /// From getting a place to the last token.
    RunTime,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokens => "tokens",
            Self::RunTime => "run time",
        })
    }
}

/// A budget is spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// Whose.
    pub whose: Whose,
    /// Which.
    pub what: Resource,
    /// When there is some of it again; never, for a run.
    pub retry_after: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Amount {
    tokens: u64,
    run_time: Duration,
}

impl Amount {
    fn add(&mut self, other: Self) {
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.run_time = self.run_time.saturating_add(other.run_time);
    }

    fn subtract(&mut self, other: Self) {
        self.tokens = self.tokens.saturating_sub(other.tokens);
        self.run_time = self.run_time.saturating_sub(other.run_time);
    }

    fn spends(self, budget: Budget) -> Option<Resource> {
        if budget.tokens.is_some_and(|most| self.tokens >= most) {
            Some(Resource::Tokens)
        } else if budget.run_time.is_some_and(|most| self.run_time >= most) {
            Some(Resource::RunTime)
        } else {
            None
        }
    }
}

/// What an agent used in the last hour.
#[derive(Debug, Default)]
struct Hour {
    slices: VecDeque<(u64, Amount)>,
    sum: Amount,
    /// Requests waiting and running.
    held: usize,
    /// It has limits of its own: made-up names do not push it out.
    known: bool,
}

impl Hour {
    fn is_kept(&self) -> bool {
        self.held > 0 || self.known
    }

    fn forget(&mut self, slice: u64) {
        while let Some((of, amount)) = self.slices.front().copied()
            && slice > of + SLICES
        {
            self.slices.pop_front();
            self.sum.subtract(amount);
        }
    }

    fn charge(&mut self, slice: u64, amount: Amount) {
        self.forget(slice);
        self.sum.add(amount);
        match self.slices.back_mut() {
            Some((of, sum)) if *of == slice => sum.add(amount),
            _ => self.slices.push_back((slice, amount)),
        }
    }

    /// After how much since the beginning of time there is something of the budget again.
    fn again(&self, budget: Budget) -> Duration {
        let mut left = self.sum;
        let mut last = 0;
        for (of, amount) in &self.slices {
            left.subtract(*amount);
            last = *of;
            if left.spends(budget).is_none() {
                break;
            }
        }
        SLICE.saturating_mul(u32::try_from(last + SLICES + 1).unwrap_or(u32::MAX))
    }
}

/// What a run used.
#[derive(Debug, Default)]
struct Run {
    /// Set by the first request that names one.
    budget: Option<Budget>,
    sum: Amount,
    /// Requests waiting and running.
    held: usize,
}

/// Everyone's.
#[derive(Debug)]
pub(super) struct Accounts {
    begun: Instant,
    agents: Recent<AgentId, Hour>,
    runs: Recent<RunId, Run>,
}

impl Accounts {
    pub(super) fn new(now: Instant) -> Self {
        Self { begun: now, agents: Recent::new(AGENTS), runs: Recent::new(RUNS) }
    }

    /// Says which agents have limits of their own.
    pub(super) fn know(&mut self, is_known: impl Fn(&AgentId) -> bool) {
        self.agents.update(|agent, hour| hour.known = is_known(agent));
    }

    /// A request comes: what it belongs to is remembered until [`Self::close`].
    pub(super) fn open(
        &mut self,
        agent: &AgentId,
        is_known: bool,
        run: Option<&RunId>,
        budget: Budget,
    ) {
        let hour = self.agents.touch(agent, Hour::is_kept);
        hour.held += 1;
        hour.known = is_known;
        if let Some(run) = run {
            let run = self.runs.touch(run, |run| run.held > 0);
            run.held += 1;
            if run.budget.is_none() && budget != Budget::default() {
                run.budget = Some(budget);
            }
        }
    }

    /// A request is gone.
    pub(super) fn close(&mut self, agent: &AgentId, run: Option<&RunId>) {
        if let Some(hour) = self.agents.get_mut(agent) {
            hour.held = hour.held.saturating_sub(1);
        }
        if let Some(run) = run.and_then(|run| self.runs.get_mut(run)) {
            run.held = run.held.saturating_sub(1);
        }
    }

    pub(super) fn charge(
        &mut self,
        now: Instant,
        agent: &AgentId,
        run: Option<&RunId>,
        tokens: u64,
        run_time: Duration,
    ) {
        let (slice, amount) = (self.slice(now), Amount { tokens, run_time });
        if let Some(hour) = self.agents.get_mut(agent) {
            hour.charge(slice, amount);
        }
        if let Some(run) = run.and_then(|run| self.runs.get_mut(run)) {
            run.sum.add(amount);
        }
    }

    /// Whether anything is left for a request; `hourly` is the agent's budget and `budget` what
    /// the run's would be if it has none yet.
    ///
    /// # Errors
    /// When a budget is spent.
    pub(super) fn check(
        &mut self,
        now: Instant,
        agent: &AgentId,
        hourly: Budget,
        run: Option<&RunId>,
        budget: Budget,
    ) -> Result<(), Spent> {
        let slice = self.slice(now);
        if let Some(name) = run
            && let Some(run) = self.runs.get(name)
            && let Some(what) = run.sum.spends(run.budget.unwrap_or(budget))
        {
            return Err(Spent { whose: Whose::Run(name.clone()), what, retry_after: None });
        }
        if let Some(hour) = self.agents.get_mut(agent) {
            hour.forget(slice);
            if let Some(what) = hour.sum.spends(hourly) {
                let again = self.begun + hour.again(hourly);
                let retry_after = Some(again.saturating_duration_since(now));
                return Err(Spent { whose: Whose::Agent(agent.clone()), what, retry_after });
            }
        }
        Ok(())
    }

    fn slice(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begun).as_secs() / SLICE.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(most: u64) -> Budget {
        Budget { tokens: Some(most), run_time: None }
    }

    #[test]
    fn a_runs_budget_is_that_of_its_first_request_and_never_comes_back() {
        let now = Instant::now();
        let mut accounts = Accounts::new(now);
        let (agent, run) = (AgentId::new("a"), RunId("r".to_owned()));
        accounts.open(&agent, false, Some(&run), tokens(10));
        accounts.open(&agent, false, Some(&run), tokens(1_000));
        let check = |accounts: &mut Accounts, at| {
            accounts.check(at, &agent, Budget::default(), Some(&run), tokens(1_000))
        };
        accounts.charge(now, &agent, Some(&run), 9, Duration::ZERO);
        check(&mut accounts, now).unwrap();
        accounts.charge(now, &agent, Some(&run), 1, Duration::ZERO);
        let spent = check(&mut accounts, now + Duration::from_secs(9_000)).unwrap_err();
        assert_eq!((spent.what, spent.retry_after), (Resource::Tokens, None));
    }

    #[test]
    fn time_is_a_budget_too() {
        let now = Instant::now();
        let mut accounts = Accounts::new(now);
        let agent = AgentId::new("a");
        let hourly = Budget { tokens: None, run_time: Some(Duration::from_secs(30)) };
        accounts.open(&agent, false, None, Budget::default());
        accounts.charge(now, &agent, None, 1_000, Duration::from_secs(29));
        accounts.check(now, &agent, hourly, None, Budget::default()).unwrap();
        accounts.charge(now, &agent, None, 0, Duration::from_secs(1));
        let spent = accounts.check(now, &agent, hourly, None, Budget::default()).unwrap_err();
        assert_eq!(spent.what, Resource::RunTime);
        let again = spent.retry_after.unwrap();
        let early = now + again - Duration::from_secs(1);
        accounts.check(early, &agent, hourly, None, Budget::default()).unwrap_err();
        let later = now + again;
        accounts.check(later, &agent, hourly, None, Budget::default()).unwrap();
    }

    #[test]
    fn made_up_names_do_not_make_a_budget_forgotten() {
        let now = Instant::now();
        let mut accounts = Accounts::new(now);
        let agent = AgentId::new("a");
        accounts.open(&agent, true, None, Budget::default());
        accounts.charge(now, &agent, None, 10, Duration::ZERO);
        accounts.close(&agent, None);
        for n in 0..2 * AGENTS {
            let other = AgentId(n.to_string());
            accounts.open(&other, false, None, Budget::default());
            accounts.close(&other, None);
        }
        assert_eq!(accounts.agents.iter().count(), AGENTS);
        accounts.check(now, &agent, tokens(10), None, Budget::default()).unwrap_err();
        accounts.know(|_| false);
        accounts.open(&AgentId::new("b"), false, None, Budget::default());
        accounts.check(now, &agent, tokens(10), None, Budget::default()).unwrap();
    }

    proptest! {
        /// In any hour whatever, one that spends only while it may spends at most its budget and
        /// one step.
        #[test]
        fn no_hour_has_more_than_the_budget_and_one_step(
            steps in proptest::collection::vec((0_u64..400, 1_u64..50), 1..400),
            most in 1_u64..2_000,
        ) {
            let begun = Instant::now();
            let mut accounts = Accounts::new(begun);
            let agent = AgentId::new("a");
            accounts.open(&agent, false, None, Budget::default());
            let (mut at, mut done) = (begun, Vec::new());
            for (pause, step) in steps {
                at += Duration::from_secs(pause);
                match accounts.check(at, &agent, tokens(most), None, Budget::default()) {
                    Ok(()) => {
                        accounts.charge(at, &agent, None, step, Duration::ZERO);
                        done.push((at, step));
                    }
                    Err(spent) => at += spent.retry_after.unwrap(),
                }
            }
            for (from, _) in &done {
                let hour = done.iter().filter(|(at, _)| {
                    at >= from && *at - *from < Duration::from_secs(3_600)
                });
                let sum: u64 = hour.map(|(_, step)| step).sum();
                prop_assert!(sum < most + 50, "{sum} of {most}");
            }
            // And it is never kept out for good.
            prop_assert!(!done.is_empty());
        }
    }
}
