//! New instructions come into force on evidence only, and can be taken back.

use std::time::Duration;

use tonic::Code;

use crate::{
    fakes::Mood,
    world::{GOOD, LOOP, World, names, until},
};

#[tokio::test]
async fn a_weak_agent_gets_instructions_that_prove_better() {
    let world = World::with_weak_writer().await;
    // Strong enough: it is left alone.
    for number in 0..6 {
        world.orchestrator.put_out("planner", &format!("Plan {number}?"), GOOD);
    }
    let round = world.optimize("").await.unwrap();
    assert_eq!(round.outputs_scored, 12);
    assert_eq!(round.experiments.len(), 1);
    let experiment = &round.experiments[0];
    assert!(experiment.promoted, "{}", experiment.reason);
    assert_eq!(experiment.agent, "writer");
    assert_eq!(
        (experiment.old_version.as_str(), experiment.new_version.as_str()),
        ("config", "v1")
    );
    assert_eq!(experiment.cases, 6);
    assert!(experiment.new_score > experiment.old_score + 0.5, "{experiment:?}");
    assert!(experiment.reason.contains("6 of them better"), "{}", experiment.reason);

    // The orchestrator was told, once.
    {
        let state = world.orchestrator.state();
        assert_eq!(state.told.len(), 1);
        let told = &state.told[0];
        let told = (told.agent.as_str(), told.version.as_str(), told.instructions.as_str());
        assert_eq!(told, ("writer", "v1", "Be exact."));
    }
    let versions = world.versions("writer").await;
    assert_eq!(names(&versions), [("v1", true), ("config", false)]);
    assert_eq!(versions[0].instructions, "Be exact.");
    assert!((versions[0].score - experiment.new_score).abs() < 1e-9);
    assert!(versions[0].reason.starts_with("promoted: "), "{}", versions[0].reason);
    assert_eq!(versions[1].instructions, "You are a writer.");
    assert_eq!(world.agent("writer").await.instructions_version, "v1");

    // The writer of the instructions saw the old ones and the worst answers with reasons.
    let written = world.inference.chats("instructions");
    assert_eq!(written.len(), 1);
    let asked = &written[0].messages[1].content;
    assert!(asked.contains("You are a writer.") && asked.contains(LOOP), "{asked}");
    assert!(asked.contains("repetition: ") && asked.contains("judge: worth 2"), "{asked}");
    // The agent's own model answered, by each of the instructions on each case.
    let answers = world.inference.chats("");
    assert_eq!(answers.len(), 12);
    assert!(answers.iter().all(|chat| chat.model == "model-of-writer"));
    assert_eq!(answers[0].messages[0].content, "You are a writer.");
    assert_eq!(answers[11].messages[0].content, "Be exact.");

    // The memory's log has it.
    until("the log", async || !world.memory.state().actions.is_empty()).await;
    {
        let state = world.memory.state();
        let (key, action) = state.actions.first_key_value().unwrap();
        assert!(key.starts_with("optimizer/switch/"), "{key}");
        assert_eq!(action.actor, "service:optimizer");
        assert_eq!(action.action, "instructions.promoted");
        assert!(action.summary.starts_with("writer: promoted instructions v1 ("), "{action:?}");
    }

    // What the old instructions led to is not held against the new ones.
    assert_eq!(world.optimize("").await.unwrap().experiments.len(), 0);
}

#[tokio::test]
async fn instructions_that_are_no_better_are_kept_but_never_used() {
    let world = World::with_weak_writer().await;
    world.inference.state().new_instructions = "Be vague.".into();
    let same = world.optimize("writer").await.unwrap().experiments.remove(0);
    assert!(!same.promoted && same.reason.contains("less than 0.020"), "{}", same.reason);

    // Good now, and made worse.
    world.inference.state().answer =
        |system| if system.contains("vague") { LOOP.into() } else { GOOD.into() };
    world.inference.state().new_instructions = "Be more vague.".into();
    let worse = world.optimize("writer").await.unwrap().experiments.remove(0);
    assert!(!worse.promoted && worse.new_score < worse.old_score, "{worse:?}");

    // Better on one case of six only.
    world.inference.state().answer =
        |system| if system.contains("once") { GOOD.into() } else { "No idea.".into() };
    world.inference.state().judge = |question| {
        if question.contains("place 3?") && question.contains("tram") { 10 } else { 5 }
    };
    world.inference.state().new_instructions = "Be good once.".into();
    let chance = world.optimize("writer").await.unwrap().experiments.remove(0);
    assert!(!chance.promoted, "{chance:?}");
    let expected = "it may be chance: +0.056 on 6 cases, 1 of them better, lower bound +0.000";
    assert!(chance.reason.starts_with(expected), "{}", chance.reason);

    assert_eq!(world.orchestrator.state().arrived, 0);
    let versions = world.versions("writer").await;
    let expected = [("v3", false), ("v2", false), ("v1", false), ("config", true)];
    assert_eq!(names(&versions), expected);
    assert!(versions[1].reason.starts_with("not promoted: "), "{}", versions[1].reason);
    assert_eq!(versions[2].instructions, "Be vague.");
}

#[tokio::test]
async fn an_agent_with_too_few_cases_is_left_as_it_is() {
    let world = World::new().await;
    world.orchestrator.put_out("writer", "Way?", LOOP);
    let few = world.optimize("writer").await.unwrap();
    assert_eq!(few.outputs_scored, 1);
    let few = &few.experiments[0];
    assert!(!few.promoted && few.reason.starts_with("1 cases are too few"), "{}", few.reason);
    assert_eq!(world.inference.chats("").len(), 0);

    // Cases make it possible, also without any output.
    for number in 0..3 {
        world.add_case("planner", &format!("Plan {number}?"), "tram", "").await.unwrap();
    }
    world.inference.state().answer =
        |system| if system.contains("Other") { GOOD.into() } else { "No idea.".into() };
    let experiment = world.optimize("planner").await.unwrap().experiments.remove(0);
    assert!(experiment.promoted, "{}", experiment.reason);
    assert_eq!(experiment.cases, 3);
    let asked = &world.inference.chats("instructions")[0].messages[1].content;
    assert!(asked.contains("No idea.") && asked.contains("missing: “tram”"), "{asked}");
}

#[tokio::test]
async fn a_version_can_be_rolled_back() {
    let world = World::with_weak_writer().await;
    assert!(world.optimize("writer").await.unwrap().experiments[0].promoted);
    let back = world.roll_back("writer", "").await.unwrap();
    assert_eq!((back.version.as_str(), back.in_force), ("config", true));
    assert_eq!(back.instructions, "You are a writer.");
    assert_eq!(names(&world.versions("writer").await), [("v1", false), ("config", true)]);
    {
        // Returning to config.yaml, the file is followed again.
        let state = world.orchestrator.state();
        let told = state.told.last().unwrap();
        assert_eq!((told.instructions.as_str(), told.version.as_str()), ("", "config"));
        assert!(state.set.is_empty());
    }
    let again = world.roll_back("writer", "v1").await.unwrap();
    assert!(again.in_force && again.instructions == "Be exact.");
    assert_eq!(world.orchestrator.state().set["writer"].0, "v1");
    until("the log", async || world.memory.state().actions.len() == 3).await;
    let actions: Vec<_> =
        world.memory.state().actions.values().map(|action| action.action.clone()).collect();
    assert_eq!(actions.iter().filter(|action| *action == "instructions.rolled_back").count(), 2);

    for (agent, version, reason) in [
        ("writer", "v7", "VERSION_NOT_FOUND"),
        ("planner", "", "VERSION_NOT_FOUND"),
        ("nobody", "", "UNKNOWN_AGENT"),
    ] {
        let refusal = world.roll_back(agent, version).await.unwrap_err();
        assert_eq!(refusal.code(), Code::NotFound);
        assert_eq!(alina_client::reason(&refusal).as_deref(), Some(reason), "{refusal}");
    }
    let unknown = world.optimize("nobody").await.unwrap_err();
    assert_eq!(alina_client::reason(&unknown).as_deref(), Some("UNKNOWN_AGENT"));
}

#[tokio::test]
async fn one_optimisation_of_an_agent_at_a_time() {
    let world = World::with_weak_writer().await;
    world.optimize("planner").await.unwrap();
    world.inference.state().pause = Duration::from_millis(300);
    let first = world.optimize("writer");
    let others = async {
        until("the first experiment", async || !world.inference.chats("").is_empty()).await;
        let second = world.optimize("writer").await.unwrap_err();
        let back = world.roll_back("writer", "config").await.unwrap_err();
        for refusal in [second, back] {
            assert_eq!(refusal.code(), Code::FailedPrecondition);
            let reason = alina_client::reason(&refusal);
            assert_eq!(reason.as_deref(), Some("OPTIMIZATION_RUNNING"), "{refusal}");
        }
        // Other agents, and all of them, may be optimised meanwhile.
        assert_eq!(world.optimize("planner").await.unwrap().experiments.len(), 1);
        assert_eq!(world.optimize("").await.unwrap().experiments.len(), 0);
    };
    let (first, ()) = tokio::join!(first, others);
    assert!(first.unwrap().experiments[0].promoted);
    world.inference.state().pause = Duration::ZERO;
    assert!(world.optimize("writer").await.is_ok());
}

#[tokio::test]
async fn an_experiment_that_breaks_off_changes_nothing() {
    let world = World::with_weak_writer().await;
    assert_eq!(world.optimize("planner").await.unwrap().outputs_scored, 6);
    world.inference.state().mood = Mood::Away;
    let broken = world.optimize("writer").await.unwrap().experiments.remove(0);
    assert!(!broken.promoted);
    assert!(broken.reason.starts_with("not carried through: inference-gateway: "), "{broken:?}");
    assert_eq!(names(&world.versions("writer").await), [("config", true)]);
    assert_eq!(world.orchestrator.state().arrived, 0);
}
