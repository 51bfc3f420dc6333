//! Redis: answers of reads, never the only copy. A key holds the namespace's version, which moves
//! in the transaction of every write, so that what is found is never from before an acknowledged
//! write. When Redis is slow or away the database is asked, and Redis is left alone for a moment.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use alina_service::StartError;
use deadpool_redis::{Config, Pool, Runtime};
use redis::AsyncCommands;
use sha2::{Digest, Sha256};

use crate::{
    config::MemoryConfig,
    knowledge::Namespace,
    metrics::{Looked, Metrics},
};

/// How long Redis is left alone after it failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How long it is looked for the answers of a namespace.
const CLEAR_WITHIN: Duration = Duration::from_secs(5);
/// Larger answers are not worth the copying, in bytes.
const LARGEST: usize = 1 << 20;

/// The cache.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    pool: Pool,
    timeout: Duration,
    seconds: u64,
    metrics: Metrics,
    begun: Instant,
    /// Milliseconds since `begun` until which Redis is left alone.
    paused_until: Arc<AtomicU64>,
}

/// Names an answer.
#[derive(Debug, Clone)]
pub(crate) struct Key(String);

impl Key {
    /// The answer of `operation` to a request of these bytes, at this version.
    pub(crate) fn new(
        operation: &str,
        namespace: &Namespace,
        version: &str,
        request: &[u8],
    ) -> Self {
        let mut digest = Sha256::new();
        digest.update(namespace.0.as_bytes());
        digest.update([0]);
        digest.update(request);
        let whose = whose(namespace);
        let hash: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("alina:memory:{whose}:{operation}:{version}:{hash}"))
    }
}

/// Stands for a namespace in keys: what is forgotten is looked for by it.
fn whose(namespace: &Namespace) -> String {
    Sha256::digest(&namespace.0).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

impl Cache {
    pub(crate) fn new(
        url: &str,
        config: &MemoryConfig,
        metrics: Metrics,
    ) -> Result<Self, StartError> {
        let pool = Config::from_url(url)
            .create_pool(Some(Runtime::Tokio1))
            .map_err(|error| StartError::Other(format!("redis.url: {error}")))?;
        Ok(Self {
            pool,
            timeout: Duration::from_millis(config.cache_timeout_ms),
            seconds: config.cache_seconds,
            metrics,
            begun: Instant::now(),
            paused_until: Arc::default(),
        })
    }

    /// What is kept under the key; nothing when Redis is away.
    pub(crate) async fn get(&self, key: &Key) -> Option<Vec<u8>> {
        let found =
            self.ask(async |connection| connection.get::<_, Option<Vec<u8>>>(&key.0).await).await;
        let result = match &found {
            None => "away",
            Some(None) => "miss",
            Some(Some(_)) => "hit",
        };
        self.metrics.cache.get_or_create(&Looked { result }).inc();
        found.flatten()
    }

    /// Keeps an answer for a while, if Redis takes it.
    pub(crate) async fn put(&self, key: &Key, answer: &[u8]) {
        if answer.len() <= LARGEST {
            let seconds = self.seconds;
            self.ask(async |connection| {
                connection.set_ex::<_, _, ()>(&key.0, answer, seconds).await
            })
            .await;
        }
    }

    /// Deletes all answers of a namespace; tells whether that was done, which it is not when Redis is
    /// away or holds too many keys to look through.
    pub(crate) async fn clear(&self, namespace: &Namespace) -> bool {
        let pattern = format!("alina:memory:{}:*", whose(namespace));
        let cleared = async {
            let mut cursor = 0_u64;
            loop {
                let page = self.ask(async |connection| {
                    let mut scan = redis::cmd("SCAN");
                    scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1_000);
                    scan.query_async::<(u64, Vec<String>)>(connection).await
                });
                let (next, keys) = page.await?;
                if !keys.is_empty() {
                    self.ask(async |connection| connection.unlink::<_, ()>(&keys).await).await?;
                }
                if next == 0 {
                    return Some(());
                }
                cursor = next;
            }
        };
        tokio::time::timeout(CLEAR_WITHIN, cleared).await.ok().flatten().is_some()
    }

    /// Whether Redis answers.
    pub(crate) async fn is_available(&self) -> bool {
        let ping = async |connection: &mut deadpool_redis::Connection| {
            redis::cmd("PING").query_async::<String>(connection).await
        };
        self.ask(ping).await.is_some()
    }

    async fn ask<T>(
        &self,
        command: impl AsyncFnOnce(&mut deadpool_redis::Connection) -> redis::RedisResult<T>,
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
            tracing::debug!("Redis does not answer; the database is asked instead");
        }
        answer
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
