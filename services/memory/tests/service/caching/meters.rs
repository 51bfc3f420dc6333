//! Meters whose states have an order: each has one writer, so that a reader can tell how old the
//! state is that it reads.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use alina_proto::{
    memory::v1::{
        BuildContextRequest, Fact, FactInput, ForgetRequest, GetEntityRequest, ItemKind,
        RememberRequest, RestoreRequest, RetractRequest, ReviseRequest, SearchRequest,
        forget_request::Target,
    },
    time::date_time,
};
use chrono::Utc;
use rand::{Rng, RngExt};
use tonic::{Code, Status};

use crate::{Memory, fact, insisting::insist};

/// Facts of a meter that are kept; older ones are forgotten.
const MOST_SHOWN: usize = 30;

/// What a meter shows, if anything.
type State = Option<u64>;

/// Read by many, written by one.
pub(super) struct Meter {
    name: String,
    namespace: String,
    /// All states that were ever begun, in order.
    begun: Mutex<Vec<State>>,
    /// The place of the last one that was acknowledged.
    acknowledged: AtomicUsize,
}

impl Meter {
    pub(super) fn new(number: usize) -> Self {
        Self {
            name: format!("zeta{number}"),
            namespace: ["default", "other"][number % 2].to_owned(),
            begun: Mutex::new(vec![None]),
            acknowledged: AtomicUsize::new(0),
        }
    }

    fn begin(&self, state: State) {
        self.begun.lock().unwrap().push(state);
    }

    fn acknowledge(&self) {
        let last = self.begun.lock().unwrap().len() - 1;
        self.acknowledged.store(last, Ordering::SeqCst);
    }

    /// A read that began when the state at `from` was acknowledged gave a state of then or later.
    fn check(&self, from: usize, read: State, how: &str) {
        let begun = self.begun.lock().unwrap();
        let (may_be, name) = (&begun[from..], &self.name);
        assert!(may_be.contains(&read), "{how} of {name} gave {read:?}; it was {may_be:?}");
    }

    /// As [`Self::check`], for what is read in several steps: a state that was written between two
    /// of them may be missed.
    fn check_parts(&self, from: usize, read: State, how: &str) {
        if read.is_some() || self.is_undisturbed_since(from) {
            self.check(from, read, how);
        }
    }

    /// Whether no state was begun after that at `from`.
    fn is_undisturbed_since(&self, from: usize) -> bool {
        self.begun.lock().unwrap().len() == from + 1
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Holds,
    Retracted,
    Ended,
}

struct Shown {
    value: u64,
    id: String,
    standing: Standing,
}

/// The one who writes a meter: its facts, oldest first.
#[derive(Default)]
pub(super) struct Writer(Vec<Shown>);

impl Writer {
    fn state(&self) -> State {
        let last = self.0.iter().rfind(|shown| shown.standing != Standing::Retracted);
        last.filter(|shown| shown.standing == Standing::Holds).map(|shown| shown.value)
    }

    /// One change of the meter.
    pub(super) async fn write(&mut self, memory: &Memory, meter: &Meter, rng: &mut impl Rng) {
        if self.0.len() > MOST_SHOWN {
            let oldest = self.0.remove(0);
            self.forget(memory, meter, oldest).await;
        } else if let Some(last) = self.0.pop() {
            match (rng.random_range(0..10), last.standing) {
                (0, _) => self.forget(memory, meter, last).await,
                (1 | 2, Standing::Holds) => self.retract(memory, meter, last).await,
                (1..=4, Standing::Retracted) => self.restore(memory, meter, last).await,
                (3, Standing::Holds) | (1..=4, Standing::Ended) => {
                    self.revise(memory, meter, last).await;
                }
                _ => {
                    self.0.push(last);
                    self.remember(memory, meter).await;
                }
            }
        } else {
            self.remember(memory, meter).await;
        }
        meter.acknowledge();
    }

    async fn remember(&mut self, memory: &Memory, meter: &Meter) {
        // One that is retracted and not the last would come between others when restored.
        self.0.retain(|shown| shown.standing != Standing::Retracted);
        let value = meter.begun.lock().unwrap().len() as u64;
        meter.begin(Some(value));
        let tells = |predicate: &str| FactInput {
            functional: true,
            ..fact(&meter.name, predicate, &value.to_string())
        };
        let facts =
            vec![tells("shows"), FactInput { derived_from_facts: vec![0], ..tells("rings") }];
        let request = RememberRequest {
            namespace: meter.namespace.clone(),
            idempotency_key: format!("{} shows {value}", meter.name),
            facts,
            ..RememberRequest::default()
        };
        let written =
            done(
                memory,
                &request,
                |mut memory, request| async move { memory.remember(request).await },
            );
        let id = written.await.into_inner().fact_ids.swap_remove(0);
        self.0.push(Shown { value, id, standing: Standing::Holds });
    }

    async fn forget(&mut self, memory: &Memory, meter: &Meter, shown: Shown) {
        meter.begin(self.state());
        let (namespace, target) = (meter.namespace.clone(), Some(Target::Id(shown.id)));
        let request = ForgetRequest { namespace, target, ..ForgetRequest::default() };
        let mut attempts = 0;
        done(memory, &request, |mut memory, request| {
            attempts += 1;
            let first = attempts == 1;
            async move {
                match memory.forget(request).await {
                    // An attempt that failed has done it.
                    Err(status) if status.code() == Code::NotFound && !first => Ok(()),
                    done => done.map(drop),
                }
            }
        })
        .await;
    }

    async fn retract(&mut self, memory: &Memory, meter: &Meter, shown: Shown) {
        let (namespace, id) = (meter.namespace.clone(), shown.id.clone());
        self.0.push(Shown { standing: Standing::Retracted, ..shown });
        meter.begin(self.state());
        let request = RetractRequest { namespace, id, ..RetractRequest::default() };
        done(memory, &request, |mut memory, request| async move { memory.retract(request).await })
            .await;
    }

    async fn restore(&mut self, memory: &Memory, meter: &Meter, shown: Shown) {
        let (namespace, id) = (meter.namespace.clone(), shown.id.clone());
        self.0.push(Shown { standing: Standing::Holds, ..shown });
        meter.begin(self.state());
        let request = RestoreRequest { namespace, id };
        done(memory, &request, |mut memory, request| async move { memory.restore(request).await })
            .await;
    }

    /// Lets what holds end now, or what ended go on.
    async fn revise(&mut self, memory: &Memory, meter: &Meter, shown: Shown) {
        let (namespace, id) = (meter.namespace.clone(), shown.id.clone());
        let ends = shown.standing == Standing::Holds;
        let standing = if ends { Standing::Ended } else { Standing::Holds };
        self.0.push(Shown { standing, ..shown });
        meter.begin(self.state());
        let valid_to = ends.then(|| SystemTime::now().into());
        let request = ReviseRequest { namespace, id, valid_from: None, valid_to };
        done(memory, &request, |mut memory, request| async move { memory.revise(request).await })
            .await;
    }
}

async fn done<Q: Clone, T, F: Future<Output = Result<T, Status>>>(
    memory: &Memory,
    request: &Q,
    call: impl FnMut(Memory, Q) -> F,
) -> T {
    insist(memory, request, call, || ()).await
}

/// Reads a meter in one of several ways, and checks that it is none of the states before the last
/// that was acknowledged.
pub(super) async fn read(memory: &Memory, meter: &Meter, rng: &mut impl Rng) {
    let from = meter.acknowledged.load(Ordering::SeqCst);
    match rng.random_range(0..8) {
        0 => meter.check_parts(from, searched(memory, meter).await, "Search"),
        1 => meter.check_parts(from, in_context(memory, meter).await, "BuildContext"),
        _ => meter.check(from, of_entity(memory, meter, from).await, "GetEntity"),
    }
}

impl Meter {
    /// What a fact's text says that it shows.
    fn shown(&self, text: &str) -> State {
        text.strip_prefix(&format!("{} shows ", self.name))?.parse().ok()
    }

    fn one_of<'t>(&self, texts: impl Iterator<Item = &'t str>) -> State {
        let values: Vec<u64> = texts.filter_map(|text| self.shown(text)).collect();
        assert!(values.len() <= 1, "a functional fact has one object: {values:?}");
        values.first().copied()
    }
}

async fn searched(memory: &Memory, meter: &Meter) -> State {
    let (namespace, query) = (meter.namespace.clone(), meter.name.clone());
    let kinds = vec![ItemKind::Fact.into()];
    let request = SearchRequest { namespace, query, kinds, ..SearchRequest::default() };
    let found =
        done(memory, &request, |mut memory, request| async move { memory.search(request).await });
    let found = found.await.into_inner().results;
    meter.one_of(found.iter().map(|found| found.text.as_str()))
}

async fn in_context(memory: &Memory, meter: &Meter) -> State {
    let (namespace, query) = (meter.namespace.clone(), meter.name.clone());
    let request = BuildContextRequest {
        namespace,
        query,
        token_budget: 2_000,
        ..BuildContextRequest::default()
    };
    let context =
        done(
            memory,
            &request,
            |mut memory, request| async move { memory.build_context(request).await },
        );
    let context = context.await.into_inner();
    let cited = context.citations.iter().filter_map(|citation| citation.item.as_ref());
    meter.one_of(cited.map(|item| item.text.as_str()))
}

async fn of_entity(memory: &Memory, meter: &Meter, from: usize) -> State {
    let begun = Utc::now();
    let (namespace, name) = (meter.namespace.clone(), meter.name.clone());
    let request = GetEntityRequest { namespace, name, ..GetEntityRequest::default() };
    let facts = done(memory, &request, |mut memory, request| async move {
        match memory.get_entity(request).await {
            Ok(entity) => Ok(entity.into_inner().facts),
            Err(status) if status.code() == Code::NotFound => Ok(Vec::new()),
            Err(status) => Err(status),
        }
    });
    let facts = facts.await;
    let now = |predicate: &str| -> Option<&Fact> {
        facts.iter().find(|fact| fact.predicate == predicate && fact.valid_to.is_none())
    };
    let value = |fact: &Fact| fact.object.parse::<u64>().ok();
    let (shows, rings) = (now("shows").and_then(value), now("rings"));
    // What was given an end during the read may not have ended when the read began; and what began during
    // it was not true then, whatever became of its grounds since.
    let was_there = |fact: &Fact| {
        fact.valid_from.as_ref().and_then(date_time).is_some_and(|from| from <= begun)
    };
    if let Some(rings) = rings
        && (shows.is_some() && was_there(rings) || meter.is_undisturbed_since(from))
    {
        assert_eq!(rings.stale, value(rings) != shows, "{shows:?}: {rings:?}");
    }
    shows
}
