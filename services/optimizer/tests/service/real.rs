//! With the real inference-gateway and its small models: what is asked of them they can answer.

use alina_proto::{
    Service,
    optimizer::v1::{
        AddCaseRequest, Expectation, FunctionScore, ListVersionsRequest, OptimizeRequest,
        ScoreTextRequest,
    },
};
use alina_testkit::Suite;
use serde_json::json;

use crate::{
    fakes::{FakeMemory, FakeOrchestrator},
    world::GOOD,
};

#[tokio::test]
async fn real_models_judge_compare_and_write_instructions() {
    let (orchestrator, orchestrator_url) = FakeOrchestrator::start().await;
    orchestrator.state().model = Some("default".into());
    let (_memory, memory_url) = FakeMemory::start().await;
    let suite = Suite::builder()
        .service(Service::Optimizer)
        .service(Service::InferenceGateway)
        .at(Service::Orchestrator, orchestrator_url)
        .at(Service::Memory, memory_url)
        .set("optimizer.interval_minutes", json!(0))
        .set("optimizer.judge", json!(false))
        .set("optimizer.min_cases", json!(2))
        .set("optimizer.max_answer_tokens", json!(16))
        .start()
        .await;
    let mut client = suite.connector().optimizer();

    let similar = |output: &str, use_judge| ScoreTextRequest {
        input: "How does one get to Graça?".into(),
        output: output.into(),
        expectation: Some(Expectation {
            reference: "The tram number 28 goes up to Graça.".into(),
            ..Default::default()
        }),
        use_judge,
    };
    let near = client.score_text(similar(GOOD, true)).await.unwrap().into_inner();
    let far = client.score_text(similar("Boil the eggs for nine minutes.", false)).await.unwrap();
    let of = |scores: &[FunctionScore], name: &str| {
        scores.iter().find(|one| one.function == name).unwrap().clone()
    };
    let near_score = of(&near.functions, "similarity").score;
    let far_score = of(&far.into_inner().functions, "similarity").score;
    assert!(near_score > far_score + 0.3, "{near_score} {far_score}");
    let judged = of(&near.functions, "judge");
    assert!((0.0..=1.0).contains(&judged.score) && !judged.reason.is_empty(), "{judged:?}");

    // What no such answer has, so that there is room for better instructions.
    for number in 2..4 {
        let expectation = Expectation { required: vec!["quince".into()], ..Default::default() };
        let request = AddCaseRequest {
            agent: "writer".into(),
            input: format!("Name {number} cities."),
            expectation: Some(expectation),
            ..Default::default()
        };
        client.add_case(request).await.unwrap();
    }
    let request = OptimizeRequest { agent: "writer".into() };
    let experiment = client.optimize(request).await.unwrap().into_inner().experiments.remove(0);
    assert_eq!((experiment.new_version.as_str(), experiment.cases), ("v1", 2), "{experiment:?}");
    let request = ListVersionsRequest { agent: "writer".into() };
    let versions = client.list_versions(request).await.unwrap().into_inner().versions;
    assert!(!versions[0].instructions.is_empty() && versions[0].reason.contains("promoted: "));
}
