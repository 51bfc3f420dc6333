//! Clients that know the suite only by reflection: grpcurl and Python's grpcio.

#![cfg(test)]

use std::process::{Command, Output};

use alina_proto::Service;
use alina_testkit::Suite;

const CALLS: [(Service, &str, &str); 6] = [
    (Service::Orchestrator, "alina.orchestrator.v1.OrchestratorService/ListAgents", "{}"),
    (
        Service::InferenceGateway,
        "alina.inference.v1.InferenceService/Chat",
        r#"{"messages":[{"role":"ROLE_USER","content":"Say hello."}],"max_tokens":8}"#,
    ),
    (Service::Memory, "alina.memory.v1.MemoryService/GetStats", "{}"),
    (Service::Trading, "alina.trading.v1.TradingService/GetAccount", "{}"),
    (Service::Monitor, "alina.monitor.v1.MonitorService/GetStatus", "{}"),
    (Service::Optimizer, "alina.optimizer.v1.OptimizerService/ListAgentScores", "{}"),
];

fn address(suite: &Suite, service: Service) -> String {
    suite.url(service).trim_start_matches("http://").to_owned()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn grpcurl_and_grpcio_list_describe_and_call_every_service() {
    let suite = Suite::builder().all_services().start().await;
    let home = alina_testkit::home();

    for (service, method, request) in CALLS {
        let address = address(&suite, service);
        let grpcurl = |arguments: &[&str]| {
            let mut command = Command::new(home.join("bin/grpcurl"));
            text(
                &command
                    .arg("-plaintext")
                    .args(arguments)
                    .output()
                    .expect("./deploy/bootstrap setup"),
            )
        };
        let listed = grpcurl(&[&address, "list"]);
        for expected in [service.grpc_name(), "grpc.health.v1.Health"] {
            assert!(listed.contains(expected), "{listed}");
        }
        let described = grpcurl(&[&address, "describe", service.grpc_name()]);
        assert!(described.contains(method.split('/').next_back().unwrap()), "{described}");
        let answer = grpcurl(&["-d", request, &address, method]);
        assert!(answer.starts_with('{'), "{answer}");
    }

    let mut python = Command::new(home.join("venv/bin/python3"));
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/reflection.py"));
    for (service, method, request) in CALLS {
        python.args([&address(&suite, service), method, request]);
    }
    let lines = text(&python.output().expect("./deploy/bootstrap setup"));
    let answers: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), CALLS.len());
    for (answer, (service, method, _)) in answers.iter().zip(CALLS) {
        let has = |list: &str, name: &str| {
            answer[list].as_array().unwrap().iter().any(|item| item == name)
        };
        assert!(has("services", service.grpc_name()) && has("methods", method), "{answer}");
    }
}
