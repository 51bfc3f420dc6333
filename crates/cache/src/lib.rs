//! Redis as a cache, never the only copy: who asks waits a bounded time, and while Redis is slow or
//! away it is left alone, so that it hurts nobody.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool_redis::{Config, Connection, Pool, Runtime};
use redis::{AsyncCommands, RedisResult};
use sha2::{Digest, Sha256};

/// How long Redis is left alone after it failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Larger values are not worth the copying, in bytes.
const LARGEST: usize = 1 << 20;

/// A cache in Redis.
#[derive(Debug, Clone)]
pub struct Cache {
    pool: Pool,
    timeout: Duration,
    begun: Instant,
    /// Milliseconds since `begun` until which Redis is left alone.
    paused_until: Arc<AtomicU64>,
}

/// What came of looking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// It was there.
    Hit(Vec<u8>),
    /// It was not.
    Miss,
    /// Redis did not answer in time, or is left alone.
    Away,
}

impl Looked {
    /// For labels.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hit(_) => "hit",
            Self::Miss => "miss",
            Self::Away => "away",
        }
    }
}

impl Cache {
    /// Connects when it is first asked; nobody waits for it longer than `timeout`.
    ///
    /// # Errors
    /// When `url` is none.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, String> {
        let pool = Config::from_url(url).create_pool(Some(Runtime::Tokio1));
        let pool = pool.map_err(|error| format!("redis.url: {error}"))?;
        Ok(Self { pool, timeout, begun: Instant::now(), paused_until: Arc::default() })
    }

    /// What is kept under `key`.
    pub async fn get(&self, key: &str) -> Looked {
        match self.ask(async |redis| redis.get::<_, Option<Vec<u8>>>(key).await).await {
            None => Looked::Away,
            Some(None) => Looked::Miss,
            Some(Some(value)) => Looked::Hit(value),
        }
    }

    /// Keeps `value` for so many seconds, if Redis takes it.
    pub async fn put(&self, key: &str, value: &[u8], seconds: u64) {
        if value.len() <= LARGEST {
            self.ask(async |redis| redis.set_ex::<_, _, ()>(key, value, seconds).await).await;
        }
    }

    /// What Redis answers to `command`; none when it does not in time, or is left alone.
    pub async fn ask<T>(
        &self,
        command: impl AsyncFnOnce(&mut Connection) -> RedisResult<T>,
    ) -> Option<T> {
        let now = self.millis();
        if now < self.paused_until.load(Ordering::Relaxed) {
            return None;
        }
        let asked = async {
            let mut connection = self.pool.get().await.ok()?;
            command(&mut connection).await.ok()
        };
        let answer = tokio::time::timeout(self.timeout, asked).await.ok().flatten();
        if answer.is_none() {
            let pause = u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX);
            self.paused_until.store(now.saturating_add(pause), Ordering::Relaxed);
            tracing::debug!("Redis does not answer; it is left alone for a moment");
        }
        answer
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A name for what these bytes ask: SHA-256 in hexadecimal.
#[must_use]
pub fn digest(parts: &[&[u8]]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_redis_that_is_away_costs_one_timeout_and_is_left_alone() {
        // Takes connections and never answers.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}/", silent.local_addr().unwrap());
        let cache = Cache::new(&url, Duration::from_millis(50)).unwrap();
        let begun = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(cache.get("key").await, Looked::Away);
        }
        assert!(begun.elapsed() < PAUSE, "{:?}", begun.elapsed());
    }

    #[test]
    fn parts_are_told_apart() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_eq!(digest(&[]).len(), 64);
    }
}
