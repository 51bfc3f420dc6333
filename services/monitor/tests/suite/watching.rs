//! What the monitor sees, tells and keeps.

use std::time::Duration;

use alina_proto::{
    Service,
    monitor::v1::{
        GetStatusRequest, ListRulesRequest, ServiceStatus, Status, StreamStatusRequest,
        monitor_service_client::MonitorServiceClient,
    },
    orchestrator::v1::AlertSeverity,
};
use alina_testkit::Suite;
use serde_json::json;
use sqlx::Row;

use crate::orchestrator::FakeOrchestrator;

type Monitor = MonitorServiceClient<alina_client::PeerChannel>;

/// Down for a second is enough here.
fn rules() -> serde_json::Value {
    json!([
        { "name": "memory_down", "scope": "memory", "metric": "up", "op": "<", "threshold": 1,
          "for_seconds": 1, "severity": "critical" },
        { "name": "memory_low", "scope": "machine", "metric": "memory_available_ratio", "op": "<",
          "threshold": 0, "severity": "warning" },
    ])
}

async fn status(monitor: &mut Monitor) -> Status {
    let answer = monitor.get_status(GetStatusRequest {}).await.unwrap();
    answer.into_inner().status.unwrap()
}

async fn until(monitor: &mut Monitor, what: &str, holds: impl Fn(&Status) -> bool) -> Status {
    for _ in 0..150 {
        let status = status(monitor).await;
        if holds(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never: {what}; at last {:?}", status(monitor).await);
}

fn service(status: &Status, service: Service) -> &ServiceStatus {
    status.services.iter().find(|status| status.name == service.name()).unwrap()
}

#[tokio::test]
async fn a_killed_service_is_noticed_told_and_kept() {
    let (orchestrator, url) = FakeOrchestrator::start(2).await;
    let mut suite = Suite::builder()
        .service(Service::Monitor)
        .service(Service::Memory)
        .at(Service::Orchestrator, url)
        .set("monitor.interval_seconds", json!(0.25))
        .set("monitor.rules", rules())
        .start()
        .await;
    let mut monitor = suite.connector().monitor();

    // Both run: the machine's and the services' figures are there.
    let both = until(&mut monitor, "both are up", |status| {
        service(status, Service::Memory).up
            && service(status, Service::Monitor).up
            && service(status, Service::Monitor).requests_per_second > 0.0
    })
    .await;
    let machine = both.machine.unwrap();
    assert!(machine.cpus >= 1 && machine.memory_total_bytes > machine.memory_available_bytes);
    assert!(machine.disk_total_bytes > 0 && (0.0..=1.0).contains(&machine.cpu_used));
    let own = service(&both, Service::Monitor);
    assert!(own.resident_bytes > 1_000_000 && own.latency_p99_ms > 0.0, "{own:?}");
    assert_eq!((own.error_ratio, own.problem.as_str()), (0.0, ""));
    assert!(own.started_at.is_some());
    assert_eq!(both.services.len(), 6);
    let away = service(&both, Service::Optimizer);
    assert!(!away.up && !away.problem.is_empty(), "{away:?}");
    assert_eq!(both.alerts, vec![]);

    let rules = monitor.list_rules(ListRulesRequest {}).await.unwrap().into_inner().rules;
    assert_eq!(rules.len(), 2);
    assert_eq!(rules[0].condition, "memory.up < 1 for 1s");
    assert!(rules.iter().all(|rule| !rule.active));

    // One is killed: the alert is shown, told although the orchestrator was away, and kept.
    suite.kill(Service::Memory).await;
    let down = until(&mut monitor, "the alert is active", |status| !status.alerts.is_empty()).await;
    let alert = &down.alerts[0];
    assert_eq!((alert.rule.as_str(), alert.service.as_str()), ("memory_down", "memory"));
    assert_eq!(alert.severity, "critical");
    assert!(alert.summary.starts_with("memory is down: "), "{}", alert.summary);
    let told = orchestrator.wait_for("memory_down", "memory", false).await;
    let told_alert = told.alert.unwrap();
    assert_eq!(told_alert.source, "monitor");
    assert_eq!(told_alert.severity(), AlertSeverity::Critical);
    assert_eq!(told_alert.summary, alert.summary);
    assert!(told.idempotency_key.starts_with("monitor/memory_down/memory/"));
    let rules = monitor.list_rules(ListRulesRequest {}).await.unwrap().into_inner().rules;
    assert!(rules[0].active && !rules[1].active);

    // It comes back: so does the end of the alert.
    suite.restart(Service::Memory).await;
    until(&mut monitor, "the alert has ended", |status| status.alerts.is_empty()).await;
    let over = orchestrator.wait_for("memory_down", "memory", true).await;
    assert_ne!(over.idempotency_key, told.idempotency_key);
    assert_eq!(orchestrator.told().len(), 2);

    let pool = suite.db().pool().await;
    for _ in 0..100 {
        let rows = sqlx::query("select rule, subject, severity, resolved_at from monitor.alerts")
            .fetch_all(&pool)
            .await
            .unwrap();
        let ended: Option<chrono::DateTime<chrono::Utc>> = rows[0].get("resolved_at");
        if ended.is_some() {
            assert_eq!(rows.len(), 1);
            assert_eq!(rows[0].get::<&str, _>("rule"), "memory_down");
            assert_eq!(rows[0].get::<&str, _>("subject"), "memory");
            assert_eq!(rows[0].get::<&str, _>("severity"), "critical");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the end of the alert was never kept");
}

#[tokio::test]
async fn an_alert_of_a_killed_monitor_is_ended_by_the_next() {
    let (orchestrator, url) = FakeOrchestrator::start(0).await;
    let mut suite = Suite::builder()
        .service(Service::Monitor)
        .at(Service::Orchestrator, url)
        .set("monitor.interval_seconds", json!(0.25))
        .set("monitor.rules", rules())
        .start()
        .await;
    let first = orchestrator.wait_for("memory_down", "memory", false).await;
    let pool = suite.db().pool().await;
    let is_kept = || async {
        let kept = sqlx::query("select 1 from monitor.alerts").fetch_optional(&pool).await;
        kept.unwrap().is_some()
    };
    while !is_kept().await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    suite.kill(Service::Monitor).await;
    suite.restart(Service::Monitor).await;

    let ended = orchestrator.wait_for("memory_down", "memory", true).await;
    let since = first.idempotency_key.strip_suffix("/active").unwrap();
    assert_eq!(ended.idempotency_key, format!("{since}/resolved"));
    // It still is down, which the new process finds out for itself.
    let mut monitor = suite.connector().monitor();
    until(&mut monitor, "raised anew", |status| status.alerts.len() == 1).await;
}

#[tokio::test]
async fn serves_without_postgres_and_streams_each_collection() {
    let suite = Suite::builder()
        .service(Service::Monitor)
        .set("postgres.url", json!("postgres://alina@127.0.0.1:1/alina"))
        .set("monitor.interval_seconds", json!(0.25))
        .start()
        .await;
    let mut monitor = suite.connector().monitor();
    let mut stream = monitor.stream_status(StreamStatusRequest {}).await.unwrap().into_inner();
    let mut times = Vec::new();
    while times.len() < 4 {
        let status = stream.message().await.unwrap().unwrap().status.unwrap();
        let at = alina_proto::time::date_time(&status.at.unwrap()).unwrap();
        assert!(times.last().is_none_or(|last| *last < at));
        times.push(at);
    }
}

#[tokio::test]
async fn its_own_metrics_tell_which_services_are_up() {
    let suite = Suite::builder()
        .service(Service::Monitor)
        .set("monitor.interval_seconds", json!(0.25))
        .start()
        .await;
    let mut monitor = suite.connector().monitor();
    until(&mut monitor, "it reads itself", |status| service(status, Service::Monitor).up).await;

    let text =
        reqwest::get(suite.metrics_url(Service::Monitor)).await.unwrap().text().await.unwrap();
    let samples = alina_monitor::exposition::parse(&text).unwrap();
    let up = |name: &str| {
        let mut found = samples.iter().filter(|sample| {
            sample.name == "alina_monitor_service_up" && sample.label("service") == Some(name)
        });
        found.next().unwrap().value
    };
    assert_eq!((up("monitor"), up("memory")), (1.0, 0.0));
    for name in [
        "alina_monitor_collection_seconds_count",
        "alina_monitor_machine_memory_available_bytes",
        "alina_monitor_scrape_failures_total",
        "alina_monitor_alerts_active",
        "alina_monitor_alerts_told_total",
    ] {
        assert!(samples.iter().any(|sample| sample.name == name), "{name} in {text}");
    }
}
