//! `kill -9` in the midst of a run: the run ends with an answer, its journal has every step once.

#![cfg(test)]

use alina_e2e::{assert_sound, start, wait_for_end, wait_for_steps};
use alina_proto::Service;
use alina_testkit::Suite;

const GOAL: &str = "Name two things to see in Porto and say how to get there";

async fn survives(service: Service) {
    let mut suite = Suite::builder().all_services().start().await;
    let connector = suite.connector();
    let id = start(&connector, GOAL).await;
    wait_for_steps(&connector, &id, 2).await;
    suite.kill(service).await;
    suite.restart(service).await;
    let run = wait_for_end(&connector, &id).await;
    assert_sound(&connector, &run).await;
}

#[tokio::test]
async fn the_orchestrator_is_killed() {
    survives(Service::Orchestrator).await;
}

#[tokio::test]
async fn the_inference_gateway_is_killed() {
    survives(Service::InferenceGateway).await;
}

#[tokio::test]
async fn memory_is_killed() {
    survives(Service::Memory).await;
}

#[tokio::test]
async fn the_services_a_run_does_not_need_are_killed() {
    let mut suite = Suite::builder().all_services().start().await;
    let connector = suite.connector();
    let id = start(&connector, GOAL).await;
    wait_for_steps(&connector, &id, 1).await;
    for service in [Service::Trading, Service::Monitor, Service::Optimizer] {
        suite.kill(service).await;
        suite.restart(service).await;
    }
    let run = wait_for_end(&connector, &id).await;
    assert_sound(&connector, &run).await;
}

#[tokio::test]
async fn postgresql_is_killed() {
    let mut suite = Suite::builder().all_services().own_postgres().start().await;
    let connector = suite.connector();
    let id = start(&connector, GOAL).await;
    wait_for_steps(&connector, &id, 2).await;
    suite.kill_postgres().await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    suite.restart_postgres().await;
    let run = wait_for_end(&connector, &id).await;
    assert_sound(&connector, &run).await;
}
