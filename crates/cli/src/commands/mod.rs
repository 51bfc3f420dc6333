//! One file a command.

mod agents;
mod ask;
mod config;
mod doctor;
mod follow;
mod memory;
mod models;
mod plan;
mod run;
mod runs;
mod scores;
mod suite;
mod trade;

use std::process::ExitCode;

use clap::CommandFactory;

use crate::{
    arguments::{Arguments, Command, Config},
    failure::Failure,
    output::Output,
    session::Session,
};

/// Does one command; the exit code tells how it went when nothing failed on the way.
pub(crate) async fn run(arguments: Arguments, output: Output) -> Result<ExitCode, Failure> {
    let done = |()| ExitCode::SUCCESS;
    let session = Session::open(&arguments);
    // These need no configuration.
    let command = match arguments.command {
        Command::Completions { shell } => return completions(shell, output).map(done),
        Command::Config(Config::Schema) => return config::print_schema(output).await.map(done),
        command => command,
    };
    let session = &session?;
    match command {
        Command::Up { foreground: true } => suite::foreground(session).await.map(done),
        Command::Up { foreground: false } => suite::up(session, output).await.map(done),
        Command::Down => suite::down(session, output).await.map(done),
        Command::Status => suite::status(session, output).await.map(done),
        Command::Run(arguments) => run::run(arguments, session, output).await,
        Command::Ask { question, namespace } => {
            ask::ask(question, namespace, session, output).await.map(done)
        }
        Command::Runs(command) => runs::run(command, session, output).await,
        Command::Agents => agents::agents(session, output).await.map(done),
        Command::Alerts => agents::alerts(session, output).await.map(done),
        Command::Memory(command) => memory::run(command, session, output).await.map(done),
        Command::Models { command } => models::run(command, session, output).await.map(done),
        Command::Trade(command) => trade::run(command, session, output).await.map(done),
        Command::Scores(command) => scores::run(command, session, output).await.map(done),
        Command::Plan { dry_run } => plan::plan(dry_run, session, output).map(done),
        Command::Doctor => doctor::doctor(session, output).await,
        Command::Config(command) => config::run(&command, session, output).await,
        Command::Completions { shell } => completions(shell, output).map(done),
    }
}

fn completions(shell: clap_complete::Shell, output: Output) -> Result<(), Failure> {
    // Generators panic when they cannot write: they write to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "alina", &mut script);
    output.script(&script)
}
