//! Takes alerts as the orchestrator does, over real gRPC on loopback; everything else is
//! UNIMPLEMENTED.

use std::{net::SocketAddr, time::Duration};

use alina_proto::orchestrator::v1::{
    Alert, RaiseAlertRequest, RaiseAlertResponse,
    orchestrator_service_server::{OrchestratorService, OrchestratorServiceServer},
};
use tokio::sync::{Mutex, mpsc};
use tonic::{Request, Response, Status, transport::Server};

pub(crate) struct FakeOrchestrator {
    alerts: Mutex<mpsc::Receiver<Alert>>,
}

struct Taker {
    alerts: mpsc::Sender<Alert>,
}

impl FakeOrchestrator {
    pub(crate) async fn start(port: u16) -> Self {
        let (sender, alerts) = mpsc::channel(100);
        let address: SocketAddr = ([127, 0, 0, 1], port).into();
        let service = OrchestratorServiceServer::new(Taker { alerts: sender });
        tokio::spawn(Server::builder().add_service(service).serve(address));
        Self { alerts: Mutex::new(alerts) }
    }

    pub(crate) async fn next_alert(&self) -> Alert {
        let mut alerts = self.alerts.lock().await;
        let next = tokio::time::timeout(Duration::from_secs(30), alerts.recv());
        next.await.expect("an alert in time").expect("an alert")
    }
}

#[tonic::async_trait]
impl OrchestratorService for Taker {
    async fn raise_alert(
        &self,
        request: Request<RaiseAlertRequest>,
    ) -> Result<Response<RaiseAlertResponse>, Status> {
        let alert = request.into_inner().alert.unwrap_or_default();
        let _ = self.alerts.send(alert).await;
        Ok(Response::new(RaiseAlertResponse { alert_id: "1".to_owned() }))
    }
}
