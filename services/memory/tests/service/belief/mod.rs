//! A test of belief: change a ground, and the very next read says what follows. Every assertion is
//! made of Search, GetEntity, BuildContext and Explain.

mod script;

use std::{collections::HashMap, panic::AssertUnwindSafe};

use alina_proto::{
    Service,
    memory::v1::{
        BankDocument, BuildContextRequest, Consequences, Episode, ExplainRequest, FactInput,
        ForgetRequest, GetEntityRequest, ImportBankRequest, ItemKind, RememberRequest,
        RestoreRequest, RetractRequest, ReviseRequest, SearchRequest, Standing,
        VerifyActionsRequest, forget_request::Target,
    },
    time::timestamp,
};
use alina_testkit::Suite;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use prost_types::Timestamp;
use tonic::Code;

use self::script::{Case, Expected, Fact, Said, Step, When, cases};
use crate::{Memory, memory};

const SCRIPTS: [(&str, &str, usize); 7] = [
    ("cascade", include_str!("cases/cascade.txt"), 12),
    ("absence", include_str!("cases/absence.txt"), 10),
    ("deletion", include_str!("cases/deletion.txt"), 10),
    ("corrections", include_str!("cases/corrections.txt"), 12),
    ("functional", include_str!("cases/functional.txt"), 10),
    ("worlds", include_str!("cases/worlds.txt"), 10),
    ("expiry", include_str!("cases/expiry.txt"), 6),
];

#[tokio::test]
async fn what_is_believed_follows_from_its_grounds_in_the_very_next_read() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let (mut asserted, mut wrong) = (0, Vec::new());
    for (group, script, at_least) in SCRIPTS {
        let cases = cases(script);
        assert!(cases.len() >= at_least, "{group} has {} cases", cases.len());
        for (number, case) in cases.iter().enumerate() {
            let mut world = World::new(&memory, format!("{group}-{number}"), case);
            let name = world.name();
            // One that is wrong does not hide others.
            match AssertUnwindSafe(world.play()).catch_unwind().await {
                Ok(count) => asserted += count,
                Err(_) => wrong.push(name),
            }
        }
    }
    assert!(wrong.is_empty(), "wrong (see above): {wrong:#?}");
    println!("{asserted} assertions, each of four reads");
}

/// What a label of a case stands for.
#[derive(Debug, Clone)]
struct Known {
    id: String,
    text: String,
    /// Of facts only.
    subject: Option<String>,
}

struct World<'c> {
    memory: Memory,
    namespace: String,
    case: &'c Case,
    known: HashMap<String, Known>,
    marks: HashMap<String, DateTime<Utc>>,
    at: Option<When>,
    known_at: Option<DateTime<Utc>>,
    asserted: usize,
}

impl<'c> World<'c> {
    fn new(memory: &Memory, namespace: String, case: &'c Case) -> Self {
        Self {
            memory: memory.clone(),
            namespace,
            case,
            known: HashMap::new(),
            marks: HashMap::new(),
            at: None,
            known_at: None,
            asserted: 0,
        }
    }

    /// Tells how much was asserted.
    async fn play(&mut self) -> usize {
        for step in &self.case.steps {
            self.take(step).await;
        }
        assert!(self.asserted > 0, "{} asserts nothing", self.name());
        self.asserted
    }

    fn name(&self) -> String {
        format!("case {} ({})", self.case.name, self.namespace)
    }

    fn known(&self, label: &str) -> &Known {
        let name = self.name();
        self.known.get(label).unwrap_or_else(|| panic!("{name}: what is `{label}`?"))
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Remember(said, facts) => self.remember(said.as_ref(), facts).await,
            Step::Bank { label, path, text } => self.import(label, path, text).await,
            Step::Retract(label, reason, expected) => {
                let (namespace, id) = (self.namespace.clone(), self.known(label).id.clone());
                let request = RetractRequest { namespace, id, reason: reason.clone() };
                let done = self
                    .memory
                    .retract(request)
                    .await
                    .unwrap_or_else(|status| panic!("{}: {status}", self.name()))
                    .into_inner();
                self.followed(expected.as_ref(), done.consequences);
            }
            Step::Restore(label, expected) => {
                let (namespace, id) = (self.namespace.clone(), self.known(label).id.clone());
                let request = RestoreRequest { namespace, id };
                let done = self
                    .memory
                    .restore(request)
                    .await
                    .unwrap_or_else(|status| panic!("{}: {status}", self.name()))
                    .into_inner();
                self.followed(expected.as_ref(), done.consequences);
            }
            Step::Revise(label, from, to, expected) => {
                let request = ReviseRequest {
                    namespace: self.namespace.clone(),
                    id: self.known(label).id.clone(),
                    valid_from: wire(*from),
                    valid_to: wire(*to),
                };
                let done = self
                    .memory
                    .revise(request)
                    .await
                    .unwrap_or_else(|status| panic!("{}: {status}", self.name()))
                    .into_inner();
                self.followed(expected.as_ref(), done.consequences);
            }
            Step::Forget(kind, what) => self.forget(kind, what).await,
            Step::Mark(mark) => {
                // What follows is written later than the mark.
                self.marks.insert(mark.clone(), Utc::now());
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
            Step::Sleep(length) => tokio::time::sleep(*length).await,
            Step::At(when) => self.at = *when,
            Step::Known(mark) => self.known_at = mark.as_ref().map(|mark| self.marks[mark]),
            Step::Assert { standing, labels, because } => {
                for label in labels {
                    self.check(label, standing, because).await;
                    self.asserted += 1;
                }
            }
        }
    }

    async fn remember(&mut self, said: Option<&Said>, facts: &[Fact]) {
        let places: HashMap<&str, u32> =
            facts.iter().map(|fact| fact.label.as_str()).zip(0..).collect();
        let input = |fact: &Fact| {
            let here = fact.by.iter().filter_map(|label| places.get(label.as_str()).copied());
            let elsewhere = fact.by.iter().filter(|label| !places.contains_key(label.as_str()));
            FactInput {
                subject: fact.subject.clone(),
                predicate: fact.predicate.clone(),
                object: fact.object.clone(),
                functional: fact.functional,
                valid_from: wire(fact.from),
                valid_to: wire(fact.to),
                derived_from: elsewhere.map(|label| self.known(label).id.clone()).collect(),
                derived_from_facts: here.collect(),
                ..FactInput::default()
            }
        };
        let request = RememberRequest {
            namespace: self.namespace.clone(),
            episode: said.map(|said| Episode {
                text: said.text.clone(),
                actor: said.actor.clone(),
                session: said.session.clone(),
                occurred_at: wire(Some(said.at)),
                ..Episode::default()
            }),
            facts: facts.iter().map(input).collect(),
            ..RememberRequest::default()
        };
        let written = self
            .memory
            .remember(request)
            .await
            .unwrap_or_else(|status| panic!("{}: {status}", self.name()))
            .into_inner();
        if let Some(said) = said {
            let known = Known { id: written.episode_id, text: said.text.clone(), subject: None };
            self.known.insert(said.label.clone(), known);
        }
        for (fact, id) in facts.iter().zip(written.fact_ids) {
            let subject = Some(fact.subject.clone());
            self.known.insert(fact.label.clone(), Known { id, text: fact.sentence(), subject });
        }
    }

    async fn import(&mut self, label: &str, path: &str, text: &str) {
        let document = BankDocument { path: path.to_owned(), content: format!("# Note\n{text}\n") };
        let request =
            ImportBankRequest { namespace: self.namespace.clone(), documents: vec![document] };
        self.memory
            .import_bank(request)
            .await
            .unwrap_or_else(|status| panic!("{}: {status}", self.name()));
        let request = SearchRequest {
            namespace: self.namespace.clone(),
            query: text.to_owned(),
            kinds: vec![ItemKind::Section.into()],
            ..SearchRequest::default()
        };
        let found = self
            .memory
            .search(request)
            .await
            .unwrap_or_else(|status| panic!("{}: {status}", self.name()))
            .into_inner()
            .results;
        let section = found.iter().find(|found| found.text.contains(text)).expect("the section");
        let known = Known { id: section.id.clone(), text: text.to_owned(), subject: None };
        self.known.insert(label.to_owned(), known);
    }

    async fn forget(&mut self, kind: &str, what: &str) {
        let target = match kind {
            "id" => Target::Id(self.known(what).id.clone()),
            "entity" => Target::Entity(what.to_owned()),
            "actor" => Target::Actor(what.to_owned()),
            "session" => Target::Session(what.to_owned()),
            "document" => Target::Document(what.to_owned()),
            _ => panic!("{}: forget what?", self.name()),
        };
        let namespace = self.namespace.clone();
        let request = ForgetRequest { namespace, target: Some(target), ..ForgetRequest::default() };
        self.memory
            .forget(request)
            .await
            .unwrap_or_else(|status| panic!("{}: {status}", self.name()));
        let namespace = self.namespace.clone();
        let verify = VerifyActionsRequest { namespace, ..VerifyActionsRequest::default() };
        let verified = self.memory.verify_actions(verify).await.unwrap().into_inner();
        assert!(verified.intact && verified.length > 0, "{}: {verified:?}", self.name());
    }

    fn followed(&self, expected: Option<&Expected>, told: Option<Consequences>) {
        let (Some(expected), Some(told)) = (expected, told) else { return };
        for (labels, ids, what) in [
            (&expected.stale, told.now_stale, "stale"),
            (&expected.holding, told.now_holding, "holding"),
            (&expected.revised, told.revised, "revised"),
        ] {
            let mut wanted: Vec<_> = labels.iter().map(|label| &self.known(label).id).collect();
            let mut ids: Vec<_> = ids.iter().collect();
            wanted.sort();
            ids.sort();
            assert_eq!(wanted, ids, "{}: what is {what} since", self.name());
        }
    }

    /// All four reads say of `label` that it stands so.
    async fn check(&mut self, label: &str, standing: &str, because: &str) {
        let known = self.known(label).clone();
        let about = format!("{}: `{label}` {standing} {because}", self.name());
        let told = self.read(&known, true).await;
        match standing {
            "holds" => {
                assert_eq!(told.explained, Ok((Standing::Holds, String::new())), "{about}");
                told.is_given(false, &about);
            }
            "stale" => {
                let (explained, why) = told.explained.clone().expect(&about);
                assert_eq!(explained, Standing::Stale, "{about}");
                assert!(why.contains(because), "{about}: {why}");
                told.is_given(true, &about);
                for why in told.why.iter().flatten() {
                    assert!(why.contains(because), "{about}: {why}");
                }
                self.read(&known, false).await.is_not_given(&format!("{about} (without stale)"));
            }
            "deleted" => {
                assert_eq!(told.explained, Err(Code::NotFound), "{about}");
                told.is_not_given(&about);
            }
            _ => {
                let wanted = match standing {
                    "ended" => Standing::Ended,
                    "future" => Standing::Future,
                    "retracted" => Standing::Retracted,
                    _ => Standing::Unknown,
                };
                let (explained, why) = told.explained.clone().expect(&about);
                assert_eq!(explained, wanted, "{about}: {why}");
                assert!(!why.is_empty(), "{about}");
                told.is_not_given(&about);
            }
        }
    }

    async fn read(&mut self, known: &Known, include_stale: bool) -> Told {
        let as_of = Some(timestamp(self.at.map_or_else(Utc::now, When::time)));
        let known_at = self.known_at.map(timestamp);
        let namespace = self.namespace.clone();
        let include_stale = Some(include_stale);
        let search = SearchRequest {
            namespace: namespace.clone(),
            query: known.text.clone(),
            limit: 100,
            as_of,
            known_at,
            include_stale,
            ..SearchRequest::default()
        };
        let found = self.memory.search(search).await.unwrap().into_inner().results;
        // Of the same text said twice one is given.
        let found = found.iter().find(|found| found.id == known.id).map(|found| {
            assert_eq!(found.stale, !found.stale_because.is_empty());
            found.stale_because.join("; ")
        });

        let context = BuildContextRequest {
            namespace: namespace.clone(),
            query: known.text.clone(),
            token_budget: 32_768,
            as_of,
            known_at,
            include_stale,
            ..BuildContextRequest::default()
        };
        let context = self.memory.build_context(context).await.unwrap().into_inner();
        let cited = context.citations.iter().find_map(|citation| {
            let item = citation.item.as_ref().filter(|item| item.id == known.id)?;
            let mut lines = context.context.lines();
            let line = lines.find(|line| line.starts_with(&citation.label)).unwrap_or_default();
            assert_eq!(item.stale, line.contains("(stale, for "), "{line}");
            Some(item.stale_because.join("; "))
        });

        let mut told = vec![found, cited];
        if let Some(subject) = &known.subject {
            let entity = GetEntityRequest {
                namespace: namespace.clone(),
                name: subject.clone(),
                as_of,
                known_at,
                include_stale,
            };
            let facts = match self.memory.get_entity(entity).await {
                Ok(entity) => entity.into_inner().facts,
                Err(status) => {
                    assert_eq!(status.code(), Code::NotFound);
                    Vec::new()
                }
            };
            let fact = facts.iter().find(|fact| fact.id == known.id);
            told.push(fact.map(|fact| fact.stale_because.join("; ")));
        }
        let explain = ExplainRequest { namespace, id: known.id.clone(), as_of, known_at };
        let explained = match self.memory.explain(explain).await {
            Ok(told) => {
                let told = told.into_inner();
                assert_eq!(told.reasons[0].id, known.id);
                let first = &told.reasons[0];
                Ok((first.standing(), first.because.clone()))
            }
            Err(status) => Err(status.code()),
        };
        Told { why: told, explained }
    }
}

/// What the reads say of one item.
#[derive(Debug)]
struct Told {
    /// Of Search, BuildContext and, of a fact, GetEntity: why it is stale; none when it is not given.
    why: Vec<Option<String>>,
    explained: Result<(Standing, String), Code>,
}

impl Told {
    fn is_given(&self, stale: bool, about: &str) {
        let right = |why: &Option<String>| why.as_ref().is_some_and(|why| why.is_empty() != stale);
        assert!(self.why.iter().all(right), "{about}: {self:?}");
    }

    fn is_not_given(&self, about: &str) {
        assert!(self.why.iter().all(Option::is_none), "{about}: {self:?}");
    }
}

fn wire(when: Option<When>) -> Option<Timestamp> {
    when.map(|when| timestamp(when.time()))
}
