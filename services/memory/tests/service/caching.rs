//! No read is older than what was acknowledged before it began, whatever happens to Redis.
//!
//! Each meter has a writer of its own, so that its states have an order: a reader notes which state
//! was acknowledged last before it asks, and which was begun last when it has its answer. What it
//! reads must be one of those between.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alina_proto::{
    Service,
    memory::v1::{
        BuildContextRequest, FactInput, ForgetRequest, GetEntityRequest, ItemKind, RememberRequest,
        RestoreRequest, RetractRequest, SearchRequest, forget_request::Target,
    },
};
use alina_testkit::{Suite, TestRedis};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;

use crate::{Memory, fact, memory};

/// Writers, each with a meter; two namespaces share them.
const METERS: usize = 6;
const READERS: usize = 8;
/// Reads and writes, unless `ALINA_CACHE_OPERATIONS` says otherwise.
const OPERATIONS: usize = 3_000;

/// What a meter shows: nothing before its first fact.
type State = Option<u64>;

struct Meter {
    name: String,
    namespace: String,
    /// All states that were ever begun, in order.
    begun: Mutex<Vec<State>>,
    /// The place of the last one that was acknowledged.
    acknowledged: AtomicUsize,
}

impl Meter {
    fn new(number: usize) -> Self {
        Self {
            name: format!("zeta{number}"),
            namespace: ["default", "other"][number % 2].to_owned(),
            begun: Mutex::new(vec![None]),
            acknowledged: AtomicUsize::new(0),
        }
    }

    fn begin(&self, state: State) {
        self.begun.lock().unwrap().push(state);
    }

    fn acknowledge(&self) {
        let last = self.begun.lock().unwrap().len() - 1;
        self.acknowledged.store(last, Ordering::SeqCst);
    }

    fn check(&self, from: usize, read: State, how: &str) {
        let begun = self.begun.lock().unwrap();
        let (may_be, name) = (&begun[from..], &self.name);
        assert!(may_be.contains(&read), "{how} of {name} gave {read:?}; it was {may_be:?}");
    }
}

/// The facts of a meter that are not forgotten, oldest first, and whether each is retracted.
type Shown = Vec<(u64, String, bool)>;

fn state(shown: &Shown) -> State {
    shown.iter().rfind(|(_, _, retracted)| !retracted).map(|(value, ..)| *value)
}

async fn write(memory: &mut Memory, meter: &Meter, shown: &mut Shown, rng: &mut impl Rng) {
    let namespace = meter.namespace.clone();
    let last = shown.len().checked_sub(1);
    match (rng.random_range(0..10), last) {
        (0..2, Some(last)) => {
            let id = shown[last].1.clone();
            let retracted = &mut shown[last].2;
            *retracted = !*retracted;
            let retract = *retracted;
            meter.begin(state(shown));
            if retract {
                let request = RetractRequest { namespace, id, ..RetractRequest::default() };
                memory.retract(request).await.expect("it is retracted");
            } else {
                memory.restore(RestoreRequest { namespace, id }).await.expect("it is restored");
            }
        }
        (2, Some(_)) => {
            let target = shown.pop().map(|(_, id, _)| Target::Id(id));
            meter.begin(state(shown));
            let request = ForgetRequest { namespace, target, ..ForgetRequest::default() };
            memory.forget(request).await.expect("it is forgotten");
        }
        _ => {
            // One that is retracted and not the last would come between others when restored.
            shown.retain(|(_, _, retracted)| !retracted);
            let value = meter.begun.lock().unwrap().len() as u64;
            shown.push((value, String::new(), false));
            meter.begin(state(shown));
            let shows =
                FactInput { functional: true, ..fact(&meter.name, "shows", &value.to_string()) };
            let request =
                RememberRequest { namespace, facts: vec![shows], ..RememberRequest::default() };
            let written = memory.remember(request).await.expect("it is written").into_inner();
            shown.last_mut().unwrap().1.clone_from(&written.fact_ids[0]);
        }
    }
    meter.acknowledge();
}

async fn read(memory: &mut Memory, meter: &Meter, rng: &mut impl Rng) {
    let from = meter.acknowledged.load(Ordering::SeqCst);
    let (namespace, name) = (meter.namespace.clone(), meter.name.clone());
    let shows = format!("{name} shows ");
    let value = |text: &str| text.split(&shows).nth(1)?.split_whitespace().next()?.parse().ok();
    let (read, how): (State, _) = match rng.random_range(0..8) {
        0 => {
            let kinds = vec![ItemKind::Fact.into()];
            let request =
                SearchRequest { namespace, query: name, kinds, ..SearchRequest::default() };
            let found = memory.search(request).await.expect("a search").into_inner().results;
            let values: Vec<u64> = found.iter().filter_map(|found| value(&found.text)).collect();
            assert!(values.len() <= 1, "a functional fact has one object: {values:?}");
            (values.first().copied(), "Search")
        }
        1 => {
            let request = BuildContextRequest {
                namespace,
                query: name,
                token_budget: 2_000,
                ..BuildContextRequest::default()
            };
            let context = memory.build_context(request).await.expect("a context").into_inner();
            (value(&context.context), "BuildContext")
        }
        _ => {
            let request = GetEntityRequest { namespace, name, ..GetEntityRequest::default() };
            let facts = match memory.get_entity(request).await {
                Ok(entity) => entity.into_inner().facts,
                Err(status) if status.code() == tonic::Code::NotFound => Vec::new(),
                Err(status) => panic!("{status}"),
            };
            let now = facts.iter().find(|fact| fact.valid_to.is_none());
            (now.and_then(|fact| fact.object.parse().ok()), "GetEntity")
        }
    };
    meter.check(from, read, how);
}

/// One of the things that happen to Redis.
async fn harm(redis: &mut TestRedis, rng: &mut impl Rng) {
    let millis = Duration::from_millis(rng.random_range(20..400));
    let command = match rng.random_range(0..7) {
        0 => {
            redis.kill().await;
            tokio::time::sleep(millis).await;
            return redis.restart().await;
        }
        1 => {
            redis.freeze().await;
            tokio::time::sleep(millis).await;
            return redis.thaw().await;
        }
        2 => "FLUSHALL".to_owned(),
        3 => "CLIENT KILL TYPE normal SKIPME yes".to_owned(),
        4 => format!("CLIENT PAUSE {} ALL", millis.as_millis()),
        5 => "CONFIG SET maxmemory 1mb".to_owned(),
        _ => "CONFIG SET maxmemory 0".to_owned(),
    };
    let mut words = command.split(' ');
    let mut command = redis::cmd(words.next().unwrap_or_default());
    words.for_each(|word| {
        command.arg(word);
    });
    let client = redis::Client::open(redis.url()).expect("an address");
    let connection = client.get_multiplexed_async_connection().await;
    // A paused one answers later, or not at all.
    if let Ok(mut connection) = connection {
        let _ = command.query_async::<redis::Value>(&mut connection).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_is_older_than_what_was_acknowledged() {
    let operations = std::env::var("ALINA_CACHE_OPERATIONS").ok();
    let operations = operations.map_or(OPERATIONS, |number| number.parse().expect("a number"));
    let seed: u64 = std::env::var("ALINA_SEED")
        .map_or_else(|_| rand::random_range(0..1 << 32), |seed| seed.parse().unwrap());
    println!("ALINA_SEED={seed}");
    let services = [Service::Memory, Service::InferenceGateway];
    let builder = services.into_iter().fold(Suite::builder(), |suite, one| suite.service(one));
    let mut suite = builder.start().await;
    let memory = memory(&suite.connector());
    let meters: Arc<Vec<Meter>> = Arc::new((0..METERS).map(Meter::new).collect());
    let left = Arc::new(AtomicUsize::new(operations));
    let go_on = |left: &AtomicUsize| {
        let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        taken.is_ok()
    };

    let mut tasks = JoinSet::new();
    for number in 0..METERS {
        let (mut memory, meters, left) = (memory.clone(), Arc::clone(&meters), Arc::clone(&left));
        let mut rng = StdRng::seed_from_u64(seed + number as u64);
        tasks.spawn(async move {
            let mut shown = Shown::new();
            while go_on(&left) {
                write(&mut memory, &meters[number], &mut shown, &mut rng).await;
                tokio::time::sleep(Duration::from_millis(rng.random_range(0..40))).await;
            }
        });
    }
    for number in 0..READERS {
        let (mut memory, meters, left) = (memory.clone(), Arc::clone(&meters), Arc::clone(&left));
        let mut rng = StdRng::seed_from_u64(seed + 1_000 + number as u64);
        tasks.spawn(async move {
            while go_on(&left) {
                let meter = &meters[rng.random_range(0..METERS)];
                read(&mut memory, meter, &mut rng).await;
            }
        });
    }
    let mut rng = StdRng::seed_from_u64(seed + 2_000);
    let mut harms = 0;
    while !tasks.is_empty() {
        // Mostly Redis is well, or nothing would be read from it.
        let pause = Duration::from_millis(rng.random_range(100..1_500));
        if let Ok(Some(ended)) = tokio::time::timeout(pause, tasks.join_next()).await {
            ended.expect("no read was stale");
            continue;
        }
        harm(suite.redis().expect("a Redis"), &mut rng).await;
        harms += 1;
    }
    let metrics = reqwest::get(suite.metrics_url(Service::Memory)).await.expect("metrics");
    let metrics = metrics.text().await.expect("metrics");
    let looked = |result: &str| -> u64 {
        let line = metrics.lines().find(|line| {
            line.starts_with("alina_memory_cache_total") && line.contains(&format!("\"{result}\""))
        });
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
    };
    let (hits, misses, away) = (looked("hit"), looked("miss"), looked("away"));
    println!(
        "{operations} operations, {harms} faults of Redis: {hits} hits, {misses} misses, {away} \
         times away"
    );
    assert!(hits > 0, "nothing was read from the cache: this tests nothing");
}
