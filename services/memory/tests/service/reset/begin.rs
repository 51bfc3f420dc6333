//! What a session begins with.

use alina_proto::{
    Service,
    memory::v1::{BuildContextRequest, ItemKind},
};
use alina_testkit::Suite;
use tonic::Code;

use super::{begun, life, session_start};
use crate::memory;

#[tokio::test]
async fn a_blank_agent_gets_its_brief_runs_decisions_and_facts() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    assert_eq!(begun(&memory, session_start(1_000)).await.context, "", "nothing is known");
    life::lived(&memory).await;

    let whole = begun(&memory, session_start(8_000)).await;
    let text = &whole.context;
    let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let expected = [
        "Project brief",
        "Active context",
        "Open runs",
        "Last decisions",
        "Facts",
        "Progress and background",
        "What happened last",
    ];
    assert_eq!(headings, expected, "{text}");
    let section = |heading: &str| {
        let (_, rest) = text.split_once(&format!("## {heading}\n")).unwrap();
        rest.split("## ").next().unwrap().to_owned()
    };
    assert!(
        section("Project brief").contains("projectbrief.md: ")
            && section("Project brief").contains("harbour café")
    );
    let active = section("Active context");
    assert!(active.contains("two carpenters") && active.contains("Order the windows"), "{active}");
    assert!(!text.contains("look for a carpenter"), "it was replaced");
    let open = section("Open runs");
    assert!(open.contains("find a carpenter"), "{open}");
    assert_eq!(open.lines().count(), 1, "others ended: {open}");
    let decisions = section("Last decisions");
    for decision in ["oak, not plastic", "keep the old harbour crane", "planned buy chairs"] {
        assert!(decisions.contains(decision), "{decision}: {decisions}");
    }
    let facts = section("Facts");
    assert!(facts.starts_with('[') && facts.contains("Ana Silva lives in Porto"), "{facts}");
    assert!(!facts.contains("lives in Berlin\n"), "it ended: {facts}");
    assert!(!facts.contains("works as"), "it was taken back");
    let stale = "(stale, for Ana Silva lives in Berlin: ended 2025-07-10) Ana Silva trains at";
    assert!(facts.lines().last().unwrap().contains(stale), "{facts}");
    let background = section("Progress and background");
    let places = ["progress.md", "techContext.md", "notes.md"].map(|path| background.find(path));
    assert!(places.is_sorted() && places[0].is_some(), "{background}");
    let last = section("What happened last");
    assert!(last.lines().next().unwrap().contains("Delivery 39: 117 boxes"), "{last}");

    let lines = text.lines().filter(|line| !line.starts_with("## ")).count();
    assert_eq!(whole.citations.len(), lines);
    for (number, citation) in (1..).zip(&whole.citations) {
        assert_eq!(citation.label, format!("[{number}]"));
        let item = citation.item.as_ref().unwrap();
        assert!(!item.id.is_empty() && !item.reasons.is_empty() && item.recorded_at.is_some());
    }
    let of_log: Vec<_> = whole
        .citations
        .iter()
        .filter_map(|citation| citation.item.as_ref())
        .filter(|item| item.kind() == ItemKind::Action)
        .map(|item| (item.source.as_str(), item.session.as_str()))
        .collect();
    assert_eq!(of_log, [("run.started", "run-1"), ("window.chosen", "")]);

    for budget in [32, 64, 128, 400, 1_000] {
        let brief = begun(&memory, session_start(budget)).await;
        assert!(brief.tokens <= budget);
        assert!(budget < 64 || !brief.citations.is_empty(), "{budget}");
    }
    // What matters most is there at a small model's budget, too.
    let small = begun(&memory, session_start(384)).await.context;
    for part in ["harbour café", "two carpenters", "find a carpenter", "lives in Porto"] {
        assert!(small.contains(part), "{part}: {small}");
    }
}

#[tokio::test]
async fn a_brief_is_of_its_time_without_what_is_stale_or_of_ones_own_session() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    life::lived(&memory).await;

    let then = BuildContextRequest { as_of: Some(life::day(100)), ..session_start(8_000) };
    let then = begun(&memory, then).await.context;
    assert!(then.contains("Ana Silva lives in Berlin") && !then.contains("stale"), "{then}");
    let fresh = BuildContextRequest { include_stale: Some(false), ..session_start(8_000) };
    let fresh = begun(&memory, fresh).await.context;
    assert!(!fresh.contains("trains at") && fresh.contains("lives in Porto"), "{fresh}");
    let own = BuildContextRequest { exclude_session: "run-1".to_owned(), ..session_start(8_000) };
    assert!(!begun(&memory, own).await.context.contains("Open runs"));
    let before = BuildContextRequest { known_at: Some(life::day(0)), ..session_start(8_000) };
    assert_eq!(begun(&memory, before).await.context, "", "nothing was known then");

    let asked = BuildContextRequest { query: "Rui's tea".to_owned(), ..session_start(8_000) };
    let asked = begun(&memory, asked).await.context;
    let (_, found) = asked.split_once("## Found for the task\n").expect("a section of its own");
    assert!(found.lines().next().unwrap().contains("tea"), "{asked}");
    assert!(asked.contains("## Project brief\n"), "{asked}");

    // A new entry of the log is in the next answer.
    let mut m = memory.clone();
    m.log_action(life::entry("10", "run.finished", "run-1", "done")).await.unwrap();
    assert!(!begun(&memory, session_start(8_000)).await.context.contains("Open runs"));
    let known = begun(&memory, session_start(8_000)).await;
    assert_eq!(known, begun(&memory, session_start(8_000)).await);

    let elsewhere =
        BuildContextRequest { namespace: "elsewhere".to_owned(), ..session_start(8_000) };
    assert_eq!(begun(&memory, elsewhere).await.context, "");
    let unknown = BuildContextRequest { profile: 7, ..session_start(100) };
    let empty = BuildContextRequest { profile: 0, ..session_start(100) };
    for (request, field) in
        [(unknown, "profile"), (empty, "query"), (session_start(31), "token_budget")]
    {
        let error = memory.clone().build_context(request).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains(field), "{field}: {}", error.message());
    }
}
