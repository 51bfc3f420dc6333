//! What `ScoreText` says.

use alina_proto::optimizer::v1::{Expectation, ScoreTextRequest, ScoreTextResponse};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{fakes::Mood, world::World};

async fn score(world: &World, request: ScoreTextRequest) -> Result<ScoreTextResponse, Status> {
    world.client().score_text(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn every_function_that_applies_says_its_score_and_why() {
    let world = World::new().await;
    world.inference.state().judge = |question| {
        assert!(question.contains("Which city?") && question.contains("lisbon"), "{question}");
        8
    };
    let request = ScoreTextRequest {
        input: "Which city?".into(),
        output: r#"{"city": "lisbon"}"#.into(),
        expectation: Some(Expectation {
            json_schema: r#"{"type":"object","required":["city"]}"#.into(),
            required: vec!["LISBON".into(), "Porto".into()],
            forbidden: vec!["madrid".into()],
            min_words: 4,
            max_words: 0,
            reference: "city lisbon".into(),
        }),
        use_judge: true,
    };
    let all = score(&world, request.clone()).await.unwrap();
    let found: Vec<_> = all
        .functions
        .iter()
        .map(|one| (one.function.as_str(), (one.score * 100.0).round() / 100.0, one.weight))
        .collect();
    let expected = [
        ("schema", 1.0, 2.0),
        ("required", 0.5, 2.0),
        ("forbidden", 1.0, 2.0),
        ("length", 0.5, 1.0),
        ("repetition", 1.0, 1.0),
        ("similarity", 1.0, 2.0),
        ("judge", 0.8, 2.0),
    ];
    assert_eq!(found, expected);
    let mean = (2.0 + 1.0 + 2.0 + 0.5 + 1.0 + 2.0 + 1.6) / 12.0;
    assert!((all.score - mean).abs() < 1e-6, "{}", all.score);
    let reason =
        |name: &str| all.functions.iter().find(|one| one.function == name).unwrap().reason.clone();
    assert_eq!(reason("required"), "1 of 2 occur; missing: “Porto”");
    assert_eq!(reason("judge"), "worth 8");
    let judged = &world.inference.chats("score")[0];
    assert_eq!(judged.sampling.unwrap().temperature, Some(0.0));
    assert_eq!((judged.model.as_str(), judged.agent.as_str()), ("default", "optimizer"));

    // Nothing is stored, and no model is asked when none is needed.
    assert_eq!(world.scores("").await, vec![]);
    world.inference.state().mood = Mood::Away;
    let plain = ScoreTextRequest { output: "Yes, of course.".into(), ..Default::default() };
    let plain = score(&world, plain).await.unwrap();
    assert_eq!((plain.score, plain.functions.len()), (1.0, 1));
    let away = score(&world, request).await.unwrap_err();
    assert_eq!(away.code(), Code::Unavailable);
    assert!(away.message().starts_with("inference-gateway: "), "{away}");
}

#[tokio::test]
async fn what_cannot_be_scored_is_refused_field_by_field() {
    let world = World::new().await;
    let request = ScoreTextRequest {
        output: "x".repeat(65_537),
        expectation: Some(Expectation {
            json_schema: r#"{"type":"strin"}"#.into(),
            min_words: 2,
            max_words: 1,
            ..Default::default()
        }),
        use_judge: true,
        ..Default::default()
    };
    let refusal = score(&world, request).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert_eq!(alina_client::reason(&refusal).as_deref(), Some("INVALID_REQUEST"));
    let violations = refusal.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["output", "input", "expectation.max_words", "expectation.json_schema"]);
}
