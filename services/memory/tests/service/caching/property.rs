//! No read is older than what was acknowledged before it began, whatever happens to Redis.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use alina_proto::Service;
use alina_testkit::Suite;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;

use super::{
    faults::harm,
    meters::{Meter, Writer, read},
};
use crate::{insisting::sound, memory};

/// Each with a writer; two namespaces share them.
const METERS: usize = 6;
const READERS: usize = 8;
/// Reads and writes, unless `ALINA_CACHE_OPERATIONS` says otherwise.
const OPERATIONS: usize = 3_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_is_older_than_what_was_acknowledged() {
    let operations = std::env::var("ALINA_CACHE_OPERATIONS").ok();
    let operations = operations.map_or(OPERATIONS, |number| number.parse().expect("a number"));
    let seed: u64 = std::env::var("ALINA_SEED")
        .map_or_else(|_| rand::random_range(0..1 << 32), |seed| seed.parse().unwrap());
    println!("ALINA_SEED={seed}");
    let builder = Suite::builder().service(Service::Memory).service(Service::InferenceGateway);
    let mut suite = builder.start().await;
    let memory = memory(&suite.connector());
    let meters: Arc<Vec<Meter>> = Arc::new((0..METERS).map(Meter::new).collect());
    let left = Arc::new(AtomicUsize::new(operations));
    let go_on = |left: &AtomicUsize| {
        let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        taken.is_ok()
    };

    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..METERS {
        let (memory, meters, left) = (memory.clone(), Arc::clone(&meters), Arc::clone(&left));
        let mut rng = StdRng::seed_from_u64(seed + number as u64);
        tasks.spawn(async move {
            let (mut writer, mut written) = (Writer::default(), 0);
            while go_on(&left) {
                writer.write(&memory, &meters[number], &mut rng).await;
                written += 1;
                // In bursts, with reads between them that are answered from the cache.
                if rng.random_bool(0.3) {
                    let until =
                        left.load(Ordering::SeqCst).saturating_sub(rng.random_range(50..400));
                    while left.load(Ordering::SeqCst) > until {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                }
            }
            written
        });
    }
    for number in 0..READERS {
        let (memory, meters, left) = (memory.clone(), Arc::clone(&meters), Arc::clone(&left));
        let mut rng = StdRng::seed_from_u64(seed + 1_000 + number as u64);
        tasks.spawn(async move {
            while go_on(&left) {
                let meter = &meters[rng.random_range(0..METERS)];
                read(&memory, meter, &mut rng).await;
            }
            0
        });
    }
    let mut rng = StdRng::seed_from_u64(seed + 2_000);
    let (mut harms, mut writes) = (BTreeMap::<_, u32>::new(), 0);
    while !tasks.is_empty() {
        // Mostly Redis is well, or nothing would be read from it.
        let pause = Duration::from_millis(rng.random_range(100..3_000));
        if let Ok(Some(ended)) = tokio::time::timeout(pause, tasks.join_next()).await {
            writes += sound(&suite, ended);
            continue;
        }
        *harms.entry(harm(suite.redis().expect("a Redis"), &mut rng).await).or_default() += 1;
    }
    let [hits, misses, away] = looks(&suite).await;
    println!(
        "{operations} operations, {writes} of them writes, in {:.0?}; Redis was {harms:?}: {hits} \
         hits, {misses} misses, {away} times away",
        begun.elapsed()
    );
    assert!(hits * 20 > hits + misses, "too little was read from the cache: this tests nothing");
}

/// How many looks into the cache were hits, misses, and in vain.
async fn looks(suite: &Suite) -> [u64; 3] {
    let metrics = reqwest::get(suite.metrics_url(Service::Memory)).await.expect("metrics");
    let metrics = metrics.text().await.expect("metrics");
    ["hit", "miss", "away"].map(|result| {
        let line = metrics.lines().find(|line| {
            line.starts_with("alina_memory_cache_total") && line.contains(&format!("\"{result}\""))
        });
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
    })
}
