//! Why, when, and what is linked to what.

use alina_proto::{
    Service,
    memory::v1::{
        ExplainRequest, FactInput, ItemKind, NeighborsRequest, PathRequest, Reason,
        RememberRequest, RetractRequest, ReviseRequest, Standing, TimelineRequest,
        TimelineResponse,
    },
};
use alina_testkit::Suite;
use prost_types::Timestamp;
use tonic::Code;

use crate::{Memory, episode, fact, memory, remember};

fn day(day: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: day * 86_400, nanos: 0 })
}

fn link(subject: &str, predicate: &str, object: &str) -> FactInput {
    FactInput { object_is_entity: true, valid_from: day(1), ..fact(subject, predicate, object) }
}

async fn written(memory: &Memory, facts: Vec<FactInput>) -> Vec<String> {
    remember(memory, RememberRequest { facts, ..RememberRequest::default() }).await.fact_ids
}

#[tokio::test]
async fn an_explanation_goes_down_to_what_was_said() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let mut said = episode("I live in Berlin now");
    said.facts = vec![fact("Ana", "lives_in", "Berlin")];
    let said = remember(&memory, said).await;
    let home = said.fact_ids[0].clone();
    let mut gym = fact("Ana", "trains_at", "Kreuzberg");
    gym.derived_from = vec![home.clone()];
    let gym = written(&memory, vec![gym]).await[0].clone();

    let explain = async || {
        let request = ExplainRequest { id: gym.clone(), ..ExplainRequest::default() };
        memory.clone().explain(request).await.unwrap().into_inner().reasons
    };
    let told = explain().await;
    let told: Vec<_> = told
        .iter()
        .map(|r| (r.id.as_str(), r.kind(), r.standing(), r.derived_from.len()))
        .collect();
    assert_eq!(
        told,
        [
            (gym.as_str(), ItemKind::Fact, Standing::Holds, 1),
            (home.as_str(), ItemKind::Fact, Standing::Holds, 1),
            (said.episode_id.as_str(), ItemKind::Episode, Standing::Holds, 0),
        ]
    );
    let id = said.episode_id.clone();
    let retract = RetractRequest { id, reason: "a joke".to_owned(), ..Default::default() };
    memory.clone().retract(retract).await.unwrap();
    let told = explain().await;
    let standings: Vec<_> = told.iter().map(Reason::standing).collect();
    assert_eq!(standings, [Standing::Stale, Standing::Stale, Standing::Retracted]);
    assert!(told[0].because.starts_with("I live in Berlin now: retracted"), "{}", told[0].because);
    assert!(told[2].because.ends_with("a joke"), "{}", told[2].because);
}

#[tokio::test]
async fn a_long_explanation_is_cut_and_says_so() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let mut last: Vec<String> = Vec::new();
    for part in 0..3 {
        let facts = (0..200_u32).map(|number| FactInput {
            derived_from: if number == 0 { last.clone() } else { Vec::new() },
            derived_from_facts: number.checked_sub(1).into_iter().collect(),
            ..fact("Chain", "has_link", &format!("{part}-{number}"))
        });
        last = written(&memory, facts.collect()).await.pop().into_iter().collect();
    }
    let request = ExplainRequest { id: last[0].clone(), ..ExplainRequest::default() };
    let told = memory.clone().explain(request).await.unwrap().into_inner();
    assert!(told.truncated);
    assert_eq!(told.reasons.len(), 512);
    assert_eq!(told.reasons[511].text, "Chain has link 0-88");
}

#[tokio::test]
async fn neighbours_are_found_by_hops_predicates_and_times() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let ids = written(
        &memory,
        vec![
            link("Ana", "knows", "Bea"),
            link("Cid", "knows", "Bea"),
            link("Cid", "works_at", "Hooli"),
            link("Hooli", "sits_in", "Porto"),
            FactInput { valid_to: day(5), ..link("Ana", "lives_in", "Berlin") },
            fact("Ana", "likes", "tea"),
        ],
    )
    .await;
    let around = async |request: NeighborsRequest| {
        let request = NeighborsRequest { entity: "ana".to_owned(), ..request };
        let told = memory.clone().neighbors(request).await.unwrap().into_inner();
        let names: Vec<String> =
            told.neighbors.iter().map(|near| format!("{}{}", near.name, near.hops)).collect();
        (names.join(" "), told.facts.len(), told.truncated)
    };
    let request = NeighborsRequest::default;
    assert_eq!(around(request()).await, ("Ana0 Bea1".to_owned(), 1, false));
    let all = NeighborsRequest { hops: 4, ..request() };
    let everyone = ("Ana0 Bea1 Cid2 Hooli3 Porto4".to_owned(), 4, false);
    assert_eq!(around(all.clone()).await, everyone);
    let then = NeighborsRequest { as_of: day(3), ..request() };
    let (names, ..) = around(then).await;
    assert!(names.contains("Berlin1"), "{names}");
    let knows = NeighborsRequest { predicates: vec!["knows".to_owned()], ..all.clone() };
    assert_eq!(around(knows).await.0, "Ana0 Bea1 Cid2");
    let few = NeighborsRequest { limit: 2, ..all.clone() };
    assert_eq!(around(few).await, ("Ana0 Bea1 Cid2".to_owned(), 2, true));
    let retract = RetractRequest { id: ids[1].clone(), ..RetractRequest::default() };
    memory.clone().retract(retract).await.unwrap();
    assert_eq!(around(all).await.0, "Ana0 Bea1");
}

#[tokio::test]
async fn a_shortest_way_is_found_in_either_direction() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let short = written(&memory, vec![link("n0", "to", "n9"), link("n6", "to", "n9")]).await;
    let mut chain = Vec::new();
    for number in 0..8 {
        chain.push(link(&format!("n{number}"), "next", &format!("n{}", number + 1)));
    }
    written(&memory, chain).await;
    written(&memory, vec![link("far", "is", "alone")]).await;
    let way = async |from: &str, to: &str, max_hops| {
        let (from, to) = (from.to_owned(), to.to_owned());
        let request = PathRequest { from, to, max_hops, ..PathRequest::default() };
        let told = memory.clone().path(request).await.unwrap().into_inner();
        assert_eq!(told.found, !told.entities.is_empty());
        assert!(!told.found || told.entities.len() == told.facts.len() + 1);
        // Each fact is between the entities beside it.
        for (number, fact) in told.facts.iter().enumerate() {
            let ends = [&told.entities[number].name, &told.entities[number + 1].name];
            assert!(ends.contains(&&fact.subject) && ends.contains(&&fact.object), "{told:?}");
            assert_eq!(told.entities[number].hops as usize, number);
        }
        let names: Vec<&str> = told.entities.iter().map(|near| near.name.as_str()).collect();
        names.join(" ")
    };
    assert_eq!(way("n0", "n0", 0).await, "n0");
    assert_eq!(way("n0", "n1", 1).await, "n0 n1");
    assert_eq!(way("n1", "n0", 1).await, "n1 n0");
    assert_eq!(way("n0", "n6", 6).await, "n0 n9 n6", "shorter than along the chain");
    assert_eq!(way("n0", "n7", 6).await, "n0 n9 n6 n7");
    assert_eq!(way("n7", "n0", 0).await, "n7 n6 n9 n0");
    assert_eq!(way("n0", "n7", 2).await, "", "not in two");
    assert_eq!(way("n0", "far", 6).await, "", "no way at all");
    let retract = RetractRequest { id: short[0].clone(), ..RetractRequest::default() };
    memory.clone().retract(retract).await.unwrap();
    assert_eq!(way("n0", "n6", 6).await, "n0 n1 n2 n3 n4 n5 n6");
    assert_eq!(way("n0", "n6", 5).await, "");
    let request = PathRequest { from: "n0".to_owned(), to: "x".to_owned(), ..Default::default() };
    assert_eq!(memory.clone().path(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_timeline_is_in_order_in_pages_and_tells_what_was_believed() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let mut ids = Vec::new();
    for (city, from) in [("Berlin", 10), ("Aachen", 5), ("Porto", 20)] {
        let mut lives = fact("Ana", "lives_in", city);
        (lives.functional, lives.valid_from) = (true, day(from));
        ids.extend(written(&memory, vec![lives]).await);
    }
    written(&memory, vec![FactInput { valid_from: day(7), ..fact("Ana", "likes", "tea") }]).await;
    let before = Some(alina_proto::time::timestamp(chrono::Utc::now()));
    let retract =
        RetractRequest { id: ids[2].clone(), reason: "no".to_owned(), ..Default::default() };
    memory.clone().retract(retract).await.unwrap();
    let told = async |request: TimelineRequest| {
        let request = TimelineRequest { entity: "Ana".to_owned(), ..request };
        memory.clone().timeline(request).await.unwrap().into_inner()
    };
    let objects = |told: &TimelineResponse| -> String {
        let facts = told.entries.iter().filter_map(|entry| entry.fact.as_ref());
        facts.map(|fact| fact.object.as_str()).collect::<Vec<_>>().join(" ")
    };
    let all = told(TimelineRequest::default()).await;
    assert_eq!(objects(&all), "Aachen tea Berlin Porto", "the retracted one, too");
    let lives = TimelineRequest { predicate: "lives_in".to_owned(), ..Default::default() };
    assert_eq!(objects(&told(lives).await), "Aachen Berlin Porto");
    let between = TimelineRequest { from: day(11), to: day(19), ..Default::default() };
    assert_eq!(objects(&told(between).await), "tea Berlin");

    // Berlin was believed open, ended by Porto, open again.
    let berlin = &all.entries[2].beliefs;
    let ends: Vec<_> = berlin.iter().map(|belief| belief.valid_to).collect();
    assert_eq!(ends, [None, day(20), None]);
    assert!(berlin[0].until == berlin[1].since && berlin[2].until.is_none());
    let porto = &all.entries[3];
    assert!(porto.fact.as_ref().unwrap().retracted_at.is_some());
    assert_eq!(porto.beliefs[0].reason, "no");
    let then = told(TimelineRequest { known_at: before, ..Default::default() }).await;
    assert_eq!(objects(&then), "Aachen tea Berlin Porto");
    assert_eq!(then.entries[2].beliefs.len(), 2);
    assert!(then.entries[3].fact.as_ref().unwrap().retracted_at.is_none());

    let revise = ReviseRequest { id: ids[0].clone(), valid_from: day(6), ..Default::default() };
    memory.clone().revise(revise).await.unwrap();
    let (mut paged, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = told(TimelineRequest { page_size: 1, page_token, ..Default::default() }).await;
        paged.push(objects(&page));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(paged.join(" ").trim(), "Aachen Berlin tea Porto");
}
