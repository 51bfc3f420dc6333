//! The PostgreSQL that all tests of a run share.
//!
//! Tests are processes of their own under nextest, so they find each other through a folder named
//! after the process that runs them: whoever takes its lock first starts the server and leaves its
//! port there. The server is stopped by a watchdog that waits for the run to end.

use std::{
    env, fs,
    fs::File,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use alina_local::{Postgres, PostgresOptions, PostgresPrograms};

use crate::{free_port, home};

/// Starts the shared server unless it runs, and gives its port.
pub(crate) async fn port() -> u16 {
    let run = rustix::process::getppid().expect("a test has a parent").as_raw_nonzero();
    let folder = env::temp_dir().join(format!("alina-test-{run}"));
    fs::create_dir_all(&folder).expect("the temporary folder is writable");
    let lock = File::create(folder.join("lock")).expect("the temporary folder is writable");
    tokio::task::spawn_blocking(move || lock.lock().map(|()| lock).expect("a lock"))
        .await
        .map(|lock| (lock, folder))
        .map(|(lock, folder)| async move {
            let port = started(&folder, run.get()).await;
            drop(lock);
            port
        })
        .expect("the lock is waited for")
        .await
}

async fn started(folder: &Path, run: i32) -> u16 {
    let note = folder.join("port");
    if let Some(port) = fs::read_to_string(&note).ok().and_then(|text| text.parse().ok()) {
        return port;
    }
    let programs = PostgresPrograms::find(&home().join("venv")).unwrap_or_else(|e| panic!("{e}"));
    let port = free_port();
    let options = options(folder, port);
    let postgres = Postgres::start(&programs, options).await.unwrap_or_else(|e| panic!("{e}"));
    watch(folder, run, postgres.id().expect("it runs"));
    postgres.leave();
    fs::write(note, port.to_string()).expect("the temporary folder is writable");
    port
}

fn options(folder: &Path, port: u16) -> PostgresOptions {
    PostgresOptions {
        data: folder.join("postgres"),
        port,
        log: folder.join("postgres.log"),
        durable: false,
    }
}

/// Ends the server and removes its folder when the run has ended.
fn watch(folder: &Path, run: i32, server: u32) {
    // In the background of a shell that ends at once: nobody waits for it, and it outlives us.
    let script = r#"(while kill -0 "$1" 2>/dev/null; do sleep 0.5; done; kill -QUIT "$2"
        while kill -0 "$2" 2>/dev/null; do sleep 0.1; done; rm -rf "$3") &"#;
    let shell = Command::new("/bin/sh")
        .args(["-c", script, "alina-testkit", &run.to_string(), &server.to_string()])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .status();
    assert!(shell.is_ok_and(|status| status.success()), "/bin/sh starts the watchdog");
}

/// A server of a suite's own, that its test may kill.
pub(crate) async fn own(folder: &Path) -> Postgres {
    let programs = PostgresPrograms::find(&home().join("venv")).unwrap_or_else(|e| panic!("{e}"));
    let folder: PathBuf = folder.join("own-postgres");
    fs::create_dir_all(&folder).expect("the temporary folder is writable");
    // PostgreSQL runs as another user when we are root.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&folder, open).expect("own folder");
    let mut options = options(&folder, free_port());
    // What is committed must survive being killed; only a crash of the machine is not cared for.
    options.durable = true;
    Postgres::start(&programs, options).await.unwrap_or_else(|e| panic!("{e}"))
}
