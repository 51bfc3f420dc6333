//! Serving: the service's routes with health and reflection, under the layers in [`observe`].

mod auth;
mod body;
mod observe;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, time::Duration};

use alina_proto::{FILE_DESCRIPTOR_SET, Service};
use tokio::{net::TcpListener, signal::unix::SignalKind};
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::{ServiceBuilder, limit::GlobalConcurrencyLimitLayer};

use crate::{Common, Context, Section, StartError, metrics};

/// Requests answered at once; past that they are refused with RetryInfo.
const MAX_CONCURRENT: usize = 1024;
/// Streams of one connection: HTTP/2 without a bound is an invitation.
const MAX_STREAMS: u32 = 512;
/// How long requests under way may take to end after the service is told to stop.
const DRAIN: Duration = Duration::from_secs(8);
/// How long background tasks may take after that.
const SETTLE: Duration = Duration::from_secs(4);

pub(crate) async fn serve<S, B, F>(
    service: Service,
    context: Context<S>,
    build: B,
) -> Result<(), StartError>
where
    S: Section,
    B: FnOnce(Context<S>) -> F,
    F: Future<Output = Result<Routes, StartError>>,
{
    let place = context.common.endpoint(service).clone();
    let shutdown = context.shutdown.clone();
    stop_on_signals(&context)?;

    // Both addresses first: a taken port is told before anything is begun.
    let listener = listen(service, "listen", place.listen).await?;
    let metrics_listener = listen(service, "metrics", place.metrics).await?;
    let requests = context.register(metrics::RequestMetrics::register);
    let tokens = auth::Tokens::new(&context.common.tokens()?);

    let routes = build(context.clone()).await?;
    let (health, health_service) = tonic_health::server::health_reporter();
    let serving = tonic_health::ServingStatus::Serving;
    health.set_service_status(service.grpc_name(), serving).await;
    let routes = with_reflection(routes.add_service(health_service))?;
    let routes = ServiceBuilder::new()
        .layer(observe::ObserveLayer::new(requests, tokens))
        .load_shed()
        .layer(GlobalConcurrencyLimitLayer::new(MAX_CONCURRENT))
        .service(routes.prepare());

    let metrics_server = axum::serve(metrics_listener, metrics::router(context.registry.clone()));
    let metrics_server = metrics_server.with_graceful_shutdown(shutdown.clone().cancelled_owned());
    context.tasks.spawn(async move {
        if let Err(error) = metrics_server.await {
            tracing::error!(%error, "the metrics endpoint ended");
        }
    });

    tracing::info!(listen = %place.listen, metrics = %place.metrics, "{service} is ready");
    // The server's own `tcp_nodelay` is ignored with listeners that are given to it: without this an
    // answer's end waits up to 40 ms for the acknowledgement of its beginning.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .add_routes(Routes::from(axum::Router::new().fallback_service(routes)))
        .serve_with_incoming_shutdown(incoming, shutdown.cancelled());
    let drained = async {
        shutdown.cancelled().await;
        health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = server => ended.map_err(StartError::other)?,
        () = drained => tracing::warn!("requests still under way were cut off"),
    }

    context.tasks.close();
    if tokio::time::timeout(SETTLE, context.tasks.wait()).await.is_err() {
        tracing::warn!("background tasks still under way were cut off");
    }
    tracing::info!("{service} ended");
    Ok(())
}

async fn listen(
    service: Service,
    key: &str,
    address: SocketAddr,
) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|cause| StartError::Listen {
        address,
        key: format!("services.{}.{key}", service.key()),
        cause,
    })
}

fn stop_on_signals<S: Section>(context: &Context<S>) -> Result<(), StartError> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signal = tokio::signal::unix::signal(kind).map_err(StartError::other)?;
        let shutdown = context.shutdown.clone();
        tokio::spawn(async move {
            signal.recv().await;
            tracing::info!("told to stop");
            shutdown.cancel();
        });
    }
    Ok(())
}

/// Reflection in both versions (grpcurl 1.8 speaks only v1alpha), with google.rpc's types so that
/// error details can be read.
fn with_reflection(routes: Routes) -> Result<Routes, StartError> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = builder().build_v1().map_err(StartError::other)?;
    let v1alpha = builder().build_v1alpha().map_err(StartError::other)?;
    Ok(routes.add_service(v1).add_service(v1alpha))
}

/// Asks the running service itself, as a container's health check does.
pub(crate) async fn is_healthy(service: Service, common: &Common) -> bool {
    let listen = common.endpoint(service).listen;
    let host =
        if listen.ip().is_unspecified() { "127.0.0.1".to_owned() } else { listen.ip().to_string() };
    let Ok(endpoint) =
        tonic::transport::Endpoint::from_shared(format!("http://{host}:{}", listen.port()))
    else {
        return false;
    };
    let asked = async {
        let channel = endpoint.connect().await.ok()?;
        let request = HealthCheckRequest { service: service.grpc_name().to_owned() };
        let answer = HealthClient::new(channel).check(request).await.ok()?;
        Some(answer.into_inner().status() == ServingStatus::Serving)
    };
    tokio::time::timeout(Duration::from_secs(2), asked).await.ok().flatten().unwrap_or(false)
}
