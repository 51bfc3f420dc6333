//! A namespace in which everything has happened that can.

use alina_proto::memory::v1::{
    BankDocument, DescribeEntityRequest, Episode, ExportBankRequest, FactInput, ForgetRequest,
    ImportBankRequest, LogActionRequest, RememberRequest, RestoreRequest, RetractRequest,
    ReviseRequest, forget_request::Target,
};
use prost_types::Timestamp;

use super::NAMESPACE;
use crate::{Memory, fact, remember};

/// A day after the first of January 2025.
pub(super) fn day(day: i64) -> Timestamp {
    Timestamp { seconds: 1_735_689_600 + day * 86_400, nanos: 0 }
}

pub(super) fn said(key: &str, on: i64, actor: &str, text: &str) -> RememberRequest {
    RememberRequest {
        namespace: NAMESPACE.to_owned(),
        idempotency_key: key.to_owned(),
        episode: Some(Episode {
            text: text.to_owned(),
            actor: actor.to_owned(),
            session: format!("session-{}", on / 10),
            source: "chat".to_owned(),
            occurred_at: Some(day(on)),
        }),
        facts: Vec::new(),
    }
}

fn functional(subject: &str, predicate: &str, object: &str) -> FactInput {
    FactInput { functional: true, object_is_entity: true, ..fact(subject, predicate, object) }
}

pub(super) fn entry(key: &str, action: &str, run: &str, summary: &str) -> LogActionRequest {
    LogActionRequest {
        namespace: NAMESPACE.to_owned(),
        idempotency_key: key.to_owned(),
        actor: "service:orchestrator".to_owned(),
        action: action.to_owned(),
        summary: summary.to_owned(),
        details_json: r#"{"tasks":2}"#.to_owned(),
        run_id: run.to_owned(),
    }
}

async fn bank(memory: &Memory, active: &str) {
    let documents = [
        ("projectbrief.md", "# Brief\n\nWe restore a harbour café in Porto.\n"),
        ("activeContext.md", active),
        ("progress.md", "# Progress\n\nThe roof is done.\n"),
        ("techContext.md", "# Tech\n\nThe oven needs 380 V.\n"),
        ("notes.md", "# Notes\n\nThe neighbour is called Rui.\n"),
    ];
    let documents = documents
        .map(|(path, content)| BankDocument { path: path.to_owned(), content: content.to_owned() });
    let request =
        ImportBankRequest { namespace: NAMESPACE.to_owned(), documents: documents.to_vec() };
    memory.clone().import_bank(request).await.expect("it is taken in");
}

/// Writes, corrects, takes back, deletes.
pub(super) async fn lived(memory: &Memory) {
    let mut m = memory.clone();
    bank(memory, "# Now\n\nWe look for a carpenter.\n").await;
    bank(memory, "# Now\n\nWe choose between two carpenters.\n\n# Next\n\nOrder the windows.\n")
        .await;

    let mut moved = said("berlin", 1, "Ana Silva", "I live in Berlin and train in Kreuzberg");
    moved.facts = vec![
        functional("Ana Silva", "lives_in", "Berlin"),
        FactInput {
            derived_from_facts: vec![0],
            ..fact("Ana Silva", "trains_at", "Kreuzberg gym")
        },
    ];
    remember(memory, moved).await;
    let mut moved = said("porto", 200, "Ana Silva", "I moved to Porto, near the harbour");
    moved.facts = vec![functional("Ana Silva", "lives_in", "Porto")];
    let porto = remember(memory, moved).await;
    let mut likes = said("tea", 210, "user", "Rui likes tea, and I like coffee");
    likes.facts = vec![fact("Rui", "likes", "tea"), functional("Rui", "works_as", "carpenter")];
    let likes = remember(memory, likes).await;
    let id = likes.fact_ids[0].clone();
    let namespace = || NAMESPACE.to_owned();
    let request =
        RetractRequest { namespace: namespace(), id: id.clone(), reason: "a joke".into() };
    m.retract(request.clone()).await.expect("it is retracted");
    m.restore(RestoreRequest { namespace: namespace(), id }).await.expect("it is restored");
    let second = RetractRequest { id: likes.fact_ids[1].clone(), ..request };
    m.retract(second).await.expect("it is retracted");
    let revise = ReviseRequest {
        namespace: namespace(),
        id: porto.fact_ids[0].clone(),
        valid_from: Some(day(190)),
        valid_to: None,
    };
    m.revise(revise).await.expect("it is revised");
    let describe = DescribeEntityRequest {
        namespace: namespace(),
        name: "Ana Silva".to_owned(),
        r#type: "person".to_owned(),
        add_aliases: vec!["Anita".to_owned(), "A. \"Silva\" <ana>\u{301}".to_owned()],
    };
    m.describe_entity(describe).await.expect("it is described");

    remember(memory, said("", 220, "user", "We decided to keep the old harbour crane")).await;
    let mut planned = said("plan", 221, "agent:supervisor", "Goal: open the café\nAnswer: in May");
    planned.facts = vec![fact("open the café", "planned", "buy chairs")];
    remember(memory, planned).await;
    for number in 0..40 {
        let text = format!("Delivery {number}: {} boxes, \\ \"quoted\" \t tab\nline", number * 3);
        remember(memory, said("", 230 + number, "agent:buyer", &text)).await;
    }

    for (key, action, run, summary) in [
        ("1", "run.started", "run-1", "works on: find a carpenter"),
        ("2", "run.started", "run-2", "works on: paint the door"),
        ("3", "run.finished", "run-2", "answered: paint the door"),
        ("4", "run.started", "run-3", "works on: a secret of Eve"),
        ("5", "run.failed", "run-3", "no paint"),
        ("6", "window.chosen", "", "oak, not plastic"),
        ("7", "run.resumed", "run-3", "works on: a secret of Eve"),
        ("8", "run.cancelled", "run-3", "by the user"),
        ("9", "order.placed", "run-1", "two windows"),
    ] {
        m.log_action(entry(key, action, run, summary)).await.expect("it is logged");
    }
    m.export_bank(ExportBankRequest { namespace: namespace() }).await.expect("an export");
    remember(memory, said("eve", 215, "Eve", "I was never here")).await;
    let forget = ForgetRequest {
        namespace: namespace(),
        target: Some(Target::Session("run-3".to_owned())),
        ..ForgetRequest::default()
    };
    m.forget(forget).await.expect("it is forgotten");
    let forget = ForgetRequest {
        namespace: namespace(),
        target: Some(Target::Actor("Eve".to_owned())),
        ..ForgetRequest::default()
    };
    m.forget(forget).await.expect("it is forgotten");
}
