//! The PostgreSQL that all tests of a run share.
//!
//! Tests are processes of their own under nextest, so they find each other through a folder named
//! after the process that runs them: whoever takes its lock first starts the server and leaves its
//! address there. The server is stopped by a watchdog that waits for the run to end.

use std::{
    env, fs,
    fs::File,
    io::Write,
    net::TcpStream,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use alina_local::{Postgres, PostgresOptions, PostgresPrograms};
use uuid::Uuid;

use crate::{free_port, home, watchdog};

/// Starts the shared server unless it runs, and gives its address: `postgres://…` without a
/// database.
pub(crate) async fn server() -> String {
    let run = rustix::process::getppid().expect("a test has a parent").as_raw_nonzero();
    let folder = env::temp_dir().join(format!("alina-test-{run}"));
    fs::create_dir_all(&folder).expect("the temporary folder is writable");
    let lock = File::create(folder.join("lock")).expect("the temporary folder is writable");
    tokio::task::spawn_blocking(move || lock.lock().map(|()| lock).expect("a lock"))
        .await
        .map(|lock| (lock, folder))
        .map(|(lock, folder)| async move {
            let server = started(&folder, run.get()).await;
            drop(lock);
            server
        })
        .expect("the lock is waited for")
        .await
}

async fn started(folder: &Path, run: i32) -> String {
    let note = folder.join("server");
    if let Ok(server) = fs::read_to_string(&note)
        && answers(&server)
    {
        return server;
    }
    // Of an earlier run with the same number, whose watchdog was killed with it.
    let _ = fs::remove_dir_all(folder.join("postgres"));
    let programs = PostgresPrograms::find(&home().join("venv")).unwrap_or_else(|e| panic!("{e}"));
    let options = options(folder);
    let server = server_url(&options);
    let postgres = Postgres::start(&programs, options).await.unwrap_or_else(|e| panic!("{e}"));
    watchdog::note(folder, postgres.id());
    watchdog::start(run, folder);
    postgres.leave();
    fs::write(note, &server).expect("the temporary folder is writable");
    server
}

fn answers(server: &str) -> bool {
    server.rsplit('@').next().is_some_and(|address| TcpStream::connect(address).is_ok())
}

fn options(folder: &Path) -> PostgresOptions {
    let password_file = folder.join("password");
    // Before there is something in it.
    let mut file = fs::OpenOptions::new();
    file.write(true).create(true).truncate(true).mode(0o600);
    file.open(&password_file)
        .and_then(|mut file| file.write_all(Uuid::new_v4().simple().to_string().as_bytes()))
        .expect("the temporary folder is writable");
    PostgresOptions {
        data: folder.join("postgres"),
        port: free_port(),
        log: folder.join("postgres.log"),
        password_file,
        durable: false,
        archive: None,
    }
}

fn server_url(options: &PostgresOptions) -> String {
    let password = fs::read_to_string(&options.password_file).expect("just written");
    format!("postgres://alina:{password}@127.0.0.1:{}", options.port)
}

#[derive(Debug)]
pub(crate) struct OwnPostgres {
    postgres: Postgres,
    folder: PathBuf,
    /// `postgres://…` without a database.
    pub(crate) server: String,
}

impl OwnPostgres {
    pub(crate) async fn kill(&mut self) {
        self.postgres.kill().await.unwrap_or_else(|e| panic!("{e}"));
    }

    pub(crate) async fn kill_with_children(&mut self) {
        self.postgres.kill_with_children().await.unwrap_or_else(|e| panic!("{e}"));
    }

    pub(crate) async fn restart(&mut self) {
        self.postgres.restart().await.unwrap_or_else(|e| panic!("{e}"));
        watchdog::note(&self.folder, self.postgres.id());
    }
}

/// A server of a suite's own, that its test may kill; its data is in `kept`, or goes with the test. With
/// an archive of its log beside its data if it is asked for.
pub(crate) async fn own(folder: &Path, kept: Option<PathBuf>, archiving: bool) -> OwnPostgres {
    let programs = PostgresPrograms::find(&home().join("venv")).unwrap_or_else(|e| panic!("{e}"));
    let folder: PathBuf = folder.join("own-postgres");
    fs::create_dir_all(&folder).expect("the temporary folder is writable");
    // PostgreSQL runs as another user when we are root.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&folder, open).expect("own folder");
    let mut options = options(&folder);
    // What is committed must survive being killed; only a crash of the machine is not cared for.
    options.durable = true;
    options.data = kept.unwrap_or(options.data);
    options.archive = archiving.then(|| folder.join("archive"));
    let server = server_url(&options);
    let postgres = Postgres::start(&programs, options).await.unwrap_or_else(|e| panic!("{e}"));
    watchdog::note(&folder, postgres.id());
    watchdog::start_for_this(&folder);
    OwnPostgres { postgres, folder, server }
}
