//! The order itself.

use std::collections::{BTreeMap, HashSet, VecDeque};

use proptest::prelude::*;

use super::*;

fn agent(n: usize) -> AgentId {
    AgentId(format!("agent-{n}"))
}

fn entry(agent: &AgentId, class: Class, charge: u32) -> Entry<'_> {
    Entry { agent, class, charge, weight: Weight::default(), max_waiting: 1_000 }
}

fn enter(queue: &mut FairQueue, n: usize, charge: u32) -> Result<Ticket, Full> {
    queue.enter(entry(&agent(n), Class::Interactive, charge))
}

#[test]
fn a_place_is_given_at_once_while_one_is_free() {
    let mut queue = FairQueue::new(2, 0);
    let first = enter(&mut queue, 1, 5_000).unwrap();
    assert_eq!(queue.admit(), Some((agent(1), first)));
    enter(&mut queue, 1, 10).unwrap();
    assert!(queue.admit().is_some());
    assert_eq!(enter(&mut queue, 2, 10), Err(Full::All));
    assert_eq!((queue.running(), queue.waiting()), (2, 0));
}

#[test]
fn one_agents_requests_are_served_in_their_order() {
    let mut queue = FairQueue::new(10, 10);
    let tickets: Vec<_> = (0..5).map(|n| enter(&mut queue, 1, n * 900).unwrap()).collect();
    let served: Vec<_> = std::iter::from_fn(|| queue.admit()).map(|(_, t)| t).collect();
    assert_eq!(served, tickets);
}

#[test]
fn an_agent_has_a_bound_of_its_own() {
    let mut queue = FairQueue::new(1, 10);
    let (one, other) = (agent(1), agent(2));
    let of = |agent| Entry { max_waiting: 2, ..entry(agent, Class::Interactive, 10) };
    queue.enter(of(&one)).unwrap();
    queue.admit().unwrap();
    queue.enter(of(&one)).unwrap();
    queue.enter(Entry { class: Class::Batch, ..of(&one) }).unwrap();
    assert_eq!(queue.enter(of(&one)), Err(Full::Agent), "both classes count");
    queue.enter(of(&other)).unwrap();
}

#[test]
fn a_newcomer_waits_for_a_turn_not_for_a_queue() {
    let mut queue = FairQueue::new(1, 100);
    for _ in 0..50 {
        enter(&mut queue, 1, 500).unwrap();
    }
    assert!(queue.admit().is_some());
    let late = enter(&mut queue, 2, 500).unwrap();
    let mut before = 0;
    loop {
        queue.release(&agent(1), Class::Interactive);
        match queue.admit() {
            Some((_, ticket)) if ticket == late => break,
            _ => before += 1,
        }
    }
    assert!(before <= 2, "{before} requests of a busy agent came first");
}

#[test]
fn batch_waits_for_interactive_requests_but_has_its_share() {
    let mut queue = FairQueue::new(1, 1_000);
    let (one, other) = (agent(1), agent(2));
    let batch: HashSet<_> =
        (0..20).map(|_| queue.enter(entry(&one, Class::Batch, 100)).unwrap()).collect();
    for _ in 0..200 {
        queue.enter(entry(&other, Class::Interactive, 100)).unwrap();
    }
    let mut served = Vec::new();
    while served.len() < 100 {
        let (agent, ticket) = queue.admit().unwrap();
        let of_batch = batch.contains(&ticket);
        served.push(of_batch);
        queue.release(&agent, if of_batch { Class::Batch } else { Class::Interactive });
    }
    assert!(served[..9].iter().all(|batch| !batch), "interactive requests come first");
    assert_eq!(served.iter().filter(|batch| **batch).count(), 10, "one of ten");
}

#[test]
fn batch_alone_is_served_at_once_and_owes_nothing() {
    let mut queue = FairQueue::new(1, 100);
    let one = agent(1);
    for _ in 0..20 {
        queue.enter(entry(&one, Class::Batch, 100)).unwrap();
    }
    for _ in 0..20 {
        assert!(queue.admit().is_some());
        queue.release(&one, Class::Batch);
    }
    assert_eq!(queue.waiting(), 0);
}

#[test]
fn who_leaves_is_forgotten() {
    let mut queue = FairQueue::new(1, 10);
    enter(&mut queue, 1, 10).unwrap();
    queue.admit().unwrap();
    let gone = enter(&mut queue, 2, 10).unwrap();
    let stays = enter(&mut queue, 3, 10).unwrap();
    assert!(queue.leave(&agent(2), Class::Interactive, gone));
    assert!(!queue.leave(&agent(2), Class::Interactive, gone));
    assert_eq!(queue.waiting(), 1);
    queue.release(&agent(1), Class::Interactive);
    assert_eq!(queue.admit(), Some((agent(3), stays)));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Enter { agent: usize, charge: u32, batch: bool },
    Leave { nth: usize },
    Release { nth: usize, used: u32 },
    Bound { running: usize, waiting: usize },
    Weigh { agent: usize, weight: f64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0_usize..6, 1_u32..9_000, any::<bool>())
            .prop_map(|(agent, charge, batch)| Step::Enter { agent, charge, batch }),
        2 => (0_usize..64).prop_map(|nth| Step::Leave { nth }),
        6 => (0_usize..8, 0_u32..9_000).prop_map(|(nth, used)| Step::Release { nth, used }),
        1 => (1_usize..5, 0_usize..12)
            .prop_map(|(running, waiting)| Step::Bound { running, waiting }),
        1 => (0_usize..6, 0.001_f64..1_000.0)
            .prop_map(|(agent, weight)| Step::Weigh { agent, weight }),
    ];
    proptest::collection::vec(step, 0..200)
}

type Held = (AgentId, Class, u32, Ticket);

/// The queue, and what it should hold.
struct Model {
    queue: FairQueue,
    weights: Vec<f64>,
    max_running: usize,
    max_waiting: usize,
    waiting: Vec<Held>,
    running: Vec<Held>,
    served: HashSet<Ticket>,
}

impl Model {
    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let queue = &mut self.queue;
        match step {
            Step::Enter { agent: n, charge, batch } => {
                let busy = self.running.len() >= self.max_running;
                let full = busy && self.waiting.len() >= self.max_waiting;
                let class = if batch { Class::Batch } else { Class::Interactive };
                let agent = agent(n);
                let weight = Weight::new(self.weights[n]).unwrap();
                let entered = queue.enter(Entry { weight, ..entry(&agent, class, charge) });
                prop_assert_eq!(entered.is_err(), full);
                if let Ok(ticket) = entered {
                    self.waiting.push((agent, class, charge, ticket));
                }
            }
            Step::Leave { nth } if !self.waiting.is_empty() => {
                let (agent, class, _, ticket) = self.waiting.remove(nth % self.waiting.len());
                prop_assert!(queue.leave(&agent, class, ticket));
            }
            Step::Release { nth, used } if !self.running.is_empty() => {
                let (agent, class, charge, _) = self.running.remove(nth % self.running.len());
                queue.correct(&agent, class, f64::from(used) - f64::from(charge));
                queue.release(&agent, class);
            }
            Step::Bound { running, waiting } => {
                (self.max_running, self.max_waiting) = (running, waiting);
                queue.bound(running, waiting);
            }
            Step::Weigh { agent: n, weight } => {
                self.weights[n] = weight;
                let weights = self.weights.clone();
                queue.weigh(|agent| {
                    Weight::new(weights[agent.0[6..].parse::<usize>().unwrap()]).unwrap()
                });
            }
            _ => {}
        }
        self.admit()
    }

    fn admit(&mut self) -> Result<(), TestCaseError> {
        let before = self.running.len();
        while let Some((agent, ticket)) = self.queue.admit() {
            let at = self.waiting.iter().position(|(.., waiter)| *waiter == ticket);
            let held = self.waiting.remove(at.expect("only who waits is served"));
            prop_assert_eq!(&held.0, &agent);
            prop_assert!(self.served.insert(ticket), "served twice");
            self.running.push(held);
        }
        prop_assert!(self.running.len() <= self.max_running.max(before));
        prop_assert_eq!(self.queue.running(), self.running.len());
        prop_assert_eq!(self.queue.waiting(), self.waiting.len());
        prop_assert!(self.running.len() >= self.max_running || self.waiting.is_empty());
        Ok(())
    }
}

proptest! {
    /// Whatever happens: the bounds hold, no free place stays free while someone waits, everyone
    /// is served once, and in the end everyone has been served.
    #[test]
    fn bounds_hold_and_nobody_starves(
        steps in steps(), max_running in 1_usize..5, max_waiting in 0_usize..12,
    ) {
        let mut model = Model {
            queue: FairQueue::new(max_running, max_waiting),
            weights: vec![1.0; 6],
            max_running,
            max_waiting,
            waiting: Vec::new(),
            running: Vec::new(),
            served: HashSet::new(),
        };
        for step in steps {
            model.step(step)?;
        }
        while let Some((agent, class, ..)) = model.running.pop() {
            model.queue.release(&agent, class);
            model.admit()?;
        }
        prop_assert!(model.waiting.is_empty(), "starved: {:?}", model.waiting);
    }

    /// Agents that always have requests waiting get tokens by their weights, whatever the size of
    /// their requests: to within a turn and two of the largest requests.
    #[test]
    fn saturating_agents_share_the_tokens(
        works in proptest::collection::vec((50_u32..4_000, 1_u32..8), 2..5),
        max_running in 1_usize..5,
    ) {
        let mut queue = FairQueue::new(max_running, 1_000);
        let mut used: BTreeMap<AgentId, f64> = BTreeMap::new();
        let mut running = VecDeque::new();
        let of = |agent: &AgentId| works[agent.0[6..].parse::<usize>().unwrap()];
        let enter = |queue: &mut FairQueue, agent: &AgentId| {
            let (charge, weight) = of(agent);
            let weight = Weight::new(f64::from(weight)).unwrap();
            queue.enter(Entry { weight, ..entry(agent, Class::Interactive, charge) }).unwrap();
        };
        for n in 0..works.len() {
            (0..8).for_each(|_| enter(&mut queue, &agent(n)));
        }
        let largest = f64::from(works.iter().map(|(charge, _)| *charge).max().unwrap());
        let weights: f64 = works.iter().map(|(_, weight)| f64::from(*weight)).sum();
        while used.values().sum::<f64>() < 10.0 * largest * weights {
            while let Some((agent, _)) = queue.admit() {
                *used.entry(agent.clone()).or_default() += f64::from(of(&agent).0);
                enter(&mut queue, &agent);
                running.push_back(agent);
            }
            queue.release(&running.pop_front().unwrap(), Class::Interactive);
        }
        prop_assert_eq!(used.len(), works.len());
        let per_weight: Vec<f64> =
            used.iter().map(|(agent, used)| used / f64::from(of(agent).1)).collect();
        let least = per_weight.iter().copied().fold(f64::INFINITY, f64::min);
        let most = per_weight.iter().copied().fold(0.0, f64::max);
        prop_assert!(most - least <= 64.0 + 2.0 * largest, "{:?}", used);
    }

    /// Whoever enters is served after a bounded number of tokens of others, its weight being the
    /// least there is and others' requests coming without end.
    #[test]
    fn who_waits_is_served_in_bounded_time(
        weight in 0.001_f64..2.0, batch in any::<bool>(), charge in 1_u32..500,
    ) {
        let mut queue = FairQueue::new(2, 100);
        let (patient, busy) = (agent(1), agent(2));
        let class = if batch { Class::Batch } else { Class::Interactive };
        for _ in 0..8 {
            queue.enter(entry(&busy, Class::Interactive, 100)).unwrap();
        }
        while queue.admit().is_some() {}
        let weight = Weight::new(weight).unwrap();
        let ticket = queue.enter(Entry { weight, ..entry(&patient, class, charge) }).unwrap();
        let bound = f64::from(charge) / weight.get() + 1_000.0;
        let bound = if batch { bound.max(10.0 * f64::from(charge) + 1_000.0) } else { bound };
        let mut tokens = 0.0;
        loop {
            queue.release(&busy, Class::Interactive);
            queue.enter(entry(&busy, Class::Interactive, 100)).unwrap();
            if queue.admit().is_some_and(|(_, served)| served == ticket) {
                break;
            }
            tokens += 100.0;
            prop_assert!(tokens <= bound, "not served after {tokens} of {bound}");
        }
    }
}
