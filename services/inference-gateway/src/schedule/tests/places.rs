//! Waiting, refusals, budgets, cancelling.

use futures::future::join_all;
use proptest::prelude::*;

use super::*;

fn request(agent: &str, cost: u32) -> PlaceRequest {
    PlaceRequest::new(AgentId::new(agent), cost)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Puts a request through, at 100 tokens per second.
async fn serve(scheduler: &Scheduler, request: PlaceRequest, tokens: u32) {
    let mut place = scheduler.place(request).await.unwrap();
    for n in 1..=tokens {
        advance(Duration::from_millis(10)).await;
        place.spend(0, n).unwrap();
    }
}

#[tokio::test]
async fn a_place_given_back_goes_to_who_waits() {
    let scheduler = Scheduler::new(limits(1, 1));
    let mut first = scheduler.place(request("a", 10)).await.unwrap();
    let mut second = Box::pin(scheduler.place(request("a", 10)));
    assert!(second.as_mut().now_or_never().is_none());
    let refused = scheduler.place(request("a", 10)).await.unwrap_err();
    assert!(matches!(refused, Error::QueueFull { waiting: 1, agent: None, .. }), "{refused}");
    first.spend(3, 4).unwrap();
    drop(first);
    let second = second.await.unwrap();
    let load = scheduler.load();
    assert_eq!((load.running, load.waiting, load.peak_running), (1, 0, 1));
    drop(second);
    let (_, load) = scheduler.load().agents[0];
    assert_eq!((load.finished, load.prompt_tokens, load.completion_tokens), (2, 3, 4));
}

#[tokio::test]
async fn who_stops_waiting_leaves_the_queue_at_every_moment() {
    let scheduler = Scheduler::new(limits(1, 2));
    // Before it is asked for at all.
    drop(Box::pin(scheduler.place(request("a", 10))));
    let first = scheduler.place(request("a", 10)).await.unwrap();
    for class in [Class::Interactive, Class::Batch] {
        let wanted = PlaceRequest { class, run: Some(RunId("r".to_owned())), ..request("b", 10) };
        let mut waits = Box::pin(scheduler.place(wanted));
        assert!(waits.as_mut().now_or_never().is_none());
        assert_eq!(scheduler.load().waiting, 1);
        drop(waits);
        assert_eq!(scheduler.load().waiting, 0);
    }
    // Served, but gone before it noticed.
    let mut served = Box::pin(scheduler.place(request("a", 10)));
    assert!(served.as_mut().now_or_never().is_none());
    drop(first);
    assert_eq!(scheduler.load().running, 1);
    drop(served);
    let load = scheduler.load();
    assert_eq!((load.running, load.waiting), (0, 0));
    // Nothing is left behind.
    scheduler.place(request("a", 10)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_never_run_more_than_there_are_places() {
    let scheduler = Scheduler::new(limits(3, 1_000));
    let tasks = (0..200).map(|n| {
        let scheduler = scheduler.clone();
        tokio::spawn(async move {
            let agent = format!("{}", n % 7);
            let class = if n % 3 == 0 { Class::Batch } else { Class::Interactive };
            let wanted = PlaceRequest { class, ..request(&agent, 50 + n) };
            let wait = Duration::from_millis(u64::from(n % 5));
            let placed = tokio::time::timeout(wait, scheduler.place(wanted)).await;
            assert!(scheduler.load().running <= 3);
            tokio::time::sleep(Duration::from_micros(200)).await;
            drop(placed);
        })
    });
    join_all(tasks).await.into_iter().for_each(|ended| ended.unwrap());
    let load = scheduler.load();
    assert_eq!((load.running, load.waiting, load.peak_running), (0, 0, 3));
    assert!(load.agents.iter().all(|(_, load)| (load.running, load.waiting) == (0, 0)));
}

#[tokio::test]
async fn one_agent_cannot_fill_the_queue_when_it_has_a_bound() {
    let mut begin = limits(1, 10);
    let few = AgentLimits { max_waiting: Some(1), ..AgentLimits::default() };
    begin.agents.insert(AgentId::new("a"), few);
    let scheduler = Scheduler::new(begin);
    let _first = scheduler.place(request("a", 10)).await.unwrap();
    let mut second = Box::pin(scheduler.place(request("a", 10)));
    assert!(second.as_mut().now_or_never().is_none());
    let refused = scheduler.check(&request("a", 0)).unwrap_err();
    assert!(refused.to_string().contains("1 requests of agent `a` wait"), "{refused}");
    scheduler.check(&request("b", 0)).unwrap();
    // At run time.
    let agents = [(AgentId::new("a"), AgentLimits::default())].into();
    scheduler.set_limits(Change { agents, ..Change::default() }).unwrap();
    scheduler.check(&request("a", 0)).unwrap();
    scheduler.set_limits(Change { max_waiting: Some(1), ..Change::default() }).unwrap();
    let refused = scheduler.check(&request("b", 0)).unwrap_err();
    assert!(matches!(refused, Error::QueueFull { agent: None, .. }), "{refused}");
}

#[tokio::test]
async fn more_places_serve_who_waits_at_once() {
    let scheduler = Scheduler::new(limits(3, 10));
    scheduler.set_limits(Change { max_running: Some(1), ..Change::default() }).unwrap();
    let _first = scheduler.place(request("a", 10)).await.unwrap();
    let mut second = Box::pin(scheduler.place(request("a", 10)));
    assert!(second.as_mut().now_or_never().is_none());
    scheduler.set_limits(Change { max_running: Some(3), ..Change::default() }).unwrap();
    assert!(second.now_or_never().unwrap().is_ok());
    let more = Change { max_running: Some(4), ..Change::default() };
    assert_eq!(scheduler.set_limits(more), Err(Impossible::Places(3)));
}

#[tokio::test(start_paused = true)]
async fn an_agents_hour_is_bounded_and_comes_back() {
    let scheduler = Scheduler::new(limits(2, 10));
    let hourly = Budget { tokens: Some(100), run_time: None };
    let agents = [(AgentId::new("a"), AgentLimits { hourly, ..AgentLimits::default() })].into();
    scheduler.set_limits(Change { agents, ..Change::default() }).unwrap();
    let mut place = scheduler.place(request("a", 500)).await.unwrap();
    let mut spent = 0;
    while place.spend(60, spent + 1).is_ok() {
        spent += 1;
    }
    assert_eq!(spent, 39, "to the step, its prompt included");
    drop(place);
    scheduler.place(request("b", 500)).await.unwrap();
    let refused = scheduler.place(request("a", 10)).await.unwrap_err();
    assert!(refused.to_string().contains("agent `a`'s hourly budget of tokens is spent"));
    let Error::BudgetSpent { retry_after: Some(again), .. } = refused else {
        panic!("when is there some again: {refused}");
    };
    assert!(again > seconds(3_600) && again <= seconds(3_660), "{again:?}");
    advance(again).await;
    scheduler.place(request("a", 10)).await.unwrap();
}

proptest! {
    /// However many of an agent's answers are made at once: together they take no more than its
    /// budget and what one step takes.
    #[test]
    fn answers_at_once_overrun_a_budget_by_one_step_at_most(
        most in 1_u64..2_000, at_once in 1_usize..8, piece in 1_u32..64,
    ) {
        let mut begin = limits(at_once, 10);
        begin.default.hourly.tokens = Some(most);
        let scheduler = Scheduler::new(begin);
        let mut places: Vec<_> = (0..at_once)
            .map(|_| scheduler.place(request("a", 9_999)).now_or_never().unwrap().unwrap())
            .map(|place| (place, 0))
            .collect();
        let mut sum = 0;
        while !places.is_empty() {
            places.retain_mut(|(place, tokens)| {
                *tokens += piece;
                sum += u64::from(piece);
                place.spend(0, *tokens).is_ok()
            });
        }
        let step = u64::from(piece) * u64::try_from(at_once).unwrap();
        prop_assert!(sum >= most && sum < most + step, "{sum} of {most}");
        prop_assert!(scheduler.check(&request("a", 0)).is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_runs_time_is_bounded_over_all_its_requests() {
    let scheduler = Scheduler::new(limits(2, 10));
    let budget = Budget { tokens: None, run_time: Some(seconds(3)) };
    let of = |agent, run: &str, run_budget| PlaceRequest {
        run: Some(RunId(run.to_owned())),
        run_budget,
        ..request(agent, 10)
    };
    let mut one = scheduler.place(of("a", "r", budget)).await.unwrap();
    let mut other = scheduler.place(of("b", "r", Budget::default())).await.unwrap();
    // It waits while the budget is spent by the others.
    let mut late = Box::pin(scheduler.place(of("c", "r", Budget::default())));
    assert!(late.as_mut().now_or_never().is_none());
    advance(seconds(1)).await;
    one.spend(1, 1).unwrap();
    other.spend(1, 1).unwrap();
    advance(seconds(1)).await;
    let spent = one.spend(1, 2).err().or(other.spend(1, 2).err()).unwrap();
    assert_eq!((spent.what, spent.retry_after), (Resource::RunTime, None));
    drop((one, other));
    let refused = late.await.unwrap_err();
    assert_eq!(refused.to_string(), "run `r`'s budget of run time is spent");
    assert_eq!(scheduler.load().running, 0, "its place is free again");
    scheduler.check(&of("a", "r", Budget::default())).unwrap_err();
    scheduler.check(&of("a", "another", budget)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_in_time_is_told_at_once() {
    let scheduler = Scheduler::new(limits(1, 100));
    let by = |agent, after| PlaceRequest {
        deadline: Some(Instant::now() + after),
        ..request(agent, 100)
    };
    // Nothing is known yet.
    drop(scheduler.place(by("a", Duration::from_millis(1))).await.unwrap());
    for _ in 0..5 {
        serve(&scheduler, request("a", 100), 100).await;
    }
    let _busy = scheduler.place(request("a", 100)).await.unwrap();
    // Ten of 100 tokens each, 10 seconds of work.
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let mut waits = Box::pin(scheduler.place(request("a", 100)));
            assert!(waits.as_mut().now_or_never().is_none());
            waits
        })
        .collect();
    let refused = scheduler.place(by("a", seconds(4))).await.unwrap_err();
    let Error::DeadlineTooShort { needed, left, retry_after } = refused else {
        panic!("it should be told: {refused}");
    };
    assert!(needed > seconds(9) && needed < seconds(12), "{needed:?}");
    assert_eq!(left, seconds(4));
    assert!(retry_after > seconds(4) && retry_after < seconds(8), "{retry_after:?}");
    // Only what is clear: it may go faster than expected.
    assert!(Box::pin(scheduler.place(by("a", seconds(7)))).now_or_never().is_none());
    // Another's turn comes soon.
    assert!(Box::pin(scheduler.place(by("b", seconds(2)))).now_or_never().is_none());
    // The answer alone would take too long.
    scheduler.place(by("b", Duration::from_millis(300))).await.unwrap_err();
    // Batch comes after them all.
    let batch = PlaceRequest { class: Class::Batch, ..by("b", seconds(4)) };
    scheduler.place(batch).await.unwrap_err();
    drop(waiting);
    assert_eq!(scheduler.load().waiting, 0);
}
