//! What happens to Redis.

use std::time::Duration;

use alina_testkit::TestRedis;
use rand::{Rng, RngExt};

/// One of the things that happen, and what it is called.
pub(super) async fn harm(redis: &mut TestRedis, rng: &mut impl Rng) -> &'static str {
    let millis = rng.random_range(20..400);
    let a_while = async || tokio::time::sleep(Duration::from_millis(millis)).await;
    match rng.random_range(0..6) {
        0 => {
            redis.kill().await;
            a_while().await;
            redis.restart().await;
            "killed"
        }
        1 => {
            redis.kill().await;
            redis.restart_full().await;
            a_while().await;
            redis.kill().await;
            redis.restart().await;
            "full"
        }
        2 => {
            redis.freeze().await;
            a_while().await;
            redis.thaw().await;
            "frozen"
        }
        3 => tell(redis, "FLUSHALL").await.map_or("away", |()| "flushed"),
        4 => {
            let told = tell(redis, "CLIENT KILL TYPE normal SKIPME yes").await;
            told.map_or("away", |()| "disconnected")
        }
        _ => {
            let told = tell(redis, &format!("CLIENT PAUSE {millis} ALL")).await;
            told.map_or("away", |()| "paused")
        }
    }
}

/// Nothing if Redis, still paused, does not answer.
async fn tell(redis: &TestRedis, command: &str) -> Option<()> {
    let mut words = command.split(' ');
    let mut command = redis::cmd(words.next().unwrap_or_default());
    for word in words {
        command.arg(word);
    }
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.ok()?;
    match command.query_async::<redis::Value>(&mut connection).await {
        Ok(_) => Some(()),
        Err(error) => {
            assert!(error.code().is_none(), "{error}");
            None
        }
    }
}
