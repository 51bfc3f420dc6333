//! Runs the children until it is told to stop.

use std::{
    fs::{File, TryLockError},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use alina_local::{Postgres, PostgresOptions, PostgresPrograms, Redis, redis_server};
use alina_proto::Service;
use alina_service::Common;
use sqlx::postgres::PgConnectOptions;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    ChildState, Layout, State, SuiteError,
    child::{self, FIRST_PAUSE, LONGEST_PAUSE, STABLE, with_jitter},
    make_secret, orphans,
    state::Board,
};
use crate::plan::{Machine, Plan};

const POSTGRES: &str = "postgres";
const REDIS: &str = "redis";
/// How often children that do not answer yet are asked; the others every tenth time.
const ASK_EVERY: Duration = Duration::from_millis(100);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Runs the suite in the foreground until SIGINT or SIGTERM.
///
/// # Errors
/// When the configuration, a folder, a port or a program is not usable. Children that fail later are
/// started again.
pub async fn supervise(layout: &Layout, config: &Path) -> Result<(), SuiteError> {
    let common = Common::load(config)?;
    layout.prepare()?;
    // Held to the end: a second supervisor must not touch what the first has written down.
    let _lock = lock(layout)?;
    let stop = stop_on_signals()?;
    let names = [POSTGRES, REDIS].into_iter().chain(Service::ALL.map(Service::name));
    let before = State::read(layout).filter(State::is_of_this_boot);
    let board = Board::new(layout, names.map(str::to_owned));
    let pid_file = layout.pid_file();
    std::fs::write(&pid_file, std::process::id().to_string())
        .map_err(SuiteError::path(&pid_file))?;
    if let Some(before) = before {
        orphans::end(&before).await;
    }
    let ran = run(layout, config, &common, &board, &stop).await;
    if let Err(error) = &ran {
        board.change(|state| state.failure = Some(error.to_string()));
    }
    // Gone already when the folder is.
    let _ = std::fs::remove_file(&pid_file);
    ran
}

async fn run(
    layout: &Layout,
    config: &Path,
    common: &Common,
    board: &Board,
    stop: &CancellationToken,
) -> Result<(), SuiteError> {
    let programs = programs()?;
    check_ports(common)?;

    let databases = TaskTracker::new();
    let stop_databases = CancellationToken::new();
    // Redis first: it is there at once. Both stop when this function returns, however it does.
    let _stop_databases = stop_databases.clone().drop_guard();
    start_databases(layout, common, board, &databases, &stop_databases).await?;

    let plan = Plan::new(common, &Machine::read());
    let services = TaskTracker::new();
    for (index, service) in Service::ALL.into_iter().enumerate() {
        let child = child::Service {
            name: service.name().to_owned(),
            index,
            program: programs.join(service.program()),
            config: config.to_owned(),
            log: layout.log(service.name()),
            cpus: plan.share(service.key()).map(|share| share.cpu_set.clone()).unwrap_or_default(),
        };
        services.spawn(child.keep(board.clone(), stop.clone()));
        services.spawn(watch(common.clone(), service, board.clone(), stop.clone()));
    }

    stop.cancelled().await;
    services.close();
    services.wait().await;
    stop_databases.cancel();
    databases.close();
    databases.wait().await;
    Ok(())
}

/// Makes this the only supervisor of the folder; the system gives the lock back however we end.
fn lock(layout: &Layout) -> Result<File, SuiteError> {
    let path = layout.lock_file();
    let file = File::options().create(true).append(true).open(&path);
    let file = file.map_err(SuiteError::path(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(SuiteError::Other("the suite runs already; `alina down` stops it".to_owned()))
        }
        Err(TryLockError::Error(error)) => Err(SuiteError::path(&path)(error)),
    }
}

fn stop_on_signals() -> Result<CancellationToken, SuiteError> {
    let stop = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signal = signal(kind).map_err(|error| SuiteError::Other(error.to_string()))?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signal.recv().await;
            stop.cancel();
        });
    }
    Ok(stop)
}

/// The folder of this program, which must hold the services' as well.
fn programs() -> Result<PathBuf, SuiteError> {
    let own = std::env::current_exe().map_err(|error| SuiteError::Other(error.to_string()))?;
    let folder = own.parent().unwrap_or(Path::new("/")).to_owned();
    for service in Service::ALL {
        let path = folder.join(service.program());
        if !path.is_file() {
            return Err(SuiteError::Program { path });
        }
    }
    Ok(folder)
}

fn check_ports(common: &Common) -> Result<(), SuiteError> {
    for service in Service::ALL {
        let place = common.endpoint(service);
        for (key, address) in [("listen", place.listen), ("metrics", place.metrics)] {
            check_port(address, format!("services.{}.{key}", service.key()))?;
        }
    }
    Ok(())
}

fn check_port(address: SocketAddr, key: String) -> Result<(), SuiteError> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(_) => Err(SuiteError::PortTaken { address, key, holder: holder(address.port()) }),
    }
}

/// Who listens on a port, as far as /proc tells.
fn holder(port: u16) -> String {
    let listens = |entry: &procfs::net::TcpNetEntry| {
        entry.local_address.port() == port && entry.state == procfs::net::TcpState::Listen
    };
    let inode = procfs::net::tcp()
        .ok()
        .and_then(|entries| entries.into_iter().find(listens))
        .map(|entry| entry.inode);
    let owns = |process: &procfs::process::Process| {
        let files = process.fd().into_iter().flatten().flatten();
        files.into_iter().any(|file| {
            matches!(file.target, procfs::process::FDTarget::Socket(socket) if Some(socket) == inode)
        })
    };
    let owner = procfs::process::all_processes()
        .ok()
        .into_iter()
        .flatten()
        .flatten()
        .find(|process| inode.is_some() && owns(process));
    match owner {
        Some(process) => {
            let name = process.stat().map(|stat| stat.comm).unwrap_or_default();
            format!("{name} (process {})", process.pid)
        }
        None => "another program".to_owned(),
    }
}

/// The port of a URL when it is on this machine's loopback; other databases are somebody else's.
fn own_port(host: &str, port: u16) -> Option<u16> {
    matches!(host, "127.0.0.1" | "localhost" | "::1").then_some(port)
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn redis_port(url: &str) -> Option<u16> {
    let authority = url.strip_prefix("redis://")?.split('/').next()?;
    let address = authority.rsplit('@').next()?;
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "6379"));
    own_port(host, port.parse().ok()?)
}

async fn start_databases(
    layout: &Layout,
    common: &Common,
    board: &Board,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), SuiteError> {
    match redis_port(&common.redis.url) {
        Some(port) => {
            check_port(loopback(port), "redis.url".to_owned())?;
            let program = redis_server(&layout.venv())?;
            let redis = Redis::start(&program, port, &layout.log(REDIS)).await?;
            tracker.spawn(keep_redis(redis, board.clone(), stop.clone()));
        }
        None => board.child(REDIS, |state| elsewhere(state, &common.redis.url)),
    }
    let url = PgConnectOptions::from_str(&common.postgres.url)
        .map_err(|error| SuiteError::Other(format!("postgres.url: {error}")))?;
    match own_port(url.get_host(), url.get_port()) {
        Some(port) => {
            check_port(loopback(port), "postgres.url".to_owned())?;
            let programs = PostgresPrograms::find(&layout.venv())?;
            let password_file = common.postgres.password_file.as_ref().ok_or_else(|| {
                let name = "postgres.password_file in config.yaml";
                SuiteError::Other(format!("{name}: must name a file; it is made when absent"))
            })?;
            let password_file = common.path(password_file);
            make_secret(&password_file)?;
            let options = PostgresOptions {
                data: layout.postgres(),
                port,
                log: layout.log(POSTGRES),
                password_file,
                durable: true,
                archive: common.postgres.archive.as_ref().map(|folder| common.path(folder)),
            };
            let postgres = Postgres::start(&programs, options).await?;
            tracker.spawn(keep_postgres(postgres, board.clone(), stop.clone()));
        }
        None => board.child(POSTGRES, |state| elsewhere(state, url.get_host())),
    }
    Ok(())
}

fn elsewhere(state: &mut super::ChildState, place: &str) {
    state.healthy = true;
    state.note = format!("not ours: {place}");
}

macro_rules! keep {
    ($keep:ident, $database:ident, $name:ident) => {
        async fn $keep(mut database: $database, board: Board, stop: CancellationToken) {
            let mut pause = FIRST_PAUSE;
            loop {
                let (begun, pid) = (Instant::now(), database.id());
                board.child($name, |state| {
                    state.runs_as(pid);
                    state.healthy = true;
                });
                if stop.run_until_cancelled(database.ended()).await.is_none() {
                    break;
                }
                board.child($name, |state| {
                    state.has_ended();
                    state.restarts += 1;
                    state.note = "ended, started again".to_owned();
                });
                if begun.elapsed() > STABLE {
                    pause = FIRST_PAUSE;
                }
                while let Some(Err(error)) = stop.run_until_cancelled(database.restart()).await {
                    board.child($name, |state| state.note = error.to_string());
                    let wait = tokio::time::sleep(with_jitter(pause));
                    stop.run_until_cancelled(wait).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                if stop.is_cancelled() {
                    break;
                }
            }
            // What cannot be stopped is killed when it is dropped.
            let _ = database.stop().await;
            board.child($name, ChildState::has_ended);
        }
    };
}

keep!(keep_postgres, Postgres, POSTGRES);
keep!(keep_redis, Redis, REDIS);

/// Asks a service again and again whether it is healthy.
async fn watch(common: Common, service: Service, board: Board, stop: CancellationToken) {
    let Ok(connector) = common.connector() else { return };
    let mut client = HealthClient::new(connector.channel(service));
    let mut healthy = false;
    loop {
        let wait = if healthy { ASK_EVERY * 10 } else { ASK_EVERY };
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return;
        }
        let request = HealthCheckRequest { service: service.grpc_name().to_owned() };
        let answer = tokio::time::timeout(ANSWER_WITHIN, client.check(request)).await;
        healthy = matches!(
            answer,
            Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving
        );
        board.child(service.name(), |state| state.healthy = healthy && state.pid.is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_databases_of_this_machine_are_ours() {
        assert_eq!(redis_port("redis://127.0.0.1:7679/"), Some(7679));
        assert_eq!(redis_port("redis://:secret@localhost/"), Some(6379));
        assert_eq!(redis_port("redis://redis:6379/"), None);
    }

    #[test]
    fn there_is_one_supervisor_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join(".alina"));
        layout.prepare().unwrap();
        let first = lock(&layout).unwrap();
        let second = lock(&layout).unwrap_err().to_string();
        assert!(second.contains("runs already"), "{second}");
        drop(first);
        lock(&layout).unwrap();
    }

    #[test]
    fn a_taken_port_is_told_with_who_has_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = check_port(address, "services.memory.listen".to_owned()).unwrap_err();
        let text = error.to_string();
        let own = format!("(process {})", std::process::id());
        assert!(text.contains("services.memory.listen") && text.ends_with(&own), "{text}");
    }
}
