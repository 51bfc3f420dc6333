//! Outputs are scored once each.

use alina_proto::{
    Service,
    optimizer::v1::{ListCasesRequest, ListScoresRequest},
};
use serde_json::json;
use tonic::Code;

use crate::{
    fakes::Mood,
    world::{GOOD, LOOP, World, until},
};

#[tokio::test]
async fn each_output_is_scored_once_by_what_its_case_expects() {
    let mut world = World::new().await;
    world.inference.state().judge = |_| 8;
    world.add_case("writer", "Way to Graça?", "funicular", "").await.unwrap();
    world.orchestrator.put_out("writer", "Way to Graça?", GOOD);
    world.orchestrator.put_out("planner", "Plan.", LOOP);
    for number in 0..60 {
        world.orchestrator.put_out("planner", &format!("Plan {number}."), GOOD);
    }
    let round = world.optimize("").await.unwrap();
    assert_eq!((round.outputs_scored, round.experiments.len()), (62, 0));
    assert_eq!(world.optimize("").await.unwrap().outputs_scored, 0);

    // The writer's missed what was required; the planner's have only repetition and the judge.
    let writers = world.scores("writer").await;
    assert_eq!(writers.len(), 1);
    let writers = &writers[0];
    assert_eq!(writers.output_id, "output-1");
    assert_eq!(
        (writers.run_id.as_str(), writers.instructions_version.as_str()),
        ("run-1", "config")
    );
    let functions: Vec<_> =
        writers.functions.iter().map(|one| (one.function.as_str(), one.score)).collect();
    assert_eq!(functions, [("required", 0.0), ("repetition", 1.0), ("judge", 0.8)]);
    assert!((writers.score - (0.0 + 1.0 + 1.6) / 5.0).abs() < 1e-9);

    // Pages, newest first, without gap or double.
    let mut ids = Vec::new();
    let mut token = String::new();
    loop {
        let request = ListScoresRequest { agent: String::new(), page_size: 25, page_token: token };
        let page = world.client().list_scores(request).await.unwrap().into_inner();
        ids.extend(page.scores.into_iter().map(|score| score.output_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let expected: Vec<_> = (1..=62).rev().map(|number| format!("output-{number}")).collect();
    assert_eq!(ids, expected);

    // The rolling score is of the last 20: the loop has left the window.
    let planner = world.agent("planner").await;
    assert_eq!((planner.outputs, planner.threshold), (61, 0.7));
    assert!((planner.rolling_score - (1.0 + 1.6) / 3.0).abs() < 1e-9);
    assert_eq!(planner.instructions_version, "config");

    // A killed optimizer takes up where it was.
    world.suite.kill(Service::Optimizer).await;
    world.orchestrator.put_out("writer", "More?", GOOD);
    world.suite.restart(Service::Optimizer).await;
    assert_eq!(world.optimize("").await.unwrap().outputs_scored, 1);
    assert_eq!(world.scores("").await.len(), 63);
}

#[tokio::test]
async fn outputs_wait_for_a_judge_that_is_away() {
    let world = World::new().await;
    world.orchestrator.put_out("writer", "Way to Graça?", GOOD);
    world.inference.state().mood = Mood::Away;
    assert_eq!(world.optimize("").await.unwrap().outputs_scored, 0);
    world.inference.state().mood = Mood::Willing;
    until("the judge", async || world.optimize("").await.unwrap().outputs_scored == 1).await;
    assert!(world.scores("writer").await[0].functions.iter().any(|one| one.function == "judge"));
}

#[tokio::test]
async fn the_schedule_collects_without_being_asked() {
    let world = World::with(|builder| {
        builder.set("optimizer.interval_minutes", json!(0.01)).set("optimizer.judge", json!(false))
    })
    .await;
    world.orchestrator.put_out("writer", "Way to Graça?", GOOD);
    until("a score", async || world.scores("writer").await.len() == 1).await;
    assert_eq!(world.inference.chats("score").len(), 0);

    // The score is stored before the round that counts it ends.
    let url = world.suite.metrics_url(Service::Optimizer);
    for line in [
        "alina_optimizer_outputs_scored_total{agent=\"writer\"} 1\n",
        "alina_optimizer_rolling_score{agent=\"writer\"} 1.0\n",
        "alina_optimizer_experiments_total{result=\"promoted\"} 0\n",
        "alina_optimizer_switches_pending 0\n",
    ] {
        let shown =
            async || reqwest::get(url.clone()).await.unwrap().text().await.unwrap().contains(line);
        until(line, shown).await;
    }
}

#[tokio::test]
async fn cases_are_added_once_for_each_key_and_only_to_agents() {
    let world = World::new().await;
    let first = world.add_case("writer", "Way?", "tram", "key").await.unwrap();
    assert_eq!(world.add_case("writer", "Way?", "tram", "key").await.unwrap(), first);
    world.add_case("planner", "Plan?", "day", "").await.unwrap();

    let other = world.add_case("writer", "Other way?", "tram", "key").await.unwrap_err();
    assert_eq!(other.code(), Code::InvalidArgument);
    assert!(other.message().starts_with("idempotency_key "), "{other}");
    let unknown = world.add_case("wrter", "Way?", "tram", "").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(alina_client::reason(&unknown).as_deref(), Some("UNKNOWN_AGENT"));
    assert_eq!(unknown.message(), "no agent `wrter`; there are planner, writer");

    let list = async |agent: &str| {
        let request = ListCasesRequest { agent: agent.into() };
        world.client().list_cases(request).await.unwrap().into_inner().cases
    };
    assert_eq!(list("writer").await, [first]);
    assert_eq!(list("").await.len(), 2);
}
