//! Deficit round robin over agents, in tokens (Shreedhar and Varghese, 1995): each agent has a
//! queue of its own; in its turn it may spend a quantum of tokens, and what it does not spend is
//! kept for its next turn while it waits.

use std::collections::{HashMap, VecDeque};

use crate::chat::AgentId;

/// What an agent may spend in one turn. About a short answer with its prompt: larger would let one
/// agent run several in a row, smaller would only make more turns.
const QUANTUM: i64 = 256;

/// One request in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// The queue is at its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

#[derive(Debug, Default)]
struct Line {
    /// First come, first served, within an agent.
    waiting: VecDeque<(Ticket, u32)>,
    /// Tokens it may still spend; under 0 when its requests took more than they were taken for.
    credit: i64,
}

/// Who waits, in which order they are served, and how many run.
#[derive(Debug)]
pub struct FairQueue {
    max_running: usize,
    max_waiting: usize,
    running: usize,
    waiting: usize,
    last: u64,
    lines: HashMap<AgentId, Line>,
    /// Agents with requests waiting, the one whose turn it is first.
    turns: VecDeque<AgentId>,
    /// The first of them has had its quantum.
    granted: bool,
}

impl FairQueue {
    /// Nobody yet.
    #[must_use]
    pub fn new(max_running: usize, max_waiting: usize) -> Self {
        Self {
            max_running,
            max_waiting,
            running: 0,
            waiting: 0,
            last: 0,
            lines: HashMap::new(),
            turns: VecDeque::new(),
            granted: false,
        }
    }

    /// How many run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether one more would be refused.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.running >= self.max_running && self.waiting >= self.max_waiting
    }

    /// Queues a request that takes at most `cost` tokens. Call [`Self::admit`] afterwards.
    ///
    /// # Errors
    /// When no place is free and the queue is at its bound.
    pub fn enter(&mut self, agent: &AgentId, cost: u32) -> Result<Ticket, Full> {
        if self.is_full() {
            return Err(Full);
        }
        self.last += 1;
        let ticket = Ticket(self.last);
        let line = self.lines.entry(agent.clone()).or_default();
        if line.waiting.is_empty() {
            self.turns.push_back(agent.clone());
        }
        line.waiting.push_back((ticket, cost));
        self.waiting += 1;
        Ok(ticket)
    }

    /// Takes a waiting request out; false when it does not wait.
    pub fn leave(&mut self, agent: &AgentId, ticket: Ticket) -> bool {
        let Some(line) = self.lines.get_mut(agent) else { return false };
        let before = line.waiting.len();
        line.waiting.retain(|(waiting, _)| *waiting != ticket);
        if line.waiting.len() == before {
            return false;
        }
        self.waiting -= 1;
        self.close_if_empty(agent);
        true
    }

    /// Gives a free place to the next in turn.
    pub fn admit(&mut self) -> Option<(AgentId, Ticket)> {
        if self.running >= self.max_running {
            return None;
        }
        loop {
            let agent = self.turns.front()?.clone();
            let line = self.lines.get_mut(&agent)?;
            let (ticket, cost) = *line.waiting.front()?;
            if !self.granted {
                line.credit += QUANTUM;
                self.granted = true;
            }
            if line.credit < i64::from(cost) {
                self.turns.rotate_left(1);
                self.granted = false;
                continue;
            }
            line.credit -= i64::from(cost);
            line.waiting.pop_front();
            self.waiting -= 1;
            self.running += 1;
            self.close_if_empty(&agent);
            return Some((agent, ticket));
        }
    }

    /// A request ended that was taken to cost `cost` tokens and took `used`. What it did not use
    /// goes back to the agent while it has others waiting.
    pub fn release(&mut self, agent: &AgentId, cost: u32, used: u32) {
        self.running = self.running.saturating_sub(1);
        if let Some(line) = self.lines.get_mut(agent) {
            line.credit += i64::from(cost) - i64::from(used);
        }
    }

    /// An agent with nothing waiting keeps no credit: nobody saves up while away.
    fn close_if_empty(&mut self, agent: &AgentId) {
        if self.lines.get(agent).is_some_and(|line| line.waiting.is_empty()) {
            self.lines.remove(agent);
            self.granted &= self.turns.front() != Some(agent);
            self.turns.retain(|turn| turn != agent);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    fn agent(n: usize) -> AgentId {
        AgentId(format!("agent-{n}"))
    }

    #[test]
    fn a_place_is_given_at_once_while_one_is_free() {
        let mut queue = FairQueue::new(2, 0);
        let first = queue.enter(&agent(1), 5_000).unwrap();
        assert_eq!(queue.admit(), Some((agent(1), first)));
        queue.enter(&agent(1), 10).unwrap();
        assert!(queue.admit().is_some());
        assert_eq!(queue.enter(&agent(2), 10), Err(Full));
        assert_eq!((queue.running(), queue.waiting()), (2, 0));
    }

    #[test]
    fn one_agents_requests_are_served_in_their_order() {
        let mut queue = FairQueue::new(10, 10);
        let tickets: Vec<_> = (0..5).map(|n| queue.enter(&agent(1), n * 900).unwrap()).collect();
        let served: Vec<_> = std::iter::from_fn(|| queue.admit()).map(|(_, t)| t).collect();
        assert_eq!(served, tickets);
    }

    #[test]
    fn a_newcomer_waits_for_a_turn_not_for_a_queue() {
        let mut queue = FairQueue::new(1, 100);
        for _ in 0..50 {
            queue.enter(&agent(1), 500).unwrap();
        }
        assert!(queue.admit().is_some());
        let late = queue.enter(&agent(2), 500).unwrap();
        let mut before = 0;
        loop {
            queue.release(&agent(1), 500, 500);
            match queue.admit() {
                Some((_, ticket)) if ticket == late => break,
                _ => before += 1,
            }
        }
        assert!(before <= 2, "{before} requests of a busy agent came first");
    }

    #[test]
    fn who_leaves_is_forgotten() {
        let mut queue = FairQueue::new(1, 10);
        queue.enter(&agent(1), 10).unwrap();
        queue.admit().unwrap();
        let gone = queue.enter(&agent(2), 10).unwrap();
        let stays = queue.enter(&agent(3), 10).unwrap();
        assert!(queue.leave(&agent(2), gone));
        assert!(!queue.leave(&agent(2), gone));
        assert_eq!(queue.waiting(), 1);
        queue.release(&agent(1), 10, 10);
        assert_eq!(queue.admit(), Some((agent(3), stays)));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Enter { agent: usize, cost: u32 },
        Leave { nth: usize },
        Release { nth: usize, used: u32 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0_usize..6, 1_u32..9_000).prop_map(|(agent, cost)| Step::Enter { agent, cost }),
            1 => (0_usize..64).prop_map(|nth| Step::Leave { nth }),
            3 => (0_usize..8, 0_u32..9_000).prop_map(|(nth, used)| Step::Release { nth, used }),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        /// Whatever happens: the bounds hold, no free place stays free while someone waits,
        /// everyone is served once, and in the end everyone has been served.
        #[test]
        fn bounds_hold_and_nobody_starves(
            steps in steps(), max_running in 1_usize..5, max_waiting in 0_usize..12,
        ) {
            let mut queue = FairQueue::new(max_running, max_waiting);
            let mut waiting: Vec<(AgentId, Ticket, u32)> = Vec::new();
            let mut running: Vec<(AgentId, u32)> = Vec::new();
            let mut served = HashSet::new();
            let mut admit = |queue: &mut FairQueue, waiting: &mut Vec<(AgentId, Ticket, u32)>,
                             running: &mut Vec<(AgentId, u32)>| {
                while let Some((agent, ticket)) = queue.admit() {
                    let at = waiting.iter().position(|(_, waiter, _)| *waiter == ticket);
                    let (owner, _, cost) = waiting.remove(at.expect("only who waits is served"));
                    assert_eq!(owner, agent);
                    assert!(served.insert(ticket), "served twice");
                    running.push((agent, cost));
                }
            };
            for step in steps {
                match step {
                    Step::Enter { agent: n, cost } => {
                        let full = running.len() == max_running && waiting.len() >= max_waiting;
                        let entered = queue.enter(&agent(n), cost);
                        prop_assert_eq!(entered.is_err(), full);
                        if let Ok(ticket) = entered {
                            waiting.push((agent(n), ticket, cost));
                        }
                    }
                    Step::Leave { nth } if !waiting.is_empty() => {
                        let (agent, ticket, _) = waiting.remove(nth % waiting.len());
                        prop_assert!(queue.leave(&agent, ticket));
                    }
                    Step::Release { nth, used } if !running.is_empty() => {
                        let (agent, cost) = running.remove(nth % running.len());
                        queue.release(&agent, cost, used);
                    }
                    _ => {}
                }
                admit(&mut queue, &mut waiting, &mut running);
                prop_assert_eq!(queue.running(), running.len());
                prop_assert_eq!(queue.waiting(), waiting.len());
                prop_assert!(running.len() <= max_running && waiting.len() <= max_waiting);
                prop_assert!(running.len() == max_running || waiting.is_empty());
            }
            while let Some((agent, cost)) = running.pop() {
                queue.release(&agent, cost, cost);
                admit(&mut queue, &mut waiting, &mut running);
            }
            prop_assert!(waiting.is_empty(), "starved: {:?}", waiting);
        }

        /// Agents that always have requests waiting get the same tokens, whatever the size of
        /// their requests, to within a quantum and two of the largest requests.
        #[test]
        fn saturating_agents_share_the_tokens(
            sizes in proptest::collection::vec(50_u32..4_000, 2..5),
            max_running in 1_usize..5,
        ) {
            let mut queue = FairQueue::new(max_running, 1_000);
            let mut used: BTreeMap<AgentId, i64> = BTreeMap::new();
            let mut running = VecDeque::new();
            let cost = |agent: &AgentId| sizes[agent.0[6..].parse::<usize>().unwrap()];
            for (n, size) in sizes.iter().enumerate() {
                for _ in 0..8 {
                    queue.enter(&agent(n), *size).unwrap();
                }
            }
            let largest = i64::from(*sizes.iter().max().unwrap());
            let bound = QUANTUM + 2 * largest;
            let agents = i64::try_from(sizes.len()).unwrap();
            while used.values().sum::<i64>() < 10 * largest * agents {
                while let Some((agent, _)) = queue.admit() {
                    *used.entry(agent.clone()).or_default() += i64::from(cost(&agent));
                    queue.enter(&agent, cost(&agent)).unwrap();
                    running.push_back(agent);
                }
                let agent = running.pop_front().unwrap();
                queue.release(&agent, cost(&agent), cost(&agent));
            }
            let (least, most) = (used.values().min().unwrap(), used.values().max().unwrap());
            prop_assert_eq!(used.len(), sizes.len());
            prop_assert!(most - least <= bound, "{:?}", used);
        }
    }
}
