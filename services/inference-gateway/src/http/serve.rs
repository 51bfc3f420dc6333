//! Connections: accepted within bounds, and ended when the service is.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

/// More wait in the system's queue.
const MAX_CONNECTIONS: usize = 1024;
/// How long a request's head may take to arrive, and a connection may be idle.
const HEAD: Duration = Duration::from_secs(75);
/// The longest head.
const MAX_HEAD: usize = 64 << 10;
/// How long requests under way may take after the service is told to stop: less than what the
/// service gives its background tasks.
const DRAIN: Duration = Duration::from_secs(3);

/// Serves until `shutdown`.
pub(super) async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let accept = async || {
        let place = Arc::clone(&places).acquire_owned().await.ok();
        (place, listener.accept().await)
    };
    while let Some((place, accepted)) = shutdown.run_until_cancelled(accept()).await {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of files, most likely: others must end first.
                tracing::warn!(%error, "no connection accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Pieces are small, and somebody waits for each.
        let _ = stream.set_nodelay(true);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests over HTTP still under way were cut off");
    }
}
