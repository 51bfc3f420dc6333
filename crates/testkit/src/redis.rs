//! A Redis of a test's own.

use alina_local::{Redis, redis_server};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{free_port, home, watchdog};

/// A redis-server; it ends with this.
#[derive(Debug)]
pub struct TestRedis {
    redis: Redis,
    folder: TempDir,
}

/// Starts a redis-server.
///
/// # Panics
/// When it cannot be started; the message says what is missing.
pub async fn redis() -> TestRedis {
    let program = redis_server(&home().join("venv")).unwrap_or_else(|e| panic!("{e}"));
    let folder = TempDir::new().expect("the temporary folder is writable");
    let log = folder.path().join("redis.log");
    let redis = Redis::start(&program, free_port(), &log).await.unwrap_or_else(|e| panic!("{e}"));
    watchdog::note(folder.path(), redis.id());
    watchdog::start_for_this(folder.path());
    TestRedis { redis, folder }
}

impl TestRedis {
    /// `redis://127.0.0.1:PORT/`.
    #[must_use]
    pub fn url(&self) -> String {
        self.redis.url()
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When the system refuses.
    pub async fn kill(&mut self) {
        self.redis.kill().await.unwrap_or_else(|e| panic!("{e}"));
    }

    /// Stops it for a while: it neither answers nor refuses. [`Self::thaw`] lets it go on.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn freeze(&mut self) {
        self.signal("-STOP").await;
    }

    /// Lets it go on after [`Self::freeze`].
    ///
    /// # Panics
    /// When it does not run.
    pub async fn thaw(&mut self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let pid = self.redis.id().expect("Redis runs").to_string();
        let told = Command::new("kill").args([signal, &pid]).status().await;
        assert!(told.is_ok_and(|status| status.success()), "Redis runs");
    }

    /// Starts it again, empty.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn restart(&mut self) {
        self.redis.restart().await.unwrap_or_else(|e| panic!("{e}"));
        watchdog::note(self.folder.path(), self.redis.id());
    }

    /// Starts it again, empty and full at once: it refuses everything that needs memory.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn restart_full(&mut self) {
        self.redis.restart_full().await.unwrap_or_else(|e| panic!("{e}"));
        watchdog::note(self.folder.path(), self.redis.id());
    }
}
