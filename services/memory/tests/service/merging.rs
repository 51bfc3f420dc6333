//! Entities that are one, and are two again.

use std::time::{Duration, Instant};

use alina_proto::{
    Service,
    memory::v1::{
        DescribeEntityRequest, Episode, FactInput, ForgetRequest, GetEntityRequest,
        GetEntityResponse, ListActionsRequest, ListMergeSuggestionsRequest, MergeEntitiesRequest,
        MergeEntitiesResponse, MergeSuggestion, NeighborsRequest, PathRequest, RememberRequest,
        SearchRequest, TimelineRequest, UnmergeEntityRequest, UnmergeEntityResponse,
        VerifyActionsRequest, forget_request::Target,
    },
    time::timestamp,
};
use alina_testkit::Suite;
use chrono::{TimeZone, Utc};
use prost_types::Timestamp;
use tonic::Code;

use crate::{Memory, extracting::extracted, fact, memory, remember};

fn on(day: u32) -> Option<Timestamp> {
    Some(timestamp(Utc.with_ymd_and_hms(2024, 5, day, 0, 0, 0).unwrap()))
}

fn lives(who: &str, city: &str, day: u32) -> FactInput {
    FactInput {
        functional: true,
        object_is_entity: true,
        valid_from: on(day),
        ..fact(who, "lives_in", city)
    }
}

async fn write(memory: &Memory, facts: Vec<FactInput>) -> Vec<String> {
    remember(memory, RememberRequest { facts, ..RememberRequest::default() }).await.fact_ids
}

async fn merge(memory: &Memory, into: &str, from: &str) -> MergeEntitiesResponse {
    let (into, from) = (into.to_owned(), from.to_owned());
    let request = MergeEntitiesRequest { into, from, ..MergeEntitiesRequest::default() };
    memory.clone().merge_entities(request).await.expect("it is merged").into_inner()
}

async fn unmerge(memory: &Memory, name: &str) -> UnmergeEntityResponse {
    let request = UnmergeEntityRequest { name: name.to_owned(), ..UnmergeEntityRequest::default() };
    memory.clone().unmerge_entity(request).await.expect("it is undone").into_inner()
}

async fn entity(memory: &Memory, name: &str, known_at: Option<Timestamp>) -> GetEntityResponse {
    let request =
        GetEntityRequest { name: name.to_owned(), known_at, ..GetEntityRequest::default() };
    memory.clone().get_entity(request).await.expect("an entity").into_inner()
}

/// What is found because it is about an entity that is named, sorted.
async fn about(memory: &Memory, query: &str, known_at: Option<Timestamp>) -> Vec<String> {
    let search = SearchRequest { query: query.to_owned(), known_at, ..SearchRequest::default() };
    let found = memory.clone().search(search).await.unwrap().into_inner().results;
    let named = |reasons: &[String]| reasons.iter().any(|reason| reason.starts_with("about "));
    let found = found.into_iter().filter(|found| named(&found.reasons));
    let mut texts: Vec<String> = found.map(|found| found.text).collect();
    texts.sort();
    texts
}

/// "Porto 05-01…05-05", sorted; without the ends of what goes on.
fn told(entity: &GetEntityResponse) -> Vec<String> {
    let day = |at: &Option<Timestamp>| {
        let at = at.as_ref().and_then(alina_proto::time::date_time);
        at.map_or_else(String::new, |at| at.format("%d").to_string())
    };
    let mut told: Vec<String> = entity
        .facts
        .iter()
        .map(|fact| format!("{} {}…{}", fact.object, day(&fact.valid_from), day(&fact.valid_to)))
        .collect();
    told.sort();
    told
}

#[tokio::test]
async fn two_are_one_everywhere_and_two_again() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let ids = write(
        &memory,
        vec![lives("Bea", "Berlin", 1), lives("Bea Santos", "Porto", 5), lives("Cid", "Porto", 1)],
    )
    .await;
    let mut commute = fact("Bea", "commutes_by", "tram");
    commute.derived_from = vec![ids[0].clone()];
    write(&memory, vec![FactInput { valid_from: on(2), ..commute }]).await;
    let describe = DescribeEntityRequest {
        name: "Bea".to_owned(),
        r#type: "person".to_owned(),
        add_aliases: vec!["B.".to_owned(), "Trixie".to_owned()],
        ..DescribeEntityRequest::default()
    };
    memory.clone().describe_entity(describe).await.unwrap();
    let before = Some(timestamp(Utc::now()));
    let (two, other) =
        (entity(&memory, "Bea", None).await, entity(&memory, "Bea Santos", None).await);

    let merged = merge(&memory, "Bea Santos", "Bea").await;
    let followed = merged.consequences.unwrap();
    assert!(merged.changed && followed.revised == [ids[0].clone()], "{followed:?}");
    assert_eq!(followed.now_stale.len(), 1, "the commute rested on Berlin");
    for name in ["Bea", "bea santos", "b."] {
        let one = entity(&memory, name, None).await;
        assert_eq!((one.name.as_str(), one.r#type.as_str()), ("Bea Santos", "person"), "{name}");
        assert_eq!(one.aliases, ["Bea", "B.", "Trixie"]);
        assert_eq!(told(&one), ["Berlin 01…05", "Porto 05…", "tram 02…"]);
        assert!(one.facts.iter().all(|fact| fact.subject == "Bea Santos"), "{:?}", one.facts);
        assert_eq!(one.id, other.id);
    }
    let timeline = TimelineRequest { entity: "Bea".to_owned(), ..TimelineRequest::default() };
    assert_eq!(memory.clone().timeline(timeline).await.unwrap().into_inner().entries.len(), 3);
    let around =
        NeighborsRequest { entity: "Bea".to_owned(), hops: 2, ..NeighborsRequest::default() };
    let around = memory.clone().neighbors(around).await.unwrap().into_inner();
    let names: Vec<&str> = around.neighbors.iter().map(|near| near.name.as_str()).collect();
    assert_eq!(names, ["Bea Santos", "Porto", "Cid"]);
    let path = PathRequest { from: "B.".into(), to: "Cid".into(), ..PathRequest::default() };
    let path = memory.clone().path(path).await.unwrap().into_inner();
    assert_eq!(path.facts.len(), 2, "Bea lived nowhere else by herself");
    for query in ["Where is Bea?", "Where is Trixie?"] {
        let found = about(&memory, query, None).await;
        assert_eq!(found, ["Bea Santos lives in Porto", "Bea commutes by tram"], "{query}");
    }
    assert!(!merge(&memory, "B.", "Bea Santos").await.changed, "again changes nothing");

    // What was known before is what it was.
    let then = entity(&memory, "Bea", before).await;
    assert_eq!((told(&then), &then.aliases, &then.id), (told(&two), &two.aliases, &two.id));
    assert_eq!(told(&entity(&memory, "Bea Santos", before).await), told(&other));
    let found = about(&memory, "Where is Bea?", before).await;
    assert_eq!(found, ["Bea commutes by tram", "Bea lives in Berlin"]);

    // Written since, about the one by its name; about the other by its.
    write(&memory, vec![lives("Bea", "Rome", 8)]).await;
    write(&memory, vec![FactInput { valid_from: on(9), ..fact("Bea Santos", "likes", "tea") }])
        .await;
    let one = entity(&memory, "Bea", None).await;
    assert_eq!(told(&one), ["Berlin 01…05", "Porto 05…08", "Rome 08…", "tea 09…", "tram 02…"]);

    let undone = unmerge(&memory, "Bea").await;
    assert!(undone.changed && !unmerge(&memory, "Bea").await.changed);
    let bea = entity(&memory, "Bea", None).await;
    assert_eq!(told(&bea), ["Berlin 01…08", "Rome 08…", "tram 02…"]);
    assert_eq!((&bea.id, &bea.aliases), (&two.id, &two.aliases));
    let santos = entity(&memory, "Bea Santos", None).await;
    assert_eq!(told(&santos), ["Porto 05…", "tea 09…"]);
    assert!(santos.aliases.is_empty() && santos.r#type.is_empty());

    let actions = ListActionsRequest::default();
    let actions = memory.clone().list_actions(actions).await.unwrap().into_inner().actions;
    let done: Vec<&str> = actions.iter().map(|action| action.action.as_str()).collect();
    assert_eq!(done, ["memory.unmerged", "memory.merged"]);
    let verified = memory.clone().verify_actions(VerifyActionsRequest::default()).await.unwrap();
    assert!(verified.into_inner().intact);
}

#[tokio::test]
async fn merges_of_merges_and_of_objects_settle_and_come_apart() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    // The same employer under two names: nobody left.
    let works = |firm: &str, day: u32| FactInput {
        predicate: "works_at".to_owned(),
        ..lives("Dan", firm, day)
    };
    write(&memory, vec![works("Acme", 1), works("Acme Inc", 5), works("Hooli", 9)]).await;
    let dan = async || told(&entity(&memory, "Dan", None).await);
    assert_eq!(dan().await, ["Acme 01…05", "Acme Inc 05…09", "Hooli 09…"]);
    merge(&memory, "Acme", "Acme Inc").await;
    assert_eq!(dan().await, ["Acme 01…09", "Acme Inc 05…09", "Hooli 09…"]);
    unmerge(&memory, "Acme Inc").await;
    assert_eq!(dan().await, ["Acme 01…05", "Acme Inc 05…09", "Hooli 09…"]);

    // C is merged into B, B into A; B goes and takes C along.
    write(&memory, vec![lives("A", "x", 1), lives("B", "y", 2), lives("C", "z", 3)]).await;
    merge(&memory, "B", "C").await;
    merge(&memory, "A", "B").await;
    let all = entity(&memory, "C", None).await;
    assert_eq!(
        (all.name.as_str(), told(&all)),
        ("A", vec!["x 01…02".into(), "y 02…03".into(), "z 03…".into()])
    );
    assert!(!merge(&memory, "C", "A").await.changed, "no circle");
    unmerge(&memory, "B").await;
    assert_eq!(told(&entity(&memory, "A", None).await), ["x 01…"]);
    assert_eq!(told(&entity(&memory, "C", None).await), ["y 02…03", "z 03…"]);
    merge(&memory, "C", "A").await;
    assert_eq!(entity(&memory, "A", None).await.name, "B");

    // Whoever is forgotten is forgotten under all names.
    let target = Some(Target::Entity("A".to_owned()));
    let forget = ForgetRequest { target, ..ForgetRequest::default() };
    let gone = memory.clone().forget(forget).await.unwrap().into_inner();
    assert_eq!((gone.facts, gone.entities), (3, 6), "three names and three places");
    for name in ["A", "B", "C"] {
        let request = GetEntityRequest { name: name.to_owned(), ..GetEntityRequest::default() };
        assert_eq!(memory.clone().get_entity(request).await.unwrap_err().code(), Code::NotFound);
    }
    for (into, from) in [("Dan", "Nobody"), ("Nobody", "Dan")] {
        let (into, from) = (into.to_owned(), from.to_owned());
        let request = MergeEntitiesRequest { into, from, ..MergeEntitiesRequest::default() };
        let error = memory.clone().merge_entities(request.clone()).await.unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
        let other = MergeEntitiesRequest { namespace: "other".to_owned(), ..request };
        assert_eq!(memory.clone().merge_entities(other).await.unwrap_err().code(), Code::NotFound);
    }
}

async fn suggestions(memory: &Memory) -> Vec<MergeSuggestion> {
    let request = ListMergeSuggestionsRequest::default();
    memory.clone().list_merge_suggestions(request).await.unwrap().into_inner().suggestions
}

#[tokio::test]
async fn extracted_names_find_their_entity_and_doubtful_ones_are_suggested() {
    let suite =
        Suite::builder().service(Service::Memory).service(Service::InferenceGateway).start().await;
    let memory = memory(&suite.connector());
    let mut known = fact("Jean-Luc Moreau", "likes", "tea");
    known.subject_type = "person".to_owned();
    write(&memory, vec![known, fact("Bea Santos", "likes", "tea")]).await;
    for text in
        ["Jean Luc Moreau lives in Lyon.", "Bea lives in Porto.", "Bea Santtos lives in Faro."]
    {
        let episode = Episode { text: text.to_owned(), ..Episode::default() };
        let request = RememberRequest { episode: Some(episode), ..RememberRequest::default() };
        remember(&memory, request).await;
    }
    extracted(&memory).await;
    let moreau = entity(&memory, "Jean-Luc Moreau", None).await;
    assert_eq!(moreau.facts.len(), 2, "the same but for a sign: {moreau:?}");
    assert_eq!(entity(&memory, "Bea", None).await.facts.len(), 1, "a first name is not certain");

    let begun = Instant::now();
    let pair = |one: &MergeSuggestion| {
        let mut names = [one.one.clone().unwrap().name, one.other.clone().unwrap().name];
        names.sort();
        names.join(" = ")
    };
    let suggested = loop {
        let suggested = suggestions(&memory).await;
        if suggested.iter().map(pair).any(|names| names == "Bea = Bea Santos") {
            break suggested;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{suggested:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let of_bea = suggested.iter().find(|one| pair(one) == "Bea = Bea Santos").unwrap();
    assert!(of_bea.part_of_name && !of_bea.reasons.is_empty(), "{of_bea:?}");
    assert!(of_bea.trigram > 0.2, "{of_bea:?}");
    merge(&memory, "Bea Santos", "Bea").await;
    assert!(suggestions(&memory).await.iter().all(|one| pair(one) != "Bea = Bea Santos"));
    unmerge(&memory, "Bea").await;
    assert!(suggestions(&memory).await.iter().all(|one| pair(one) != "Bea = Bea Santos"), "once");
}
