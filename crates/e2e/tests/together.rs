//! Several runs at once share the model fairly and within its bound.

#![cfg(test)]

use alina_e2e::{assert_sound, start, wait_for_end};
use alina_proto::{Service, inference::v1::GetLoadRequest};
use alina_testkit::Suite;
use futures::future::join_all;

#[tokio::test]
async fn five_runs_at_once_all_finish_and_at_most_four_decode() {
    let suite = Suite::builder()
        .service(Service::InferenceGateway)
        .service(Service::Memory)
        .service(Service::Orchestrator)
        .start()
        .await;
    let connector = suite.connector();
    let topics = ["rivers", "mountains", "islands", "bridges", "trains"];
    let runs = topics.map(|topic| {
        let connector = connector.clone();
        async move {
            let goal = format!("Name three {topic} and give one fact about each");
            let id = start(&connector, &goal).await;
            wait_for_end(&connector, &id).await
        }
    });
    for run in join_all(runs).await {
        assert_sound(&connector, &run).await;
    }
    let load = connector.inference().get_load(GetLoadRequest {}).await.unwrap().into_inner();
    assert!(load.peak_running <= 4, "at most 4 decode at once: {load:?}");
    assert!(load.peak_running >= 2, "runs share the model: {load:?}");
    assert_eq!((load.running, load.waiting), (0, 0), "nothing is left behind");
}
