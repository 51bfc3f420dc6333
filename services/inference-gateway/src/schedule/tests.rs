//! The scheduler under load, in simulated time.

use std::{pin::Pin, time::Duration};

use futures::FutureExt;
use tokio::time::{Instant, advance};

use super::*;
use crate::{
    chat::{AgentId, RunId},
    error::Error,
};

mod places;
mod queue;

type Asking = Pin<Box<dyn Future<Output = Result<Place, Error>>>>;

/// One kind of work: an agent that always has requests waiting.
#[derive(Debug, Clone, Copy)]
struct Work {
    agent: &'static str,
    class: Class,
    prompt: (u32, u32),
    answer: (u32, u32),
    max_tokens: u32,
    /// Requests it keeps in the queue.
    kept: usize,
}

const CHAT: Work = Work {
    agent: "chat",
    class: Class::Interactive,
    prompt: (60, 240),
    answer: (20, 120),
    max_tokens: 128,
    kept: 8,
};

struct Running {
    work: usize,
    place: Place,
    prompt: u32,
    answer: u32,
    taken: (u32, u32),
}

/// An engine as the embedded one is: each step takes a token of each answer and a piece of each
/// prompt, at some 2,500 tokens of prompts and 60 tokens of each answer per second.
struct Simulation {
    scheduler: Scheduler,
    works: Vec<Work>,
    waiting: Vec<(usize, Asking, (u32, u32))>,
    running: Vec<Running>,
    random: u64,
    /// When, which work, how many tokens.
    log: Vec<(Instant, usize, u32)>,
}

impl Simulation {
    fn new(limits: Limits, works: &[Work], seed: u64) -> Self {
        Self {
            scheduler: Scheduler::new(limits),
            works: works.to_vec(),
            waiting: Vec::new(),
            running: Vec::new(),
            random: seed,
            log: Vec::new(),
        }
    }

    fn random(&mut self, (least, most): (u32, u32)) -> u32 {
        // xorshift: the same seed gives the same simulation.
        self.random = (self.random + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut x = self.random;
        x ^= x >> 29;
        x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x ^= x >> 32;
        least + u32::try_from(x % u64::from(most - least + 1)).unwrap()
    }

    fn fill(&mut self) {
        for (n, work) in self.works.clone().into_iter().enumerate() {
            while self.waiting.iter().filter(|(of, ..)| *of == n).count() < work.kept {
                let size = (self.random(work.prompt), self.random(work.answer));
                let mut request =
                    PlaceRequest::new(AgentId::new(work.agent), size.0 + work.max_tokens);
                request.class = work.class;
                let scheduler = self.scheduler.clone();
                let asking = Box::pin(async move { scheduler.place(request).await });
                self.waiting.push((n, asking, size));
            }
        }
        let mut still = Vec::new();
        for (work, mut asking, size) in std::mem::take(&mut self.waiting) {
            match asking.as_mut().now_or_never() {
                Some(place) => self.running.push(Running {
                    work,
                    place: place.unwrap(),
                    prompt: size.0,
                    answer: size.1,
                    taken: (0, 0),
                }),
                None => still.push((work, asking, size)),
            }
        }
        self.waiting = still;
    }

    async fn run(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.fill();
            let reading = self.running.iter().filter(|one| one.taken.0 < one.prompt).count();
            let piece = 128 / u32::try_from(reading.max(1)).unwrap();
            let mut read = 0;
            let now = Instant::now();
            self.running.retain_mut(|one| {
                let tokens = if one.taken.0 < one.prompt {
                    let tokens = piece.min(one.prompt - one.taken.0);
                    one.taken.0 += tokens;
                    read += tokens;
                    tokens
                } else {
                    one.taken.1 += 1;
                    1
                };
                self.log.push((now, one.work, tokens));
                one.place.spend(one.taken.0, one.taken.1).unwrap();
                one.taken.1 < one.answer
            });
            advance(Duration::from_micros(16_000 + u64::from(read) * 400)).await;
        }
    }

    /// The least and the most share of each work in any window after `from`.
    fn shares(&self, from: Instant, window: Duration) -> Vec<(f64, f64)> {
        let mut shares = vec![(1.0_f64, 0.0_f64); self.works.len()];
        let last = self.log.last().unwrap().0;
        let mut begin = from;
        while begin + window <= last {
            let first = self.log.partition_point(|(at, ..)| *at < begin);
            let end = self.log.partition_point(|(at, ..)| *at < begin + window);
            let mut tokens = vec![0.0; self.works.len()];
            for (_, work, count) in &self.log[first..end] {
                tokens[*work] += f64::from(*count);
            }
            let sum: f64 = tokens.iter().sum();
            for (share, tokens) in shares.iter_mut().zip(tokens) {
                *share = (share.0.min(tokens / sum), share.1.max(tokens / sum));
            }
            begin += Duration::from_millis(250);
        }
        shares
    }
}

fn limits(max_running: usize, max_waiting: usize) -> Limits {
    Limits { max_running, max_waiting, ..Limits::default() }
}

fn weighing(mut limits: Limits, agents: &[(&str, f64)]) -> Limits {
    for (agent, weight) in agents {
        let weight = Weight::new(*weight).unwrap();
        limits.agents.insert(AgentId::new(agent), AgentLimits { weight, ..AgentLimits::default() });
    }
    limits
}

#[track_caller]
fn assert_shares(shares: &[(f64, f64)], expected: &[f64]) {
    for (n, ((least, most), expected)) in shares.iter().zip(expected).enumerate() {
        let fair = *least >= expected - 0.05 && *most <= expected + 0.05;
        assert!(fair, "work {n} is due {expected:.3} and had {least:.3} to {most:.3}");
    }
}

const WINDOW: Duration = Duration::from_secs(10);
/// Who came first has all places; after this his first requests have ended.
const SETTLED: Duration = Duration::from_secs(3);

/// Agents whose requests are of different sizes get tokens by their weights, in any 10 seconds:
/// here some 6,000 tokens. A request once begun is not interrupted, so what a window can be off by
/// is about one request; knowing their lengths beforehand would make it no less.
#[tokio::test(start_paused = true)]
async fn tokens_are_shared_by_weight_in_any_ten_seconds() {
    let short = Work { agent: "short", prompt: (30, 80), answer: (10, 60), max_tokens: 64, ..CHAT };
    for seed in 0..4 {
        for weights in [[1.0, 1.0], [2.0, 1.0], [3.0, 1.0], [1.0, 2.0]] {
            let agents = [("chat", weights[0]), ("short", weights[1])];
            let limits = weighing(limits(4, 64), &agents);
            let mut simulation = Simulation::new(limits, &[CHAT, short], seed);
            let begun = Instant::now();
            simulation.run(Duration::from_secs(90)).await;
            let sum: f64 = weights.iter().sum();
            let expected: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
            let shares = simulation.shares(begun + SETTLED, WINDOW);
            assert_shares(&shares, &expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_agents_share_alike() {
    let names = ["a", "b", "c", "d"];
    let works: Vec<_> = names.iter().map(|agent| Work { agent, ..CHAT }).collect();
    let mut simulation = Simulation::new(limits(4, 64), &works, 7);
    let begun = Instant::now();
    simulation.run(Duration::from_secs(90)).await;
    assert_shares(&simulation.shares(begun + SETTLED, WINDOW), &[0.25; 4]);
}

/// While a busy agent never stops, batch has its tenth and an agent of little weight its share;
/// weights and places changed on the way take effect.
#[tokio::test(start_paused = true)]
async fn neither_batch_nor_little_weight_starves_and_changes_take_effect() {
    let batch = Work { agent: "batch", class: Class::Batch, ..CHAT };
    let little = Work { agent: "little", kept: 2, ..CHAT };
    let begin = weighing(limits(4, 64), &[("little", 0.1)]);
    let mut simulation = Simulation::new(begin, &[CHAT, batch, little], 3);
    let minute = Duration::from_secs(60);
    simulation.run(minute * 2).await;
    // A tenth for batch; of the rest one part of eleven.
    let expected = [0.9 / 1.1, 0.1, 0.09 / 1.1];
    let begun = Instant::now();
    simulation.run(minute).await;
    assert_shares(&simulation.shares(begun, minute / 2), &expected);

    let agents = weighing(Limits::default(), &[("little", 4.0)]).agents;
    let change = Change { max_running: Some(2), agents, ..Change::default() };
    simulation.scheduler.set_limits(change).unwrap();
    simulation.run(Duration::from_secs(10)).await;
    assert!(simulation.running.len() <= 2);
    let begun = Instant::now();
    simulation.run(minute).await;
    assert_shares(&simulation.shares(begun, minute / 2), &[0.9 * 0.2, 0.1, 0.9 * 0.8]);
    assert_eq!(simulation.scheduler.load().running, 2);
}
