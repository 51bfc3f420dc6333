//! `kill -9` of the service and of PostgreSQL at any moment under load: what was acknowledged is there,
//! once, and what was not can be sent again.

mod audit;
mod ledger;
mod load;
mod vectors;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use alina_proto::Service;
use alina_testkit::Suite;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;

use self::ledger::Ledger;
use crate::{insisting::sound, memory};

/// Unless `ALINA_KILLS` says otherwise.
const KILLS: usize = 4;
/// So many calls are acknowledged between two kills, at least.
const BETWEEN: usize = 40;
/// Nobody waits longer for one between two kills.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kills one of the two, and starts it again after a while.
async fn kill(suite: &mut Suite, number: usize, rng: &mut StdRng) -> &'static str {
    let away = Duration::from_millis(rng.random_range(0..300));
    if number.is_multiple_of(2) {
        suite.kill(Service::Memory).await;
        tokio::time::sleep(away).await;
        suite.restart(Service::Memory).await;
        return "the service";
    }
    let killed = if rng.random_bool(0.5) {
        suite.kill_postgres().await;
        "the first process of PostgreSQL"
    } else {
        suite.kill_postgres_with_children().await;
        "all processes of PostgreSQL"
    };
    tokio::time::sleep(away).await;
    suite.restart_postgres().await;
    killed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill_and_is_there_once() {
    let kills = std::env::var("ALINA_KILLS").ok();
    let kills = kills.map_or(KILLS, |number| number.parse().expect("a number"));
    let seed: u64 = std::env::var("ALINA_SEED")
        .map_or_else(|_| rand::random_range(0..1 << 32), |seed| seed.parse().unwrap());
    println!("ALINA_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut suite = Suite::builder().service(Service::Memory).own_postgres().start().await;
    let memory = memory(&suite.connector());
    let ledger = Arc::new(Ledger::default());
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    load::start(&mut tasks, &memory, &ledger, seed);

    let mut killed = BTreeMap::<_, u32>::new();
    for number in 0..kills {
        let (before, waits) = (ledger.acknowledged(), Instant::now());
        while ledger.acknowledged() < before + BETWEEN {
            if let Some(ended) = tasks.try_join_next() {
                sound(&suite, ended);
            }
            assert!(waits.elapsed() < PATIENCE, "after kill {number} nothing is written any more");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..200))).await;
        let acknowledged = ledger.items();
        *killed.entry(kill(&mut suite, number, &mut rng).await).or_default() += 1;
        audit::nothing_is_lost(suite.db(), &acknowledged).await;
    }
    ledger.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        sound(&suite, ended);
    }
    audit::everything_is_there_once(suite.db(), &memory, &ledger).await;
    println!("{kills} kills in {:.0?}: {killed:?}; {ledger}", begun.elapsed());
}
