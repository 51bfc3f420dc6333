//! Limits, budgets and use, between the wire and the domain.

use std::{collections::BTreeMap, time::Duration};

use tonic::Status;

use alina_proto::{
    inference::v1::{
        self as wire, HourlyUsage, ListUsageRequest, ListUsageResponse, SetLimitsRequest,
        SetLimitsResponse,
    },
    time,
};
use alina_service::status::Violations;

use super::request::name;
use crate::{
    chat::AgentId,
    schedule::{AgentLimits, Budget, Change, Class, Impossible, Limits, MOST_AGENTS, Weight},
    usage::{Hourly, Wanted},
};

const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// Whose waiting matters more.
pub(super) fn class(field: String, class: i32, bad: &mut Violations) -> Class {
    match wire::Class::try_from(class) {
        Ok(wire::Class::Unspecified) => Class::Interactive,
        Ok(wire::Class::Batch) => Class::Batch,
        Err(_) => {
            bad.add(field, "must be unspecified or batch");
            Class::Interactive
        }
    }
}

/// What may be used.
pub(super) fn budget(path: &str, budget: Option<wire::Budget>, bad: &mut Violations) -> Budget {
    let budget = budget.unwrap_or_default();
    let run_time = match &budget.run_time {
        Some(span) => time::std_duration(span).unwrap_or_else(|| {
            bad.add(format!("{path}.run_time"), "must not be negative");
            Duration::ZERO
        }),
        None => Duration::ZERO,
    };
    Budget {
        tokens: (budget.tokens > 0).then_some(budget.tokens),
        run_time: (!run_time.is_zero()).then_some(run_time),
    }
}

/// A change of limits.
pub(super) fn change(request: SetLimitsRequest) -> Result<Change, Status> {
    let mut bad = Violations::default();
    let running = request.max_running.is_none_or(|running| (1..=64).contains(&running));
    bad.check(running, "max_running", "must be 1 to 64");
    let waiting = request.max_waiting.is_none_or(|waiting| waiting <= 10_000);
    bad.check(waiting, "max_waiting", "must be 0 to 10,000");
    bad.check(request.agents.len() <= MOST_AGENTS, "agents", "must be at most 1,000");
    let mut agents = BTreeMap::new();
    for (n, agent) in request.agents.into_iter().enumerate() {
        let at = |field: &str| format!("agents[{n}].{field}");
        name(&mut bad, at("agent"), &agent.agent);
        let weight =
            if agent.weight == 0.0 { Some(Weight::default()) } else { Weight::new(agent.weight) };
        bad.check(weight.is_some(), at("weight"), "must be 0 (which means 1), or 0.001 to 1,000");
        bad.check(agent.max_waiting <= 10_000, at("max_waiting"), "must be 0 to 10,000");
        let limits = AgentLimits {
            weight: weight.unwrap_or_default(),
            max_waiting: count(agent.max_waiting).filter(|most| *most > 0),
            hourly: budget(&at("hourly"), agent.hourly, &mut bad),
        };
        let new = agents.insert(AgentId::new(&agent.agent), limits).is_none();
        bad.check(new, at("agent"), "must be unique");
    }
    bad.finish()?;
    let max_running = request.max_running.and_then(count);
    Ok(Change { max_running, max_waiting: request.max_waiting.and_then(count), agents })
}

fn count(n: u32) -> Option<usize> {
    usize::try_from(n).ok()
}

/// Why limits cannot be changed so.
pub(super) fn impossible(why: Impossible) -> Status {
    let mut bad = Violations::default();
    match why {
        Impossible::Places(places) => bad
            .add("max_running", format!("must be 1 to {places}, what the engine was started with")),
        Impossible::Agents => bad.add("agents", "must be at most 1,000, with those set before"),
    }
    bad.finish().err().unwrap_or_else(|| Status::invalid_argument("limits"))
}

/// The limits in force.
pub(super) fn limits(limits: Limits) -> SetLimitsResponse {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let agents = limits.agents.into_iter().map(|(agent, limits)| wire::AgentLimits {
        agent: agent.0,
        weight: limits.weight.get(),
        max_waiting: limits.max_waiting.map(number).unwrap_or_default(),
        hourly: (limits.hourly != Budget::default()).then(|| wire::Budget {
            tokens: limits.hourly.tokens.unwrap_or_default(),
            run_time: limits.hourly.run_time.map(time::duration),
        }),
    });
    SetLimitsResponse {
        max_running: number(limits.max_running),
        max_waiting: number(limits.max_waiting),
        agents: agents.collect(),
    }
}

/// Which totals are asked for.
pub(super) fn wanted(request: ListUsageRequest) -> Result<Wanted, Status> {
    let mut bad = Violations::default();
    name(&mut bad, "agent".to_owned(), &request.agent);
    name(&mut bad, "run_id".to_owned(), &request.run_id);
    bad.check(request.model.len() <= 256, "model", "must be at most 256 bytes");
    bad.check(!request.model.contains('\0'), "model", "must not hold the character NUL");
    let since = match &request.since {
        Some(since) => time::std_duration(since).unwrap_or(Duration::MAX),
        None => DAY,
    };
    bad.check(since <= YEAR, "since", "must be 0 to 366 days");
    bad.finish()?;
    let set = |text: String| (!text.is_empty()).then_some(text);
    Ok(Wanted {
        agent: set(request.agent),
        run: set(request.run_id),
        model: set(request.model),
        since,
    })
}

/// Totals.
pub(super) fn usage(hours: Vec<Hourly>) -> ListUsageResponse {
    ListUsageResponse { hours: hours.into_iter().map(hour).collect() }
}

fn hour(of: Hourly) -> HourlyUsage {
    let number = |n: i64| u64::try_from(n).unwrap_or_default();
    let span = |seconds: f64| {
        Some(time::duration(Duration::try_from_secs_f64(seconds).unwrap_or_default()))
    };
    HourlyUsage {
        hour: Some(time::timestamp(of.hour)),
        agent: of.agent,
        run_id: of.run_id,
        model: of.model,
        requests: number(of.requests),
        prompt_tokens: number(of.prompt_tokens),
        completion_tokens: number(of.completion_tokens),
        reused_tokens: number(of.reused_tokens),
        queue_time: span(of.queue_seconds),
        run_time: span(of.run_seconds),
        cpu_time: span(of.cpu_seconds),
    }
}
