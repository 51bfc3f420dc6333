//! Shares, budgets, deadlines, and what was used.

use std::time::{Duration, Instant};

use alina_client::deadline;
use alina_proto::{
    Service,
    inference::v1::{
        AgentLimits, Budget, ChatRequest, ChatStreamRequest, Class, FinishReason, HourlyUsage,
        ListUsageRequest, SetLimitsRequest, SetLimitsResponse,
    },
    time,
};
use futures::{StreamExt, future::join_all};
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{Client, ask, assert_refused, chat, gateway, load, long, stream, wait_for};

async fn set_limits(
    client: &Client,
    request: SetLimitsRequest,
) -> Result<SetLimitsResponse, Status> {
    client.clone().set_limits(request).await.map(tonic::Response::into_inner)
}

async fn usage(client: &Client, request: ListUsageRequest) -> Result<Vec<HourlyUsage>, Status> {
    client.clone().list_usage(request).await.map(|response| response.into_inner().hours)
}

fn tokens(tokens: u64) -> Option<Budget> {
    Some(Budget { tokens, run_time: None })
}

fn waits(
    client: &Client,
    request: ChatRequest,
) -> tokio::task::JoinHandle<Result<Duration, Status>> {
    let client = client.clone();
    tokio::spawn(async move {
        let usage = chat(&client, request).await?.usage.unwrap_or_default();
        Ok(usage.queue_time.and_then(|span| time::std_duration(&span)).unwrap_or_default())
    })
}

fn median(mut spans: Vec<Duration>) -> Duration {
    spans.sort();
    spans[spans.len() / 2]
}

#[tokio::test]
async fn a_flood_of_one_agent_does_not_keep_another_waiting() {
    let suite = gateway().set("inference_gateway.max_running", json!(2)).start().await;
    let client = suite.connector().inference();
    chat(&client, ask("Hello")).await.unwrap();
    let flood: Vec<_> = (0..50).map(|_| waits(&client, long("flood", 12))).collect();
    wait_for(&client, |load| load.waiting == 48).await;
    let mut guest = Vec::new();
    for _ in 0..5 {
        guest.push(waits(&client, long("guest", 4)).await.unwrap().unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(load(&client).await.waiting > 0, "the flood went on all the while");
    let flood = join_all(flood).await.into_iter().map(|wait| wait.unwrap().unwrap()).collect();
    let (guest, flood) = (median(guest), median(flood));
    // 48 wait before a newcomer in a plain queue: here some two.
    assert!(guest * 5 < flood, "the guest waited {guest:?}, the flood {flood:?}");
}

#[tokio::test]
async fn batch_comes_after_interactive_requests() {
    let suite = gateway().set("inference_gateway.max_running", json!(1)).start().await;
    let client = suite.connector().inference();
    chat(&client, ask("Hello")).await.unwrap();
    let first = waits(&client, long("busy", 60));
    wait_for(&client, |load| load.running == 1).await;
    let batch = ChatRequest { class: Class::Batch.into(), ..long("batch", 10) };
    let batch = waits(&client, batch);
    wait_for(&client, |load| load.waiting == 1).await;
    let busy: Vec<_> = (0..3).map(|_| waits(&client, long("busy", 10))).collect();
    let busy = join_all(busy).await.into_iter().map(|wait| wait.unwrap().unwrap()).max().unwrap();
    first.await.unwrap().unwrap();
    let batch = batch.await.unwrap().unwrap();
    assert!(batch > busy, "batch came first and waited {batch:?}, the others {busy:?}");
}

#[tokio::test]
async fn limits_change_while_it_runs() {
    let suite = gateway()
        .set("inference_gateway.agents", json!([{ "name": "configured", "weight": 2.5 }]))
        .start()
        .await;
    let client = suite.connector().inference();
    let begin = set_limits(&client, SetLimitsRequest::default()).await.unwrap();
    assert_eq!((begin.max_running, begin.max_waiting), (4, 64));
    let [configured] = begin.agents.as_slice() else { panic!("{begin:?}") };
    assert_eq!((configured.agent.as_str(), configured.weight), ("configured", 2.5));

    let few = AgentLimits { agent: "few".to_owned(), max_waiting: 1, ..AgentLimits::default() };
    let usual = AgentLimits { agent: "configured".to_owned(), ..AgentLimits::default() };
    let change = SetLimitsRequest {
        max_running: Some(1),
        max_waiting: Some(2),
        agents: vec![few.clone(), usual],
    };
    let changed = set_limits(&client, change).await.unwrap();
    let few = AgentLimits { weight: 1.0, ..few };
    assert_eq!((changed.max_running, changed.max_waiting), (1, 2));
    assert_eq!(changed.agents, [few], "only what differs from the default is told");
    let now = load(&client).await;
    assert_eq!((now.max_running, now.max_waiting), (1, 2));

    let held: Vec<_> = (0..2).map(|_| waits(&client, long("few", 100))).collect();
    wait_for(&client, |load| load.running == 1 && load.waiting == 1).await;
    let full = chat(&client, long("few", 1)).await;
    let says = assert_refused(full, Code::ResourceExhausted, "QUEUE_FULL");
    assert!(says.contains("of agent `few`"), "{says}");
    chat(&client, long("other", 1)).await.unwrap();
    for wait in held {
        wait.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn impossible_limits_are_refused_field_by_field() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let agent = |agent: &str, weight| AgentLimits {
        agent: agent.to_owned(),
        weight,
        ..AgentLimits::default()
    };
    let request = SetLimitsRequest {
        max_running: Some(0),
        max_waiting: Some(10_001),
        agents: vec![agent("a", -1.0), agent("a", f64::NAN), agent(&"x".repeat(129), 0.0)],
    };
    let refused = set_limits(&client, request).await;
    let says = assert_refused(refused, Code::InvalidArgument, "INVALID_REQUEST");
    for field in ["max_running", "max_waiting", "agents[0].weight", "agents[1].weight"] {
        assert!(says.contains(field), "{field} is missing of: {says}");
    }
    assert!(says.contains("agents[1].agent must be unique"), "{says}");
    assert!(says.contains("agents[2].agent"), "{says}");
    let more = SetLimitsRequest { max_running: Some(5), ..SetLimitsRequest::default() };
    let says =
        assert_refused(set_limits(&client, more).await, Code::InvalidArgument, "INVALID_REQUEST");
    assert!(says.contains("1 to 4, what the engine was started with"), "{says}");
    let unlimited = ChatRequest { run_budget: tokens(9), ..ask("x") };
    let says =
        assert_refused(chat(&client, unlimited).await, Code::InvalidArgument, "INVALID_REQUEST");
    assert!(says.contains("run_id must be set with run_budget"), "{says}");
}

#[tokio::test]
async fn an_answer_ends_when_the_agents_hour_is_spent() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let prompt = chat(&client, long("measure", 1)).await.unwrap().usage.unwrap().prompt_tokens;
    let budget = u64::from(prompt) + 20;
    let agents = vec![AgentLimits {
        agent: "a".to_owned(),
        hourly: tokens(budget),
        ..AgentLimits::default()
    }];
    set_limits(&client, SetLimitsRequest { agents, ..SetLimitsRequest::default() }).await.unwrap();
    let (_, answer) = stream(&client, long("a", 200)).await;
    assert_eq!(answer.finish_reason(), FinishReason::Budget);
    assert_eq!(answer.usage.unwrap().completion_tokens, 20);
    let refused = chat(&client, ask_as("a")).await.unwrap_err();
    let retry = refused.get_details_retry_info().expect("when there is some again");
    let retry = retry.retry_delay.unwrap();
    assert!(retry > Duration::from_secs(3_500) && retry < Duration::from_secs(3_700), "{retry:?}");
    let says = assert_refused::<()>(Err(refused), Code::ResourceExhausted, "BUDGET_SPENT");
    assert!(says.contains("agent `a`'s hourly budget of tokens is spent"), "{says}");
    chat(&client, ask_as("b")).await.unwrap();

    // In the midst of a prompt, too: by no more than a step.
    let agents =
        vec![AgentLimits { agent: "c".to_owned(), hourly: tokens(300), ..AgentLimits::default() }];
    set_limits(&client, SetLimitsRequest { agents, ..SetLimitsRequest::default() }).await.unwrap();
    let request = ChatRequest { agent: "c".to_owned(), ..ask("word ".repeat(2_000)) };
    let answer = chat(&client, request).await.unwrap();
    assert_eq!((answer.finish_reason(), answer.content.as_str()), (FinishReason::Budget, ""));
    let read = answer.usage.unwrap().prompt_tokens;
    assert!((300..300 + 256).contains(&read), "{read}");
}

fn ask_as(agent: &str) -> ChatRequest {
    ChatRequest { agent: agent.to_owned(), ..ask("Hello") }
}

#[tokio::test]
async fn a_runs_budget_ends_its_answers_for_good() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let prompt = chat(&client, long("measure", 1)).await.unwrap().usage.unwrap().prompt_tokens;
    let of = |agent: &str, budget| ChatRequest {
        run_id: "run-1".to_owned(),
        run_budget: budget,
        ..long(agent, 30)
    };
    let first = chat(&client, of("a", tokens(u64::from(prompt) * 2 + 40))).await.unwrap();
    assert_eq!(first.finish_reason(), FinishReason::Length);
    // Another agent, the same run; what it says of the budget comes too late.
    let second = chat(&client, of("b", tokens(1_000_000))).await.unwrap();
    assert_eq!(second.finish_reason(), FinishReason::Budget);
    assert_eq!(second.usage.unwrap().completion_tokens, 10);
    let refused = chat(&client, of("a", None)).await.unwrap_err();
    assert!(refused.get_details_retry_info().is_none(), "never again");
    assert_refused::<()>(Err(refused), Code::ResourceExhausted, "BUDGET_SPENT");

    let run_time = Some(time::duration(Duration::from_millis(400)));
    let timed = ChatRequest {
        run_id: "run-2".to_owned(),
        run_budget: Some(Budget { tokens: 0, run_time }),
        ..long("a", 3_000)
    };
    let timed = chat(&client, timed).await.unwrap();
    assert_eq!(timed.finish_reason(), FinishReason::Budget);
}

#[tokio::test]
async fn who_cannot_be_in_time_is_told_at_once() {
    let suite = gateway().set("inference_gateway.max_running", json!(1)).start().await;
    let client = suite.connector().inference();
    let done: Vec<_> = (0..6).map(|_| waits(&client, long("busy", 40))).collect();
    for done in join_all(done).await {
        done.unwrap().unwrap();
    }
    let held: Vec<_> = (0..40).map(|_| waits(&client, long("busy", 60))).collect();
    wait_for(&client, |load| load.waiting == 39).await;
    let begun = Instant::now();
    let limit = Duration::from_millis(1_500);
    let refused = deadline::within(limit, chat(&client, long("busy", 60))).await.unwrap_err();
    assert!(begun.elapsed() < limit, "before the deadline, not at it");
    assert!(refused.get_details_retry_info().is_some());
    let says = assert_refused::<()>(Err(refused), Code::ResourceExhausted, "DEADLINE_TOO_SHORT");
    assert!(says.contains("the call's deadline is in 1."), "{says}");
    // Another's turn comes soon enough, and who has time waits.
    let request = ChatStreamRequest { chat: Some(long("other", 4)) };
    let mut other = deadline::within(Duration::from_secs(60), async {
        client.clone().chat_stream(request).await
    })
    .await
    .unwrap()
    .into_inner();
    while let Some(event) = other.next().await {
        event.unwrap();
    }
    for held in held {
        held.abort();
    }
}

#[tokio::test]
async fn what_was_used_is_listed_and_measured() {
    let mut suite = gateway().own_postgres().start().await;
    let client = suite.connector().inference();
    let ask = |agent: &str, run: &str| ChatRequest { run_id: run.to_owned(), ..ask_as(agent) };
    let first = chat(&client, ask("a", "r1")).await.unwrap().usage.unwrap();
    let again = chat(&client, ask("a", "r1")).await.unwrap().usage.unwrap();
    chat(&client, ask("a", "r2")).await.unwrap();
    chat(&client, ask("b", "")).await.unwrap();
    let begun = Instant::now();
    // PostgreSQL is reached in the background.
    let all = loop {
        match usage(&client, ListUsageRequest::default()).await {
            Ok(all) => break all,
            Err(error) => {
                assert_refused::<()>(Err(error), Code::Unavailable, "STORE_UNAVAILABLE");
                assert!(begun.elapsed() < Duration::from_secs(30), "it is not reached");
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let sum: u64 = all.iter().map(|hour| hour.requests).sum();
    assert_eq!(sum, 4, "{all:?}");
    // A restarted process adds to it; the test may cross the hour.
    suite.kill(Service::InferenceGateway).await;
    suite.restart(Service::InferenceGateway).await;
    let client = suite.connector().inference();
    let third = chat(&client, ask("a", "r1")).await.unwrap().usage.unwrap();
    let of_run = ListUsageRequest { run_id: "r1".to_owned(), ..ListUsageRequest::default() };
    let listed = loop {
        match usage(&client, of_run.clone()).await {
            Ok(listed) => break listed,
            Err(_) => assert!(begun.elapsed() < Duration::from_secs(60), "it is not reached"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let sum = |of: fn(&HourlyUsage) -> u64| listed.iter().map(of).sum::<u64>();
    assert_eq!(sum(|hour| hour.requests), 3, "{listed:?}");
    let prompts = first.prompt_tokens + again.prompt_tokens + third.prompt_tokens;
    assert_eq!(sum(|hour| hour.prompt_tokens), u64::from(prompts));
    let answers = first.completion_tokens + again.completion_tokens + third.completion_tokens;
    assert_eq!(sum(|hour| hour.completion_tokens), u64::from(answers));
    assert!(listed.iter().all(|hour| hour.agent == "a" && hour.run_id == "r1"));
    assert!(listed.iter().all(|hour| hour.run_time.is_some_and(|time| time.nanos > 0)));
    let none = ListUsageRequest { agent: "nobody".to_owned(), ..ListUsageRequest::default() };
    assert!(usage(&client, none).await.unwrap().is_empty());
    let since = Some(time::duration(Duration::from_secs(400 * 86_400)));
    let long_ago = ListUsageRequest { since, ..ListUsageRequest::default() };
    assert_refused(usage(&client, long_ago).await, Code::InvalidArgument, "INVALID_REQUEST");

    let metrics = reqwest::get(suite.metrics_url(Service::InferenceGateway)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for name in [
        "gen_ai_client_token_usage_count{",
        "gen_ai_server_request_duration_seconds_count{",
        "gen_ai_server_time_to_first_token_seconds_count{",
        "gen_ai_server_time_per_output_token_seconds_count{",
        "alina_inference_queue_seconds_count{",
        "alina_inference_reused_tokens_total{",
        "alina_inference_cpu_seconds_total{",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "{name} of {metrics}");
    }

    suite.kill_postgres().await;
    let away = usage(&client, ListUsageRequest::default()).await;
    assert_refused(away, Code::Unavailable, "STORE_UNAVAILABLE");
    chat(&client, ask("a", "r1")).await.unwrap();
}
