//! An orchestrator on loopback that only takes alerts, and can be away for a while.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alina_proto::orchestrator::v1::{
    orchestrator_service_server::{OrchestratorService, OrchestratorServiceServer},
    *,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// What was told, in order; repeated keys once.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeOrchestrator {
    told: Arc<Mutex<Vec<RaiseAlertRequest>>>,
    refusals: Arc<AtomicUsize>,
}

impl FakeOrchestrator {
    /// Serves on a free port; gives its address. The first `refusals` calls fail UNAVAILABLE.
    pub(crate) async fn start(refusals: usize) -> (Self, String) {
        let this = Self { refusals: Arc::new(refusals.into()), ..Self::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder()
            .add_service(OrchestratorServiceServer::new(this.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        (this, url)
    }

    pub(crate) fn told(&self) -> Vec<RaiseAlertRequest> {
        self.told.lock().unwrap().clone()
    }

    /// Waits for an alert about a rule and a service to be told as begun or as ended.
    pub(crate) async fn wait_for(
        &self,
        rule: &str,
        service: &str,
        resolved: bool,
    ) -> RaiseAlertRequest {
        let service = format!("\"service\":\"{service}\"");
        for _ in 0..300 {
            let found = self.told().into_iter().find(|request| {
                let alert = request.alert.as_ref().unwrap();
                alert.name == rule
                    && alert.details_json.contains(&service)
                    && alert.resolved == resolved
            });
            if let Some(found) = found {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{rule} of {service} (resolved: {resolved}) was never told: {:?}", self.told());
    }
}

#[tonic::async_trait]
impl OrchestratorService for FakeOrchestrator {
    async fn raise_alert(
        &self,
        request: Request<RaiseAlertRequest>,
    ) -> Result<Response<RaiseAlertResponse>, Status> {
        let left = self
            .refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() {
            return Err(Status::unavailable("starting"));
        }
        let request = request.into_inner();
        let mut told = self.told.lock().unwrap();
        if told.iter().all(|earlier| earlier.idempotency_key != request.idempotency_key) {
            told.push(request);
        }
        Ok(Response::new(RaiseAlertResponse { alert_id: told.len().to_string() }))
    }
}
