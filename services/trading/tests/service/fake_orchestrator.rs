//! Takes alerts as the orchestrator does, over real gRPC on loopback; everything else is
//! UNIMPLEMENTED.

use std::{net::SocketAddr, time::Duration};

use alina_proto::orchestrator::v1::{
    self, Alert, RaiseAlertRequest, RaiseAlertResponse,
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

type Nothing<T> = tokio_stream::Empty<Result<T, Status>>;

/// The whole implementation at once, so that `async_trait` sees the calls written out.
macro_rules! takes_alerts {
    (streams: $($stream:ident $s_name:ident($s_request:ident) -> $s_response:ident),*;
     calls: $($name:ident($request:ident) -> $response:ident),* $(,)?) => {
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
            $(
                type $stream = Nothing<v1::$s_response>;

                async fn $s_name(
                    &self,
                    _: Request<v1::$s_request>,
                ) -> Result<Response<Self::$stream>, Status> {
                    Err(Status::unimplemented("a fake"))
                }
            )*
            $(
                async fn $name(
                    &self,
                    _: Request<v1::$request>,
                ) -> Result<Response<v1::$response>, Status> {
                    Err(Status::unimplemented("a fake"))
                }
            )*
        }
    };
}

takes_alerts! {
    streams:
        FollowRunStream follow_run(FollowRunRequest) -> FollowRunResponse,
        AskStream ask(AskRequest) -> AskResponse;
    calls:
        start_run(StartRunRequest) -> StartRunResponse,
        get_run(GetRunRequest) -> GetRunResponse,
        list_runs(ListRunsRequest) -> ListRunsResponse,
        list_steps(ListStepsRequest) -> ListStepsResponse,
        cancel_run(CancelRunRequest) -> CancelRunResponse,
        resume_run(ResumeRunRequest) -> ResumeRunResponse,
        list_agents(ListAgentsRequest) -> ListAgentsResponse,
        list_tools(ListToolsRequest) -> ListToolsResponse,
        list_outputs(ListOutputsRequest) -> ListOutputsResponse,
        set_instructions(SetInstructionsRequest) -> SetInstructionsResponse,
        list_alerts(ListAlertsRequest) -> ListAlertsResponse,
}
