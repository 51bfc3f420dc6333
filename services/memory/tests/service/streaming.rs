//! Writing by a stream.

use alina_proto::{
    Service,
    memory::v1::{
        GetStatsRequest, ListActionsRequest, RememberRequest, RememberResponse,
        RememberStreamRequest, RememberStreamResponse, remember_stream_response::Outcome,
    },
};
use alina_testkit::Suite;
use tonic::{Code, Status};

use crate::{Memory, episode, fact, memory, remember, search};

async fn streamed(
    memory: &Memory,
    requests: Vec<RememberRequest>,
) -> Result<Vec<RememberStreamResponse>, Status> {
    let requests =
        requests.into_iter().map(|request| RememberStreamRequest { request: Some(request) });
    let requests = futures::stream::iter(requests);
    let mut answers = memory.clone().remember_stream(requests).await?.into_inner();
    let mut all = Vec::new();
    while let Some(answer) = answers.message().await? {
        all.push(answer);
    }
    Ok(all)
}

fn keyed(text: &str, key: &str) -> RememberRequest {
    RememberRequest { idempotency_key: key.to_owned(), ..episode(text) }
}

fn written(answer: &RememberStreamResponse) -> &RememberResponse {
    match answer.outcome.as_ref().expect("an outcome") {
        Outcome::Written(written) => written,
        Outcome::Refused(refused) => panic!("refused: {refused:?}"),
    }
}

fn refusal(answer: &RememberStreamResponse) -> (Code, &str, &str) {
    match answer.outcome.as_ref().expect("an outcome") {
        Outcome::Refused(refused) => {
            (Code::from(refused.code), refused.reason.as_str(), refused.message.as_str())
        }
        Outcome::Written(written) => panic!("written: {written:?}"),
    }
}

#[tokio::test]
async fn thousands_are_written_once_and_answered_in_order() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let requests: Vec<_> =
        (0..3_000).map(|n| keyed(&format!("parcel {n} arrived"), &format!("parcel-{n}"))).collect();
    let first = streamed(&memory, requests.clone()).await.expect("a stream");
    let again = streamed(&memory, requests).await.expect("a stream");
    assert!(first.iter().map(|answer| answer.place).eq(0..3_000));
    assert!(!first.iter().any(|answer| written(answer).repeated_request));
    assert!(again.iter().all(|answer| written(answer).repeated_request));
    let ids = |answers: &[RememberStreamResponse]| -> Vec<String> {
        answers.iter().map(|answer| written(answer).episode_id.clone()).collect()
    };
    assert_eq!(ids(&first), ids(&again));
    let stats = memory.clone().get_stats(GetStatsRequest::default()).await.unwrap().into_inner();
    assert_eq!(stats.episodes, 3_000);
    let found = search(&memory, "parcel 1234").await;
    assert_eq!(found[0].text, "parcel 1234 arrived");
    assert_eq!(found[0].id, written(&first[1_234]).episode_id);
}

#[tokio::test]
async fn a_refused_request_hinders_no_other() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    remember(&memory, keyed("written before", "taken")).await;
    let mut elsewhere = keyed("in another namespace", "taken");
    elsewhere.namespace = "other".to_owned();
    let mut of_nothing = fact("Ana", "lives_in", "Porto");
    of_nothing.derived_from = vec!["00000000-0000-7000-8000-000000000000".to_owned()];
    let with_facts = |key: &str, fact| RememberRequest {
        facts: vec![fact],
        ..keyed("Ana told where she lives", key)
    };
    let answers = streamed(
        &memory,
        vec![
            keyed("first", "a"),
            episode("with a \0 in it"),
            keyed("other content", "taken"),
            elsewhere,
            keyed("first", "a"),
            keyed("not the first", "a"),
            with_facts("b", of_nothing),
            with_facts("c", fact("Ana", "lives_in", "Porto")),
            RememberRequest::default(),
            episode("last"),
        ],
    )
    .await
    .expect("a stream");
    assert!(answers.iter().map(|answer| answer.place).eq(0..10));
    let (code, reason, message) = refusal(&answers[1]);
    assert_eq!((code, reason), (Code::InvalidArgument, "INVALID_REQUEST"));
    assert!(message.contains("episode.text"), "{message}");
    assert_eq!(refusal(&answers[2]).1, "KEY_REUSED");
    assert!(!written(&answers[3]).repeated_request);
    assert!(written(&answers[4]).repeated_request);
    assert_eq!(written(&answers[4]).episode_id, written(&answers[0]).episode_id);
    assert_eq!(refusal(&answers[5]).1, "KEY_REUSED");
    assert_eq!(refusal(&answers[6]).0, Code::NotFound);
    assert_eq!(written(&answers[7]).fact_ids.len(), 1);
    assert_eq!(refusal(&answers[8]).0, Code::InvalidArgument);
    assert!(!written(&answers[9]).episode_id.is_empty());
    // Refused as a whole: its episode is not there.
    let stats = memory.clone().get_stats(GetStatsRequest::default()).await.unwrap().into_inner();
    assert_eq!((stats.episodes, stats.facts), (4, 1));
    let log = memory.clone().list_actions(ListActionsRequest::default()).await;
    assert!(log.unwrap().into_inner().actions.is_empty());
}

#[tokio::test]
async fn streams_that_want_the_same_keys_write_once() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let mut requests: Vec<_> =
        (0..600).map(|n| keyed(&format!("note {n}"), &format!("note-{n}"))).collect();
    let mut streams = Vec::new();
    for _ in 0..6 {
        requests.reverse();
        let (memory, requests) = (memory.clone(), requests.clone());
        streams.push(tokio::spawn(async move { streamed(&memory, requests).await }));
    }
    let mut fresh = 0;
    for stream in streams {
        let answers = stream.await.unwrap().expect("a stream");
        assert_eq!(answers.len(), 600);
        fresh += answers.iter().filter(|answer| !written(answer).repeated_request).count();
    }
    assert_eq!(fresh, 600);
    let stats = memory.clone().get_stats(GetStatsRequest::default()).await.unwrap().into_inner();
    assert_eq!(stats.episodes, 600);
}
