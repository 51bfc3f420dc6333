//! The program `alina`: what a person does with the suite.
//!
//! - `arguments`: the command line
//! - `commands`: one file a command; each asks services and shows what they say
//! - `suite`: starts, watches and stops the suite on this machine, without containers
//! - `fetch`: brings models to this machine
//! - `plan`: fits the suite to the machine
//! - `output`: tables and colours for people, JSON for programs
//! - `failure`: what went wrong and what to do

mod arguments;
mod commands;
mod failure;
mod fetch;
mod output;
mod session;

pub mod plan;
pub mod suite;

use std::process::ExitCode;

pub use arguments::Arguments;

use crate::{failure::Failure, output::Output};

/// Does what the command line says.
#[must_use]
pub fn run(arguments: Arguments) -> ExitCode {
    let output = Output::new(arguments.output);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.fail(&Failure::other(error)),
    };
    let code = runtime.block_on(async {
        let done = match arguments.patience() {
            None => commands::run(arguments, output).await,
            Some(patience) => {
                // The services are told, too, so that they stop when nobody waits any more.
                let deadline = tokio::time::Instant::now() + patience;
                let work = Box::pin(commands::run(arguments, output));
                // A little later than here, so that it is this program that says what happened.
                let theirs = deadline + std::time::Duration::from_millis(250);
                let work = alina_client::deadline::scope(Some(theirs), work);
                let done = tokio::time::timeout_at(deadline, work).await;
                done.unwrap_or_else(|_| Err(Failure::late(patience)))
            }
        };
        done.unwrap_or_else(|failure| output.fail(&failure))
    });
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    code
}
