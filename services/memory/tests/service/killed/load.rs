//! Clients that write all the time, and send again, with the same key, what was not acknowledged.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use alina_client::deadline;
use alina_proto::memory::v1::{
    FactInput, ForgetRequest, LogActionRequest, RememberRequest, RememberStreamRequest,
    RestoreRequest, RetractRequest, SearchRequest, VerifyActionsRequest, WatchRequest,
    forget_request::Target, remember_stream_response::Outcome,
};
use prost_types::Timestamp;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use uuid::Uuid;

use super::ledger::{Forgotten, Ledger, NAMESPACES, Shown, Written};
use crate::{
    Memory, episode, fact,
    insisting::{DEADLINE, again, insist},
};

const WRITERS: usize = 4;
/// Facts that end each other.
const SHOWN_BY_A_GAUGE: i64 = 40;
const BEGINNING: i64 = 1_700_000_000;

/// What each client needs.
struct Client {
    memory: Memory,
    ledger: Arc<Ledger>,
    namespace: &'static str,
    number: usize,
    rng: StdRng,
}

pub(super) fn start(tasks: &mut JoinSet<()>, memory: &Memory, ledger: &Arc<Ledger>, seed: u64) {
    for number in 0..WRITERS {
        let client = || Client {
            memory: memory.clone(),
            ledger: Arc::clone(ledger),
            namespace: NAMESPACES[number % 2],
            number,
            rng: StdRng::seed_from_u64(seed + number as u64),
        };
        tasks.spawn(client().remembers());
        if number < 2 {
            tasks.spawn(client().streams());
            tasks.spawn(client().acts());
            tasks.spawn(client().corrects());
            tasks.spawn(client().forgets());
            tasks.spawn(client().watches());
            tasks.spawn(client().searches());
        }
    }
}

pub(super) fn id(text: &str) -> Uuid {
    text.parse().expect("an id")
}

impl Client {
    async fn insist<Q: Clone, T, F: Future<Output = Result<T, Status>>>(
        &self,
        request: &Q,
        call: impl FnMut(Memory, Q) -> F,
    ) -> T {
        insist(&self.memory, request, call, || self.count_failure()).await
    }

    async fn failed(&self, status: &Status) {
        self.count_failure();
        again(status).await;
    }

    fn count_failure(&self) {
        self.ledger.failed.fetch_add(1, Ordering::Relaxed);
    }

    async fn pause(&mut self) {
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..10))).await;
    }

    fn keyed(&self, what: &str, number: i64, request: RememberRequest) -> RememberRequest {
        RememberRequest {
            namespace: self.namespace.to_owned(),
            idempotency_key: format!("{what}/{}/{number}", self.number),
            ..request
        }
    }

    fn written(&self, id: &str, text: String) -> Written {
        Written { namespace: self.namespace, id: self::id(id), text }
    }

    /// Episodes with facts of which each ends the one before, also those of another writer.
    async fn remembers(mut self) {
        for number in 0.. {
            if !self.ledger.goes_on() {
                return;
            }
            let gauge = format!("gauge {}", number / SHOWN_BY_A_GAUGE);
            let object = format!("{number} of {}", self.number);
            let from = BEGINNING + number * WRITERS as i64 + self.number as i64;
            let text = format!("writer {} notes {number}", self.number);
            let shows = FactInput {
                functional: true,
                valid_from: Some(Timestamp { seconds: from, nanos: 0 }),
                ..fact(&gauge, "shows", &object)
            };
            let rings = FactInput {
                derived_from_facts: vec![0],
                functional: false,
                ..FactInput { predicate: "rings".to_owned(), ..shows.clone() }
            };
            let request = RememberRequest { facts: vec![shows, rings], ..episode(&text) };
            let request = self.keyed("note", number, request);
            let answer = self.insist(&request, |mut memory, request| async move {
                memory.remember(request).await
            });
            let answer = answer.await.into_inner();
            let repeated = usize::from(answer.repeated_request);
            self.ledger.repeated.fetch_add(repeated, Ordering::Relaxed);
            let texts = ["shows", "rings"].map(|verb| format!("{gauge} {verb} {object}"));
            let facts = answer.fact_ids.iter().zip(texts).map(|(id, text)| self.written(id, text));
            self.ledger.facts.lock().unwrap().extend(facts);
            let shown = Shown { from, object };
            let gauge = (self.namespace, gauge);
            self.ledger.gauges.lock().unwrap().entry(gauge).or_default().push(shown);
            self.ledger.episodes.lock().unwrap().push(self.written(&answer.episode_id, text));
            self.ledger.acknowledge(1);
            self.pause().await;
        }
    }

    /// Many episodes at once.
    async fn streams(mut self) {
        let mut number = 0;
        while self.ledger.goes_on() {
            let count = self.rng.random_range(1..80);
            let text = |number| format!("stream {} tells {number}", self.number);
            let mut left: BTreeMap<i64, RememberRequest> = (number..number + count)
                .map(|number| (number, self.keyed("tale", number, episode(&text(number)))))
                .collect();
            number += count;
            while !left.is_empty() {
                if let Err(status) = self.streamed(&mut left).await {
                    self.failed(&status).await;
                }
            }
            self.pause().await;
        }
    }

    /// Sends what is left; what is answered is left no more.
    async fn streamed(&self, left: &mut BTreeMap<i64, RememberRequest>) -> Result<(), Status> {
        let sent: Vec<(i64, RememberRequest)> =
            left.iter().map(|(number, request)| (*number, request.clone())).collect();
        let requests: Vec<RememberStreamRequest> = sent
            .iter()
            .map(|(_, request)| RememberStreamRequest { request: Some(request.clone()) })
            .collect();
        let mut memory = self.memory.clone();
        deadline::within(DEADLINE, async {
            let answers = memory.remember_stream(futures::stream::iter(requests)).await?;
            let mut answers = answers.into_inner();
            while let Some(answer) = answers.message().await? {
                let Some(Outcome::Written(written)) = answer.outcome else {
                    panic!("refused: {answer:?}");
                };
                let place = usize::try_from(answer.place).unwrap();
                let request = left.remove(&sent[place].0).expect("answered once");
                let text = request.episode.unwrap_or_default().text;
                let repeated = usize::from(written.repeated_request);
                self.ledger.repeated.fetch_add(repeated, Ordering::Relaxed);
                self.ledger.episodes.lock().unwrap().push(self.written(&written.episode_id, text));
            }
            self.ledger.acknowledge(1);
            Ok(())
        })
        .await
    }

    /// Entries of the log; its chain must hold what it held before.
    async fn acts(mut self) {
        for number in 0.. {
            if !self.ledger.goes_on() {
                return;
            }
            let summary = format!("actor {} does {number}", self.number);
            let request = LogActionRequest {
                namespace: self.namespace.to_owned(),
                idempotency_key: format!("act/{}/{number}", self.number),
                actor: format!("agent:{}", self.number),
                action: "does".to_owned(),
                summary: summary.clone(),
                ..LogActionRequest::default()
            };
            self.insist(
                &request,
                |mut memory, request| async move { memory.log_action(request).await },
            )
            .await;
            self.ledger.actions.lock().unwrap().entry(self.namespace).or_default().push(summary);
            self.ledger.acknowledge(1);
            if number % 25 == 0 {
                self.verifies().await;
            }
            self.pause().await;
        }
    }

    async fn verifies(&self) {
        let last = self
            .ledger
            .heads
            .lock()
            .unwrap()
            .get(self.namespace)
            .map(|all| all[all.len() - 1].clone());
        let (known_position, known_hash) = last.unwrap_or_default();
        let namespace = self.namespace.to_owned();
        let request = VerifyActionsRequest { namespace, known_position, known_hash };
        let verified = self.insist(&request, |mut memory, request| async move {
            memory.verify_actions(request).await
        });
        let verified = verified.await.into_inner();
        assert!(verified.intact && verified.length >= known_position, "{request:?}: {verified:?}");
        let head = (verified.length, verified.head);
        self.ledger.heads.lock().unwrap().entry(self.namespace).or_default().push(head);
    }

    /// Facts that are retracted and restored.
    async fn corrects(mut self) {
        for number in 0.. {
            if !self.ledger.goes_on() {
                return;
            }
            let valve = format!("valve {} {number}", self.number);
            let facts = vec![fact(&valve, "is", "open")];
            let request = self.keyed(
                "valve",
                number,
                RememberRequest { facts, ..RememberRequest::default() },
            );
            let answer = self.insist(&request, |mut memory, request| async move {
                memory.remember(request).await
            });
            let id = answer.await.into_inner().fact_ids.swap_remove(0);
            let fact = self.written(&id, format!("{valve} is open"));
            let key = (self.namespace, fact.id);
            self.ledger.facts.lock().unwrap().push(fact);
            self.ledger.acknowledge(1);
            for correction in 0..self.rng.random_range(1..4) {
                let retracts = correction % 2 == 0;
                let namespace = self.namespace.to_owned();
                if retracts {
                    let request =
                        RetractRequest { namespace, id: id.clone(), reason: "tried".to_owned() };
                    self.insist(&request, |mut memory, request| async move {
                        memory.retract(request).await
                    })
                    .await;
                } else {
                    let request = RestoreRequest { namespace, id: id.clone() };
                    self.insist(&request, |mut memory, request| async move {
                        memory.restore(request).await
                    })
                    .await;
                }
                self.ledger.corrected.lock().unwrap().insert(key, retracts);
                self.ledger.acknowledge(1);
                self.pause().await;
            }
        }
    }

    /// Episodes that are forgotten, with what is derived from them.
    async fn forgets(mut self) {
        for number in 0.. {
            if !self.ledger.goes_on() {
                return;
            }
            let text = format!("secret {} of {number}", self.number);
            let facts =
                vec![fact(&format!("safe {} {number}", self.number), "opens_with", "a key")];
            let request = RememberRequest { facts, ..episode(&text) };
            let request = self.keyed("secret", number, request);
            let answer = self.insist(&request, |mut memory, request| async move {
                memory.remember(request).await
            });
            let answer = answer.await.into_inner();
            self.pause().await;
            let forget = ForgetRequest {
                namespace: self.namespace.to_owned(),
                target: Some(Target::Id(answer.episode_id.clone())),
                ..ForgetRequest::default()
            };
            let mut attempts = 0;
            self.insist(&forget, |mut memory, forget| {
                attempts += 1;
                let first = attempts == 1;
                async move {
                    match memory.forget(forget).await {
                        // An attempt that failed has done it.
                        Err(status) if status.code() == Code::NotFound && !first => Ok(()),
                        done => done.map(drop),
                    }
                }
            })
            .await;
            let again = self.insist(&request, |mut memory, request| async move {
                match memory.remember(request).await {
                    Err(status) if status.code() == Code::AlreadyExists => Ok(true),
                    done => done.map(|_| false),
                }
            });
            assert!(again.await, "what is forgotten is not written again");
            let ids = [&answer.episode_id].into_iter().chain(&answer.fact_ids);
            let ids = ids.map(|text| id(text)).collect();
            self.ledger.forgotten.lock().unwrap().push(Forgotten { ids, text });
            self.ledger.acknowledge(2);
            tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..100))).await;
        }
    }

    /// Changes, from the last number on.
    async fn watches(self) {
        let mut last = 0;
        while self.ledger.goes_on() {
            let namespace = self.namespace.to_owned();
            let request = WatchRequest { namespace, after_sequence: last, until_now: false };
            let mut memory = self.memory.clone();
            let watched = async {
                let mut changes = memory.watch(request).await?.into_inner();
                while let Some(change) = changes.message().await? {
                    assert_eq!(change.sequence, last + 1, "numbers have no gaps");
                    last = change.sequence;
                    self.ledger.changes.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, Status>(())
            };
            // From time to time it is looked whether to go on.
            if let Ok(Err(status)) = tokio::time::timeout(Duration::from_secs(2), watched).await {
                self.failed(&status).await;
            }
        }
    }

    async fn searches(mut self) {
        while self.ledger.goes_on() {
            let number = self.rng.random_range(0..100);
            let namespace = self.namespace.to_owned();
            let query = format!("what does writer {} note of {number}", self.number);
            let request = SearchRequest { namespace, query, ..SearchRequest::default() };
            self.insist(
                &request,
                |mut memory, request| async move { memory.search(request).await },
            )
            .await;
            self.ledger.searches.fetch_add(1, Ordering::Relaxed);
            self.pause().await;
        }
    }
}
