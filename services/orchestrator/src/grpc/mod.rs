//! The gRPC surface: wire types in, domain calls, wire types out.

mod ask;
mod convert;
mod follow;
mod requests;

use std::{collections::HashMap, sync::Arc};

use alina_proto::orchestrator::v1::{
    self as wire, orchestrator_service_server::OrchestratorService,
};
use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, codegen::BoxStream};

use crate::{
    engine::Engine,
    error::Error,
    run::{NewRun, RunId, RunState, now},
    store::Instructions,
};

/// Serves the contract.
pub(crate) struct Grpc {
    engine: Arc<Engine>,
    /// Ends streams when the service stops.
    shutdown: CancellationToken,
}

impl Grpc {
    pub(crate) fn new(engine: Arc<Engine>, shutdown: CancellationToken) -> Self {
        Self { engine, shutdown }
    }

    fn deadline(&self) -> chrono::DateTime<chrono::Utc> {
        // At most a week, as config.yaml is checked.
        let minutes = i64::try_from(self.engine.config.run_deadline_minutes).unwrap_or(60);
        now() + TimeDelta::minutes(minutes)
    }
}

#[tonic::async_trait]
impl OrchestratorService for Grpc {
    async fn start_run(
        &self,
        request: Request<wire::StartRunRequest>,
    ) -> Result<Response<wire::StartRunResponse>, Status> {
        let start = requests::start(request.into_inner())?;
        self.engine.roster.allowed(&start.agents)?;
        let run = NewRun {
            id: RunId::new(),
            goal: start.goal,
            namespace: start.namespace,
            agents: start.agents,
            created_at: now(),
            deadline_at: self.deadline(),
        };
        let max_queued = self.engine.config.max_queued_runs;
        let (run, repeated_request) =
            self.engine.store.create_run(&run, start.key.as_deref(), max_queued).await?;
        self.engine.ring();
        self.engine.tell_soon();
        Ok(Response::new(wire::StartRunResponse { run: Some(run.into()), repeated_request }))
    }

    async fn get_run(
        &self,
        request: Request<wire::GetRunRequest>,
    ) -> Result<Response<wire::GetRunResponse>, Status> {
        let id = requests::run_id(&request.into_inner().run_id)?;
        let run = self.engine.store.run(id).await?;
        Ok(Response::new(wire::GetRunResponse { run: Some(run.into()) }))
    }

    async fn list_runs(
        &self,
        request: Request<wire::ListRunsRequest>,
    ) -> Result<Response<wire::ListRunsResponse>, Status> {
        let request = request.into_inner();
        let page = requests::page(request.page_size, 20, &request.page_token)?;
        let before = page.before.map(RunId);
        let mut runs = self.engine.store.runs_before(before, page.size + 1).await?;
        let next_page_token = next_page(&mut runs, page.size, |run| run.id.to_string());
        let runs = runs.into_iter().map(Into::into).collect();
        Ok(Response::new(wire::ListRunsResponse { runs, next_page_token }))
    }

    async fn list_steps(
        &self,
        request: Request<wire::ListStepsRequest>,
    ) -> Result<Response<wire::ListStepsResponse>, Status> {
        let id = requests::run_id(&request.into_inner().run_id)?;
        let steps = self.engine.store.steps(id).await?.into_iter().map(Into::into).collect();
        Ok(Response::new(wire::ListStepsResponse { steps }))
    }

    async fn follow_run(
        &self,
        request: Request<wire::FollowRunRequest>,
    ) -> Result<Response<BoxStream<wire::FollowRunResponse>>, Status> {
        let request = request.into_inner();
        let follow = follow::Follow {
            run: requests::run_id(&request.run_id)?,
            after: request.after_sequence,
            with_deltas: request.include_deltas,
        };
        // A run that is not there, or a store that is away, is told before the stream begins.
        self.engine.store.run(follow.run).await?;
        let stream = follow.stream(&self.engine, self.shutdown.clone());
        Ok(Response::new(Box::pin(stream)))
    }

    async fn cancel_run(
        &self,
        request: Request<wire::CancelRunRequest>,
    ) -> Result<Response<wire::CancelRunResponse>, Status> {
        let id = requests::run_id(&request.into_inner().run_id)?;
        let (run, events) = self.engine.store.cancel_run(id).await?;
        self.engine.stop(id);
        if !events.is_empty() {
            self.engine.metrics.run_ended(RunState::Cancelled);
            self.engine.tell_soon();
        }
        self.engine.bus.events(events);
        Ok(Response::new(wire::CancelRunResponse { run: Some(run.into()) }))
    }

    async fn resume_run(
        &self,
        request: Request<wire::ResumeRunRequest>,
    ) -> Result<Response<wire::ResumeRunResponse>, Status> {
        let id = requests::run_id(&request.into_inner().run_id)?;
        let (run, events) = self.engine.store.resume_run(id, self.deadline()).await?;
        self.engine.bus.events(events);
        self.engine.ring();
        self.engine.tell_soon();
        Ok(Response::new(wire::ResumeRunResponse { run: Some(run.into()) }))
    }

    async fn ask(
        &self,
        request: Request<wire::AskRequest>,
    ) -> Result<Response<BoxStream<wire::AskResponse>>, Status> {
        let ask = requests::ask(request.into_inner())?;
        let stream = ask::stream(Arc::clone(&self.engine), ask, self.shutdown.clone());
        Ok(Response::new(Box::pin(stream)))
    }

    async fn list_agents(
        &self,
        _: Request<wire::ListAgentsRequest>,
    ) -> Result<Response<wire::ListAgentsResponse>, Status> {
        let mut set: HashMap<_, _> = self.engine.store.all_instructions().await?;
        let agents = self.engine.roster.all().iter().map(|agent| {
            let set = set.remove(&agent.config.name);
            convert::agent(agent, set.unwrap_or_else(|| agent.configured()))
        });
        Ok(Response::new(wire::ListAgentsResponse { agents: agents.collect() }))
    }

    async fn list_tools(
        &self,
        _: Request<wire::ListToolsRequest>,
    ) -> Result<Response<wire::ListToolsResponse>, Status> {
        let tools = self.engine.toolbox.all().map(convert::tool).collect();
        Ok(Response::new(wire::ListToolsResponse { tools }))
    }

    async fn list_outputs(
        &self,
        request: Request<wire::ListOutputsRequest>,
    ) -> Result<Response<wire::ListOutputsResponse>, Status> {
        let request = request.into_inner();
        let (after, limit) = requests::outputs(&request)?;
        let outputs = self.engine.store.outputs_after(after, limit).await?;
        let next_cursor =
            outputs.last().map_or(request.after_cursor, |output| output.ordinal.to_string());
        let outputs = outputs.into_iter().map(Into::into).collect();
        Ok(Response::new(wire::ListOutputsResponse { outputs, next_cursor }))
    }

    async fn set_instructions(
        &self,
        request: Request<wire::SetInstructionsRequest>,
    ) -> Result<Response<wire::SetInstructionsResponse>, Status> {
        let request = request.into_inner();
        requests::check_instructions(&request)?;
        let agent = self.engine.roster.get(&request.agent)?;
        let new = (!request.instructions.is_empty())
            .then_some(Instructions { text: request.instructions, version: request.version });
        self.engine.store.set_instructions(&request.agent, new.as_ref()).await?;
        let in_force = new.unwrap_or_else(|| agent.configured());
        tracing::info!(agent = request.agent, version = in_force.version, "instructions were set");
        let agent = convert::agent(agent, in_force);
        Ok(Response::new(wire::SetInstructionsResponse { agent: Some(agent) }))
    }

    async fn raise_alert(
        &self,
        request: Request<wire::RaiseAlertRequest>,
    ) -> Result<Response<wire::RaiseAlertResponse>, Status> {
        let (key, alert) = requests::alert(request.into_inner())?;
        let (id, events) = self.engine.store.raise_alert(&key, &alert).await?;
        self.engine.bus.events(events);
        Ok(Response::new(wire::RaiseAlertResponse { alert_id: id.0.to_string() }))
    }

    async fn list_alerts(
        &self,
        request: Request<wire::ListAlertsRequest>,
    ) -> Result<Response<wire::ListAlertsResponse>, Status> {
        let request = request.into_inner();
        let page = requests::page(request.page_size, 50, &request.page_token)?;
        let before = page.before.map(crate::run::AlertId);
        let mut alerts = self.engine.store.alerts_before(before, page.size + 1).await?;
        let next_page_token = next_page(&mut alerts, page.size, |alert| alert.id.0.to_string());
        let alerts = alerts.into_iter().map(Into::into).collect();
        Ok(Response::new(wire::ListAlertsResponse { alerts, next_page_token }))
    }
}

/// Takes away what was read past the page; gives the token of the next page, empty at the end.
fn next_page<T>(items: &mut Vec<T>, size: u32, token: impl Fn(&T) -> String) -> String {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if items.len() <= size {
        return String::new();
    }
    items.truncate(size);
    items.last().map(token).unwrap_or_default()
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        convert::status(error)
    }
}
