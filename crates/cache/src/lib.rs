//! Redis as a cache, never the only copy: who asks waits a bounded time, and while Redis is slow or
//! away it is left alone, so that it hurts nobody.

mod breaker;

use std::{sync::Arc, time::Duration};

use deadpool_redis::{Config, Connection, Pool, Runtime};
use redis::{AsyncCommands, ErrorKind, RedisResult};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::breaker::Breaker;

/// Larger values are not worth the copying, in bytes.
const LARGEST: usize = 1 << 20;
/// Keys looked through at once.
const PAGE: usize = 1_000;

/// A cache in Redis.
#[derive(Debug, Clone)]
pub struct Cache {
    pool: Pool,
    timeout: Duration,
    breaker: Arc<Breaker>,
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

/// Why there is no answer.
enum Failure {
    /// Redis answered that it will not: it is full, or still loading.
    Refused,
    Away,
}

impl Cache {
    /// Connects when it is first asked; nobody waits for it longer than `timeout`.
    ///
    /// # Errors
    /// When `url` is none.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, String> {
        let pool = Config::from_url(url).create_pool(Some(Runtime::Tokio1));
        let pool = pool.map_err(|error| format!("redis.url: {error}"))?;
        Ok(Self { pool, timeout, breaker: Arc::new(Breaker::new()) })
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
        if takes(value) {
            self.ask(async |redis| redis.set_ex::<_, _, ()>(key, value, seconds).await).await;
        }
    }

    /// Deletes what is kept under keys that match `pattern`, a glob of Redis; tells whether all were
    /// looked through, which they are not when Redis is away or has too many for the time `within`.
    pub async fn clear(&self, pattern: &str, within: Duration) -> bool {
        let cleared = async {
            let mut cursor = 0_u64;
            loop {
                let page = self.ask(async |redis| {
                    let mut scan = redis::cmd("SCAN");
                    scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(PAGE);
                    scan.query_async::<(u64, Vec<String>)>(redis).await
                });
                let (next, keys) = page.await?;
                if !keys.is_empty() {
                    self.ask(async |redis| redis.unlink::<_, ()>(&keys).await).await?;
                }
                if next == 0 {
                    return Some(());
                }
                cursor = next;
            }
        };
        tokio::time::timeout(within, cleared).await.ok().flatten().is_some()
    }

    /// Whether Redis answers.
    pub async fn is_available(&self) -> bool {
        self.ask(async |redis| redis::cmd("PING").query_async::<String>(redis).await)
            .await
            .is_some()
    }

    /// Whether Redis is left alone for a moment, because it failed or was slow for long.
    #[must_use]
    pub fn is_left_alone(&self) -> bool {
        self.breaker.is_open()
    }

    /// What Redis answers to `command`; none when it does not in time, refuses, or is left alone.
    pub async fn ask<T>(
        &self,
        command: impl AsyncFnOnce(&mut Connection) -> RedisResult<T>,
    ) -> Option<T> {
        if !self.breaker.admits() {
            return None;
        }
        let begun = Instant::now();
        let asked = async {
            let mut connection = self.pool.get().await.map_err(|_| Failure::Away)?;
            command(&mut connection).await.map_err(|error| match error.kind() {
                ErrorKind::Server(_) | ErrorKind::Extension => Failure::Refused,
                _ => Failure::Away,
            })
        };
        let answer = tokio::time::timeout(self.timeout, asked).await.unwrap_or(Err(Failure::Away));
        if matches!(answer, Err(Failure::Away)) {
            self.breaker.failed();
            tracing::debug!("Redis does not answer; it is left alone for a moment");
        } else {
            self.breaker.answered(begun.elapsed() <= self.timeout / 4);
        }
        answer.ok()
    }
}

/// Whether `value` is small enough to be kept.
#[must_use]
pub const fn takes(value: &[u8]) -> bool {
    value.len() <= LARGEST
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
    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
        net::TcpListener,
    };

    use super::*;
    use crate::breaker::PAUSE;

    #[tokio::test]
    async fn a_redis_that_is_away_costs_one_timeout_and_is_left_alone() {
        // Takes connections and never answers.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}/", silent.local_addr().unwrap());
        let cache = Cache::new(&url, Duration::from_millis(50)).unwrap();
        let begun = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(cache.get("key").await, Looked::Away);
        }
        assert!(begun.elapsed() < PAUSE, "{:?}", begun.elapsed());
        assert!(cache.is_left_alone() && !cache.clear("*", PAUSE).await);
    }

    /// Answers each request for a key that it is full, and everything else with "OK".
    async fn full() -> String {
        let full = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}/", full.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = full.accept().await {
                tokio::spawn(async move {
                    let mut lines = BufReader::new(stream).lines();
                    while let Ok(Some(line)) = lines.next_line().await {
                        // A command is `*`, the number of its words, and two lines for each.
                        let Some(words) = line.strip_prefix('*') else { continue };
                        let mut command = String::new();
                        for word in 0..words.parse::<usize>().unwrap() {
                            lines.next_line().await.unwrap();
                            let text = lines.next_line().await.unwrap().unwrap();
                            if word == 0 {
                                command = text;
                            }
                        }
                        let answer: &[u8] = match command.as_str() {
                            "SETEX" => {
                                b"-OOM command not allowed when used memory > 'maxmemory'\r\n"
                            }
                            "GET" => b"$-1\r\n",
                            _ => b"+OK\r\n",
                        };
                        lines.get_mut().write_all(answer).await.unwrap();
                    }
                });
            }
        });
        url
    }

    #[tokio::test]
    async fn a_full_redis_is_still_read_from() {
        let cache = Cache::new(&full().await, Duration::from_secs(5)).unwrap();
        cache.put("key", b"value", 60).await;
        assert!(!cache.is_left_alone());
        assert_eq!(cache.get("key").await, Looked::Miss);
    }

    #[test]
    fn parts_are_told_apart() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_eq!(digest(&[]).len(), 64);
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        assert!(takes(&vec![0; LARGEST]) && !takes(&vec![0; LARGEST + 1]));
    }
}
