//! What a question finds, and why.

use std::time::Duration;

use alina_proto::{
    Service,
    memory::v1::{Episode, FactInput, ItemKind, RememberRequest, SearchRequest, SearchResult},
};
use alina_testkit::Suite;
use prost_types::Timestamp;

use crate::{Memory, fact, memory, remember, search};

/// Says `text` in a session, so many days after 1 May 2023.
async fn say(memory: &Memory, actor: &str, session: &str, day: i64, text: &str) {
    let episode = Episode {
        text: text.to_owned(),
        actor: actor.to_owned(),
        session: session.to_owned(),
        occurred_at: Some(Timestamp { seconds: 1_682_899_200 + day * 86_400, nanos: 0 }),
        ..Episode::default()
    };
    let request = RememberRequest { episode: Some(episode), ..RememberRequest::default() };
    remember(memory, request).await;
}

fn reasons<'r>(results: &'r [SearchResult], part: &str) -> &'r [String] {
    let found = results.iter().find(|result| result.text.contains(part));
    &found.unwrap_or_else(|| panic!("`{part}` is not in {results:#?}")).reasons
}

fn has(reasons: &[String], reason: &str) -> bool {
    reasons.iter().any(|one| one == reason)
}

#[tokio::test]
async fn an_answer_is_found_beside_its_question() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    for (actor, session, text) in [
        ("Ana", "1", "Where do we keep the spare key?"),
        ("Bea", "1", "Below the blue flowerpot."),
        ("Ana", "2", "The film was long."),
        ("Bea", "2", "I fell asleep."),
    ] {
        say(&memory, actor, session, 0, text).await;
    }
    let found = search(&memory, "where is the spare key kept").await;
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(has(reasons(&found, "spare key"), "text rank 1"));
    assert_eq!(reasons(&found, "flowerpot"), ["beside a hit in the same session"]);
}

#[tokio::test]
async fn a_question_of_a_time_finds_what_was_said_then() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    say(&memory, "Ana", "1", -400, "We planted tomatoes in the garden").await;
    say(&memory, "Ana", "2", 10, "We planted beans in the garden").await;
    say(&memory, "Ana", "3", 200, "We planted garlic in the garden").await;
    say(&memory, "Ana", "4", 12, "It rained all day").await;
    for question in
        ["What was planted in the garden in May 2023?", "What was planted on 11 May, 2023?"]
    {
        let found = search(&memory, question).await;
        assert!(found[0].text.contains("beans"), "{question}: {found:#?}");
        assert!(has(&found[0].reasons, "of the time asked for"), "{found:#?}");
        // No word of the question is in it.
        assert!(has(reasons(&found, "rained"), "time rank 1"), "{found:#?}");
    }
    let last_may = SearchRequest {
        query: "What was planted in the garden last May?".to_owned(),
        as_of: Some(Timestamp { seconds: 1_704_067_200, nanos: 0 }),
        ..SearchRequest::default()
    };
    let found = memory.clone().search(last_may).await.unwrap().into_inner().results;
    assert!(found[0].text.contains("beans"), "{found:#?}");
}

#[tokio::test]
async fn before_and_after_an_event_are_times_too() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    say(&memory, "Ana", "1", 0, "The bakery below us sells rye bread").await;
    say(&memory, "Ana", "2", 50, "We made the move to Porto today").await;
    say(&memory, "Ana", "3", 100, "The bakery below us sells corn bread").await;
    for (side, first) in [("before", "rye"), ("after", "corn")] {
        let question = format!("What bread did the bakery sell {side} the move to Porto?");
        let found = search(&memory, &question).await;
        let bread = found.iter().find(|found| found.text.contains("bakery")).unwrap();
        assert!(bread.text.contains(first), "{question}: {found:#?}");
    }
}

#[tokio::test]
async fn when_is_answered_by_who_tells_when() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    say(&memory, "Ana", "1", 0, "The choir sang in the church, you should have been there").await;
    say(&memory, "Ana", "2", 0, "The choir sang in the church last Sunday, it was full").await;
    let found = search(&memory, "When did the choir sing in the church?").await;
    assert!(found[0].text.contains("Sunday"), "{found:#?}");
    assert!(has(&found[0].reasons, "tells when"), "{found:#?}");
}

#[tokio::test]
async fn who_is_named_is_heard_first_even_if_misspelt() {
    // What she likes would become a fact, and be found by her name, too.
    let suite = Suite::builder()
        .service(Service::Memory)
        .set("memory.extraction.rules", serde_json::json!(false))
        .start()
        .await;
    let memory = memory(&suite.connector());
    say(&memory, "Caroline", "1", 0, "I like glazing bowls in the pottery class").await;
    say(&memory, "agent:planner", "2", 0, "The pottery class begins at nine in the hall").await;
    for question in ["What does Caroline like in pottery?", "What does Carolin like in pottery?"] {
        let found = search(&memory, question).await;
        assert!(found[0].text.contains("glazing"), "{found:#?}");
        assert!(has(&found[0].reasons, "said by Caroline"), "{question}: {found:#?}");
    }
    let found = search(&memory, "what does the planner know of pottery").await;
    assert!(has(&found[0].reasons, "said by agent:planner"), "{found:#?}");
    // A name alone asks for what its bearer said.
    let found = search(&memory, "Caroline").await;
    assert_eq!((found.len(), found[0].actor.as_str()), (1, "Caroline"), "{found:#?}");
}

#[tokio::test]
async fn misspelt_words_find_what_they_resemble() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    say(&memory, "Ana", "1", 0, "The accommodation in Lisbon is paid").await;
    for _ in 0..100 {
        // Once its words are counted, in the background.
        let found = search(&memory, "acommodation").await;
        if let Some(found) = found.first() {
            assert_eq!(found.reasons, ["text rank 1"]);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the word is not found");
}

#[tokio::test]
async fn what_is_said_again_is_given_once() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    for (session, text) in [("1", "Pay the rent!"), ("2", "pay the rent"), ("3", "Pay  the RENT.")]
    {
        say(&memory, "Ana", session, 0, text).await;
    }
    say(&memory, "Ana", "4", 0, "The rent is due").await;
    let found = search(&memory, "rent").await;
    assert_eq!(found.len(), 2, "{found:#?}");
    let again = found.iter().find(|found| found.text.to_lowercase().contains("pay")).unwrap();
    assert!(has(&again.reasons, "said 3 times"), "{again:#?}");
}

#[tokio::test]
async fn the_graph_brings_what_is_linked_to_a_name() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let links = |subject: &str, predicate: &str, object: &str| FactInput {
        object_is_entity: true,
        ..fact(subject, predicate, object)
    };
    let request = RememberRequest {
        facts: vec![
            links("Ana", "works_for", "Acme"),
            links("Acme", "resides_in", "Porto"),
            fact("Porto", "has_river", "Douro"),
        ],
        ..RememberRequest::default()
    };
    remember(&memory, request).await;
    for question in ["In which city is Ana employed?", "In which city is Anna Ana's office?"] {
        let found = search(&memory, question).await;
        assert!(has(reasons(&found, "works for Acme"), "about Ana"), "{found:#?}");
        assert!(has(reasons(&found, "resides in Porto"), "linked to Ana"), "{found:#?}");
        assert!(found.iter().all(|found| !found.text.contains("Douro")), "three hops: {found:#?}");
    }
    let found = search(&memory, "In which city is Acmee?").await;
    assert!(has(reasons(&found, "resides in Porto"), "about Acme"), "{found:#?}");
}

#[tokio::test]
async fn signals_are_told_when_asked_for() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    say(&memory, "Ana", "1", 0, "The boat has two sails").await;
    assert!(search(&memory, "boat").await[0].signals.is_empty());
    let request =
        SearchRequest { query: "boat".to_owned(), explain: true, ..SearchRequest::default() };
    let found = memory.clone().search(request).await.unwrap().into_inner().results;
    assert!((found[0].signals["words"] - 1.0).abs() < 1e-9, "{found:#?}");
}

#[tokio::test]
async fn as_many_are_given_as_are_asked_for() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let facts = (0..120).map(|n| fact("Depot", "stocks", &format!("gadget {n}"))).collect();
    remember(&memory, RememberRequest { facts, ..RememberRequest::default() }).await;
    let request = SearchRequest {
        query: "gadget".to_owned(),
        limit: 100,
        kinds: vec![ItemKind::Fact.into()],
        ..SearchRequest::default()
    };
    let found = memory.clone().search(request).await.unwrap().into_inner().results;
    assert_eq!(found.len(), 100);
}
