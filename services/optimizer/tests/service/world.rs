//! An optimizer in a small world.

use std::time::Duration;

use alina_client::PeerChannel;
use alina_proto::{
    Service,
    optimizer::v1::{
        AddCaseRequest, AgentScore, Case, Expectation, ListAgentScoresRequest, ListScoresRequest,
        ListVersionsRequest, OptimizeRequest, OptimizeResponse, RollBackRequest, Score, Version,
        optimizer_service_client::OptimizerServiceClient,
    },
};
use alina_testkit::{Suite, SuiteBuilder};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tonic::Status;

use crate::fakes::{FakeInference, FakeMemory, FakeOrchestrator};

pub(crate) type Client = OptimizerServiceClient<PeerChannel>;

/// The longest anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a model says over and over, and what it says when it is told well.
pub(crate) const LOOP: &str = "the same again and the same again and the same again and the same \
    again and the same again and the same again";
pub(crate) const GOOD: &str = "Take tram 28 up to Graça and enjoy the view over the old town.";

/// The optimizer; rounds only on demand.
pub(crate) struct World {
    pub(crate) suite: Suite,
    pub(crate) orchestrator: FakeOrchestrator,
    pub(crate) inference: FakeInference,
    pub(crate) memory: FakeMemory,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(settings: impl FnOnce(SuiteBuilder) -> SuiteBuilder) -> Self {
        let (orchestrator, orchestrator_url) = FakeOrchestrator::start().await;
        let (inference, inference_url) = FakeInference::start().await;
        let (memory, memory_url) = FakeMemory::start().await;
        let builder = Suite::builder()
            .service(Service::Optimizer)
            .at(Service::Orchestrator, orchestrator_url)
            .at(Service::InferenceGateway, inference_url)
            .at(Service::Memory, memory_url)
            .set("optimizer.interval_minutes", json!(0));
        let suite = settings(builder).start().await;
        Self { suite, orchestrator, inference, memory }
    }

    /// A world whose writer loops by its instructions, and does well when these have "exact".
    pub(crate) async fn with_weak_writer() -> Self {
        let world = Self::new().await;
        world.weaken();
        world
    }

    fn weaken(&self) {
        {
            let mut models = self.inference.state();
            models.answer =
                |system| if system.contains("exact") { GOOD.into() } else { LOOP.into() };
            models.judge = |question| if question.contains("tram") { 9 } else { 2 };
            models.new_instructions = "Be exact.".into();
        }
        for number in 1..=6 {
            self.orchestrator.put_out("writer", &format!("Way to place {number}?"), LOOP);
        }
    }

    pub(crate) fn client(&self) -> Client {
        self.suite.connector().optimizer()
    }

    pub(crate) async fn optimize(&self, agent: &str) -> Result<OptimizeResponse, Status> {
        let request = OptimizeRequest { agent: agent.into() };
        self.client().optimize(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn scores(&self, agent: &str) -> Vec<Score> {
        let request =
            ListScoresRequest { agent: agent.into(), page_size: 500, ..Default::default() };
        self.client().list_scores(request).await.unwrap().into_inner().scores
    }

    pub(crate) async fn agent(&self, name: &str) -> AgentScore {
        let answer = self.client().list_agent_scores(ListAgentScoresRequest {}).await;
        let agents = answer.unwrap().into_inner().agents;
        agents.into_iter().find(|agent| agent.agent == name).unwrap()
    }

    pub(crate) async fn versions(&self, agent: &str) -> Vec<Version> {
        let request = ListVersionsRequest { agent: agent.into() };
        self.client().list_versions(request).await.unwrap().into_inner().versions
    }

    pub(crate) async fn roll_back(&self, agent: &str, version: &str) -> Result<Version, Status> {
        let request = RollBackRequest { agent: agent.into(), version: version.into() };
        let answer = self.client().roll_back(request).await;
        answer.map(|answer| answer.into_inner().version.unwrap())
    }

    pub(crate) async fn add_case(
        &self,
        agent: &str,
        input: &str,
        required: &str,
        key: &str,
    ) -> Result<Case, Status> {
        let expectation = Expectation { required: vec![required.into()], ..Default::default() };
        let request = AddCaseRequest {
            agent: agent.into(),
            input: input.into(),
            expectation: Some(expectation),
            idempotency_key: key.into(),
        };
        self.client().add_case(request).await.map(|answer| answer.into_inner().case.unwrap())
    }
}

/// Name and whether in force, newest first.
pub(crate) fn names(versions: &[Version]) -> Vec<(&str, bool)> {
    versions.iter().map(|version| (version.version.as_str(), version.in_force)).collect()
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "{what} did not come");
        sleep(Duration::from_millis(20)).await;
    }
}
