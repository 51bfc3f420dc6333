//! From the command line to the exit code.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use alina_proto::Service;
use clap::Parser;
use prometheus_client::registry::Registry;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

use crate::{Context, Section, StartError, config::Raw, server, telemetry};

/// Unusable configuration: EX_USAGE of sysexits.h.
const EX_USAGE: u8 = 64;

/// One of AgentAlina's services. `alina up` starts them all.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, env = "ALINA_CONFIG", default_value = "config.yaml")]
    config: PathBuf,
    /// Check the configuration, say what is wrong with it, and end.
    #[arg(long)]
    check_config: bool,
    /// Print the JSON schema of this service's section of the configuration, and end.
    #[arg(long)]
    print_schema: bool,
    /// Ask the running service whether it is healthy, and end: 0 when it is.
    #[arg(long)]
    healthcheck: bool,
}

/// Runs a service until it is told to stop. Call it from `main`; `build` makes the service's
/// routes. Exit codes: 0 ended as told, 1 failed, 2 wrong arguments, 64 unusable configuration.
pub fn run<S, B, F>(service: Service, build: B) -> ExitCode
where
    S: Section,
    B: FnOnce(Context<S>) -> F,
    F: Future<Output = Result<Routes, StartError>>,
{
    let arguments = Arguments::parse();
    if arguments.print_schema {
        say(&schemars::schema_for!(S).to_value().to_string());
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(service, &StartError::other(error)),
    };
    let loaded = Raw::read(&arguments.config, std::env::vars())
        .and_then(|raw| raw.load::<S>(service))
        .and_then(|loaded| {
            let _enter = runtime.enter();
            Ok((loaded.common.connector()?, loaded))
        });
    let (connector, loaded) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return failed(service, &error.into()),
    };
    if arguments.check_config {
        return ExitCode::SUCCESS;
    }
    if arguments.healthcheck {
        let healthy = runtime.block_on(server::is_healthy(service, &loaded.common));
        return if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }

    let context = Context {
        config: Arc::new(loaded.section),
        common: Arc::new(loaded.common),
        shutdown: CancellationToken::new(),
        connector,
        tasks: TaskTracker::new(),
        registry: Arc::new(Mutex::new(Registry::default())),
    };
    let code = runtime.block_on(async {
        let _telemetry = match telemetry::start(service, &context.common.telemetry) {
            Ok(guard) => guard,
            Err(error) => return failed(service, &error),
        };
        match server::serve(service, context, build).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(StartError::Stopped) => ExitCode::SUCCESS,
            Err(error) => failed(service, &error),
        }
    });
    // Threads that still work on something nobody waits for do not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

fn failed(service: Service, error: &StartError) -> ExitCode {
    use std::io::Write;
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{}: {error}", service.program());
    match error {
        StartError::Config(_) => ExitCode::from(EX_USAGE),
        _ => ExitCode::FAILURE,
    }
}

fn say(text: &str) {
    use std::io::Write;
    // A reader that has gone wants nothing more.
    let _ = writeln!(std::io::stdout(), "{text}");
}
