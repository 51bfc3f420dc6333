//! The wire: requests are checked here, failures become statuses here.

mod convert;
mod requests;

use std::{sync::Arc, time::Duration};

use alina_proto::optimizer::v1::{
    self as wire, AddCaseRequest, AddCaseResponse, ListAgentScoresRequest, ListAgentScoresResponse,
    ListCasesRequest, ListCasesResponse, ListScoresRequest, ListScoresResponse,
    ListVersionsRequest, ListVersionsResponse, OptimizeRequest, OptimizeResponse, RollBackRequest,
    RollBackResponse, ScoreTextRequest, ScoreTextResponse,
    optimizer_service_server::OptimizerService,
};
use tonic::{Request, Response, Status};

use self::convert::status;
use crate::{
    config::OptimizerConfig,
    error::Error,
    optimizer::Optimizer,
    scorer::{Scorer, Subject},
    store::Store,
};

/// How long a list waits for the orchestrator before it shows what was seen last.
const FRESHNESS: Duration = Duration::from_secs(2);

pub(crate) struct Grpc {
    pub(crate) optimizer: Arc<Optimizer>,
    pub(crate) store: Store,
    pub(crate) scorer: Scorer,
    pub(crate) config: Arc<OptimizerConfig>,
}

impl Grpc {
    /// Sees which agents there are now; what was seen last is good enough while the orchestrator
    /// is away.
    async fn look(&self) -> Result<(), Error> {
        match tokio::time::timeout(FRESHNESS, self.optimizer.roster.refresh()).await {
            Ok(Err(error)) if error.is_store() => Err(error),
            Ok(Ok(_) | Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Checks the filter of a list; `None` for all agents.
    async fn filter<'a>(&self, agent: &'a str) -> Result<Option<&'a str>, Status> {
        if agent.is_empty() {
            return Ok(None);
        }
        requests::agent_name(agent)?;
        self.optimizer.roster.check(agent).await.map_err(status)?;
        Ok(Some(agent))
    }
}

#[tonic::async_trait]
impl OptimizerService for Grpc {
    async fn score_text(
        &self,
        request: Request<ScoreTextRequest>,
    ) -> Result<Response<ScoreTextResponse>, Status> {
        let (request, expectation) = requests::score_text(request.into_inner())?;
        let subject =
            Subject { input: &request.input, output: &request.output, expectation: &expectation };
        let card = self.scorer.full(subject, request.use_judge).await.map_err(status)?;
        Ok(Response::new(card.into()))
    }

    async fn list_scores(
        &self,
        request: Request<ListScoresRequest>,
    ) -> Result<Response<ListScoresResponse>, Status> {
        let request = request.into_inner();
        let (size, before) = requests::page(&request)?;
        let agent = self.filter(&request.agent).await?;
        // One more tells whether there is another page.
        let scores = self.store.scores_before(agent, before, i64::from(size) + 1).await;
        let mut scores = scores.map_err(status)?;
        let more = scores.len() > size as usize;
        scores.truncate(size as usize);
        let next = scores.last().filter(|_| more).map(|last| last.ordinal.to_string());
        Ok(Response::new(ListScoresResponse {
            scores: scores.into_iter().map(wire::Score::from).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn list_agent_scores(
        &self,
        _: Request<ListAgentScoresRequest>,
    ) -> Result<Response<ListAgentScoresResponse>, Status> {
        self.look().await.map_err(status)?;
        let scores = self.store.agent_scores(self.config.window).await.map_err(status)?;
        let threshold = self.config.threshold;
        let agents = scores.into_iter().map(|score| convert::agent_score(score, threshold));
        Ok(Response::new(ListAgentScoresResponse { agents: agents.collect() }))
    }

    async fn add_case(
        &self,
        request: Request<AddCaseRequest>,
    ) -> Result<Response<AddCaseResponse>, Status> {
        let case = requests::case(request.into_inner())?;
        self.optimizer.roster.check(&case.agent).await.map_err(status)?;
        let case = self.store.add_case(case).await.map_err(status)?;
        Ok(Response::new(AddCaseResponse { case: Some(case.into()) }))
    }

    async fn list_cases(
        &self,
        request: Request<ListCasesRequest>,
    ) -> Result<Response<ListCasesResponse>, Status> {
        let request = request.into_inner();
        let agent = self.filter(&request.agent).await?;
        let cases = self.store.cases(agent).await.map_err(status)?;
        Ok(Response::new(ListCasesResponse {
            cases: cases.into_iter().map(wire::Case::from).collect(),
        }))
    }

    async fn optimize(
        &self,
        request: Request<OptimizeRequest>,
    ) -> Result<Response<OptimizeResponse>, Status> {
        let agent = request.into_inner().agent;
        let round = if agent.is_empty() {
            self.optimizer.round(false).await
        } else {
            requests::agent_name(&agent)?;
            self.optimizer.improve_one(&agent).await
        };
        Ok(Response::new(round.map_err(status)?.into()))
    }

    async fn list_versions(
        &self,
        request: Request<ListVersionsRequest>,
    ) -> Result<Response<ListVersionsResponse>, Status> {
        let agent = request.into_inner().agent;
        requests::agent_name(&agent)?;
        self.look().await.map_err(status)?;
        self.optimizer.roster.check(&agent).await.map_err(status)?;
        let versions = self.store.versions(&agent).await.map_err(status)?;
        Ok(Response::new(ListVersionsResponse {
            versions: versions.into_iter().map(wire::Version::from).collect(),
        }))
    }

    async fn roll_back(
        &self,
        request: Request<RollBackRequest>,
    ) -> Result<Response<RollBackResponse>, Status> {
        let RollBackRequest { agent, version } = request.into_inner();
        requests::roll_back(&agent, &version)?;
        let version = self.optimizer.roll_back(&agent, &version).await.map_err(status)?;
        Ok(Response::new(RollBackResponse { version: Some(version.into()) }))
    }
}
