//! The layer under every request, around services that misbehave.

use std::{convert::Infallible, time::Duration};

use http::{Request, Response};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tonic::{Code, Status, body::Body};
use tower::{Layer, ServiceBuilder, ServiceExt, limit::GlobalConcurrencyLimitLayer, service_fn};

use super::{auth::Tokens, observe::ObserveLayer};
use crate::metrics::RequestMetrics;

struct World {
    registry: Registry,
    layer: ObserveLayer,
}

impl World {
    fn new(tokens: &[&str]) -> Self {
        let mut registry = Registry::default();
        let metrics = RequestMetrics::register(&mut registry);
        let tokens: Vec<_> = tokens.iter().map(|token| (*token).to_owned()).collect();
        Self { registry, layer: ObserveLayer::new(metrics, Tokens::new(&tokens)) }
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        text
    }
}

fn request() -> Request<Body> {
    Request::builder().uri("/alina.memory.v1.MemoryService/Search").body(Body::empty()).unwrap()
}

fn code(response: &Response<Body>) -> Code {
    response.headers().get("grpc-status").map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

#[tokio::test]
async fn a_panic_becomes_internal_and_is_counted() {
    let world = World::new(&[]);
    let broken = service_fn(|_: Request<Body>| async {
        if true {
            panic!("on purpose");
        }
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let response = world.layer.layer(broken).oneshot(request()).await.unwrap();
    assert_eq!(code(&response), Code::Internal);
    drop(response);
    let expected = r#"alina_grpc_requests_total{method="alina.memory.v1.MemoryService/Search",code="INTERNAL"} 1"#;
    assert!(world.metrics().contains(expected), "{}", world.metrics());
    assert!(
        world
            .metrics()
            .contains(r#"alina_grpc_in_flight{method="alina.memory.v1.MemoryService/Search"} 0"#)
    );
}

#[tokio::test(start_paused = true)]
async fn the_callers_deadline_is_in_force_and_ends_the_request() {
    let world = World::new(&[]);
    let slow = service_fn(|_: Request<Body>| async {
        let left = alina_client::deadline::current().unwrap() - tokio::time::Instant::now();
        assert_eq!(left, Duration::from_millis(200));
        tokio::time::sleep(Duration::from_secs(9)).await;
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let mut request = request();
    request.headers_mut().insert("grpc-timeout", "200m".parse().unwrap());
    let response = world.layer.layer(slow).oneshot(request).await.unwrap();
    assert_eq!(code(&response), Code::DeadlineExceeded);
}

#[tokio::test]
async fn without_a_token_nothing_passes() {
    let world = World::new(&["right"]);
    let fine =
        service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
    let response = world.layer.layer(fine).oneshot(request()).await.unwrap();
    assert_eq!(code(&response), Code::Unauthenticated);
    let mut with = request();
    with.headers_mut().insert("authorization", "Bearer right".parse().unwrap());
    let response = world.layer.layer(fine).oneshot(with).await.unwrap();
    assert_eq!(code(&response), Code::Ok);
}

#[tokio::test]
async fn past_the_limit_callers_are_told_when_to_come_back() {
    let world = World::new(&[]);
    let stuck =
        service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
    let service = ServiceBuilder::new()
        .layer(world.layer.clone())
        .load_shed()
        .layer(GlobalConcurrencyLimitLayer::new(1))
        .service(stuck);
    let first = tokio::spawn(service.clone().oneshot(request()));
    tokio::task::yield_now().await;
    let response = service.oneshot(request()).await.unwrap();
    assert_eq!(code(&response), Code::ResourceExhausted);
    let status = Status::from_header_map(response.headers()).unwrap();
    assert!(alina_client::retry_after(&status).is_some());
    first.abort();
}
