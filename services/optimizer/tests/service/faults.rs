//! Crashes and absences.

use alina_proto::Service;
use tonic::Code;

use crate::{
    fakes::Mood,
    world::{World, names, until},
};

#[tokio::test]
async fn a_crash_between_the_decision_and_the_orchestrator_is_repaired() {
    let mut world = World::with_weak_writer().await;
    world.orchestrator.state().mood = Mood::Silent;
    world.memory.state().mood = Mood::Away;
    {
        let optimize = world.optimize("writer");
        let arrived = until("the switch", async || world.orchestrator.state().arrived > 0);
        tokio::select! {
            early = optimize => panic!("the orchestrator was silent, yet: {early:?}"),
            () = arrived => {}
        }
    }
    world.suite.kill(Service::Optimizer).await;
    assert_eq!(world.orchestrator.state().told.len(), 0);

    // Nobody asks: the journal is worked off at the start.
    world.orchestrator.state().mood = Mood::Willing;
    world.suite.restart(Service::Optimizer).await;
    until("the instructions", async || !world.orchestrator.state().told.is_empty()).await;
    until("the note", async || world.versions("writer").await[0].in_force).await;
    assert_eq!(names(&world.versions("writer").await), [("v1", true), ("config", false)]);
    assert_eq!(world.orchestrator.state().set["writer"].1, "Be exact.");

    // So is the log, when the memory is back, also after another crash.
    assert_eq!(world.memory.state().actions.len(), 0);
    world.suite.kill(Service::Optimizer).await;
    world.memory.state().mood = Mood::Willing;
    world.suite.restart(Service::Optimizer).await;
    until("the log", async || world.memory.state().actions.len() == 1).await;
    assert_eq!(world.orchestrator.state().told.len(), 1);
}

#[tokio::test]
async fn a_roll_back_that_the_orchestrator_does_not_take_is_done_later() {
    let world = World::with_weak_writer().await;
    assert!(world.optimize("writer").await.unwrap().experiments[0].promoted);
    world.orchestrator.state().mood = Mood::Away;
    let away = world.roll_back("writer", "").await.unwrap_err();
    assert_eq!(away.code(), Code::Unavailable);
    assert!(away.message().contains("takes effect later"), "{away}");
    assert_eq!(names(&world.versions("writer").await), [("v1", true), ("config", false)]);
    // The last word counts.
    let away = world.roll_back("writer", "v1").await.unwrap_err();
    assert_eq!(away.code(), Code::Unavailable);

    world.orchestrator.state().mood = Mood::Willing;
    until("the instructions", async || world.orchestrator.state().told.len() == 2).await;
    assert_eq!(world.orchestrator.state().told[1].version, "v1");
}

#[tokio::test]
async fn what_the_orchestrator_refuses_is_said_and_not_tried_again() {
    let world = World::with_weak_writer().await;
    world.orchestrator.state().mood = Mood::Unwilling;
    let refused = world.optimize("writer").await.unwrap().experiments.remove(0);
    let expected = "; refused: orchestrator: gone for the test";
    assert!(refused.reason.ends_with(expected), "{}", refused.reason);
    let versions = world.versions("writer").await;
    assert_eq!(names(&versions), [("v1", false), ("config", true)]);
    assert_eq!(versions[0].reason, "refused by the orchestrator: gone for the test");

    // The next is tried, and that one only.
    world.orchestrator.state().mood = Mood::Willing;
    let next = world.optimize("writer").await.unwrap().experiments.remove(0);
    assert_eq!(next.new_version, "v2");
    let told: Vec<_> =
        world.orchestrator.state().told.iter().map(|told| told.version.clone()).collect();
    assert_eq!(told, ["v2"]);
}

#[tokio::test]
async fn without_postgres_nothing_is_changed_and_with_it_all_goes_on() {
    let mut world = World::with(alina_testkit::SuiteBuilder::own_postgres).await;
    let case = world.add_case("writer", "Way?", "tram", "key").await.unwrap();
    world.suite.kill_postgres().await;
    let away = world.add_case("writer", "Other way?", "tram", "").await.unwrap_err();
    assert_eq!(away.code(), Code::Unavailable);
    assert_eq!(alina_client::reason(&away).as_deref(), Some("STORE_UNAVAILABLE"), "{away}");
    assert!(alina_client::retry_after(&away).is_some());
    let away = world.optimize("").await.unwrap_err();
    assert_eq!(alina_client::reason(&away).as_deref(), Some("STORE_UNAVAILABLE"), "{away}");

    world.suite.restart_postgres().await;
    until("PostgreSQL", async || {
        let again = world.add_case("writer", "Way?", "tram", "key").await;
        again.is_ok_and(|again| again == case)
    })
    .await;
}
