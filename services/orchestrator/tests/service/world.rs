//! An orchestrator in a small world.

use std::time::Duration;

use alina_client::PeerChannel;
use alina_proto::{
    Service,
    orchestrator::v1::{
        Event, EventKind, FollowRunRequest, GetRunRequest, ListStepsRequest, Run, RunState,
        StartRunRequest, Step, orchestrator_service_client::OrchestratorServiceClient,
    },
};
use alina_testkit::{Suite, SuiteBuilder};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::fakes::{FakeInference, FakeMemory, Serving, listen};

pub(crate) type Client = OrchestratorServiceClient<PeerChannel>;

/// The longest anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// The orchestrator with scripted models and a memory that keeps what it is told.
pub(crate) struct World {
    pub(crate) suite: Suite,
    pub(crate) inference: FakeInference,
    pub(crate) memory: FakeMemory,
    /// `None` while the models are away.
    pub(crate) inference_serving: Option<Serving>,
    pub(crate) inference_address: std::net::SocketAddr,
    _memory_serving: Serving,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(settings: impl FnOnce(SuiteBuilder) -> SuiteBuilder) -> Self {
        let inference = FakeInference::default();
        let memory = FakeMemory::default();
        let (inference_listener, memory_listener) = (listen(None).await, listen(None).await);
        let inference_address = inference_listener.local_addr().unwrap();
        let memory_address = memory_listener.local_addr().unwrap();
        let inference_serving = Some(inference.serve(inference_listener));
        let memory_serving = memory.serve(memory_listener);
        let agents = json!([
            {"name": "scribe", "description": "notes things", "instructions": "Note.",
             "tools": ["memory_remember"]},
            {"name": "writer", "description": "writes texts", "instructions": "Write.",
             "tools": []},
            {"name": "analyst", "description": "calculates", "instructions": "Calculate.",
             "tools": ["calculator", "clock"]},
        ]);
        let builder = Suite::builder()
            .service(Service::Orchestrator)
            .at(Service::InferenceGateway, format!("http://{inference_address}"))
            .at(Service::Memory, format!("http://{memory_address}"))
            .set("orchestrator.agents", agents);
        let suite = settings(builder).start().await;
        Self {
            suite,
            inference,
            memory,
            inference_serving,
            inference_address,
            _memory_serving: memory_serving,
        }
    }

    pub(crate) fn client(&self) -> Client {
        self.suite.connector().orchestrator()
    }

    /// The keys of a run's writes to memory, without the run's id.
    pub(crate) fn written_by(&self, run: &str) -> Vec<String> {
        let written = self.memory.written();
        written.keys().filter_map(|key| Some(key.strip_prefix(run)?[1..].to_owned())).collect()
    }
}

pub(crate) async fn start(client: &Client, goal: &str) -> String {
    let request = StartRunRequest { goal: goal.to_owned(), ..Default::default() };
    client.clone().start_run(request).await.unwrap().into_inner().run.unwrap().id
}

pub(crate) async fn get(client: &Client, run: &str) -> Run {
    let request = GetRunRequest { run_id: run.to_owned() };
    client.clone().get_run(request).await.unwrap().into_inner().run.unwrap()
}

pub(crate) async fn steps(client: &Client, run: &str) -> Vec<Step> {
    let request = ListStepsRequest { run_id: run.to_owned() };
    client.clone().list_steps(request).await.unwrap().into_inner().steps
}

/// All events after a sequence number up to the run's end.
pub(crate) async fn follow(client: &Client, run: &str, after: u64, deltas: bool) -> Vec<Event> {
    let request =
        FollowRunRequest { run_id: run.to_owned(), after_sequence: after, include_deltas: deltas };
    let all = async {
        let mut stream = client.clone().follow_run(request).await.unwrap().into_inner();
        let mut events = Vec::new();
        while let Some(response) = stream.message().await.unwrap() {
            events.push(response.event.unwrap());
        }
        events
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the run must end")
}

/// Waits until the run has ended in a state.
pub(crate) async fn ended(client: &Client, run: &str, state: RunState) -> Run {
    let mut last = None;
    until("the run's end", async || {
        let run = get(client, run).await;
        let is_open = matches!(run.state(), RunState::Queued | RunState::Running);
        last = Some(run);
        !is_open
    })
    .await;
    let run = last.unwrap();
    assert_eq!(run.state(), state, "{run:?}");
    run
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "{what} did not come");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The kinds of journalled events, whose numbers must have no gap.
pub(crate) fn kinds(events: &[Event]) -> Vec<EventKind> {
    let journalled: Vec<_> = events.iter().filter(|event| event.sequence > 0).collect();
    for pair in journalled.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1, "{pair:?}");
    }
    journalled.iter().map(|event| event.kind()).collect()
}
