//! Redis: answers of reads, never the only copy. A key holds the namespace's version, which moves
//! in the transaction of every write, so that what is found is never from before an acknowledged
//! write. When Redis is slow or away the database is asked, and Redis is left alone for a moment.

use std::{sync::Arc, time::Duration};

use alina_cache::{Cache as Redis, Looked, digest, takes};
use alina_service::StartError;
use tokio::sync::Semaphore;

use crate::{
    config::MemoryConfig,
    knowledge::Namespace,
    metrics::{self, Metrics},
};

/// How long it is looked for the answers of a namespace.
const CLEAR_WITHIN: Duration = Duration::from_secs(5);
/// Answers on their way to Redis, of at most a mebibyte each; while there are so many, others are
/// not kept.
const MOST_ON_THEIR_WAY: usize = 32;

/// The cache.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    redis: Redis,
    seconds: u64,
    metrics: Metrics,
    ways: Arc<Semaphore>,
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
        let whose = whose(namespace);
        let asked = digest(&[namespace.0.as_bytes(), request]);
        Self(format!("alina:memory:{whose}:{operation}:{version}:{asked}"))
    }
}

/// Stands for a namespace in keys: what is forgotten is looked for by it.
fn whose(namespace: &Namespace) -> String {
    digest(&[namespace.0.as_bytes()]).chars().take(16).collect()
}

impl Cache {
    pub(crate) fn new(
        url: &str,
        config: &MemoryConfig,
        metrics: Metrics,
    ) -> Result<Self, StartError> {
        let timeout = Duration::from_millis(config.cache_timeout_ms);
        Ok(Self {
            redis: Redis::new(url, timeout).map_err(StartError::Other)?,
            seconds: config.cache_seconds,
            metrics,
            ways: Arc::new(Semaphore::new(MOST_ON_THEIR_WAY)),
        })
    }

    /// What is kept under the key; nothing when Redis is away.
    pub(crate) async fn get(&self, key: &Key) -> Option<Vec<u8>> {
        let looked = self.redis.get(&key.0).await;
        self.metrics.cache.get_or_create(&metrics::Looked { result: looked.name() }).inc();
        self.metrics.cache_left_alone.set(self.redis.is_left_alone().into());
        match looked {
            Looked::Hit(answer) => Some(answer),
            Looked::Miss | Looked::Away => None,
        }
    }

    /// Keeps an answer for a while, if Redis takes it and it is `unchanged`; nobody waits for that.
    pub(crate) fn keep(
        &self,
        key: Key,
        answer: Vec<u8>,
        unchanged: impl Future<Output = bool> + Send + 'static,
    ) {
        if !takes(&answer) || self.redis.is_left_alone() {
            return;
        }
        let Ok(way) = Arc::clone(&self.ways).try_acquire_owned() else { return };
        let (redis, seconds) = (self.redis.clone(), self.seconds);
        tokio::spawn(async move {
            let _way = way;
            if unchanged.await {
                redis.put(&key.0, &answer, seconds).await;
            }
        });
    }

    /// Deletes all answers of a namespace; tells whether that was done, which it is not when Redis is
    /// away or holds too many keys to look through.
    pub(crate) async fn clear(&self, namespace: &Namespace) -> bool {
        let pattern = format!("alina:memory:{}:*", whose(namespace));
        self.redis.clear(&pattern, CLEAR_WITHIN).await
    }

    /// Whether Redis answers.
    pub(crate) async fn is_available(&self) -> bool {
        self.redis.is_available().await
    }
}
