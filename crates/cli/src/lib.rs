//! The program `alina`: what a person does with the suite.
//!
//! - `arguments`: the command line
//! - `commands`: one file a command; each asks services and shows what they say
//! - `suite`: starts, watches and stops the suite on this machine, without containers
//! - `plan`: fits the suite to the machine
//! - `output`: tables and colours for people, JSON for programs
//! - `failure`: what went wrong and what to do

mod arguments;
mod commands;
mod failure;
mod output;
mod session;

pub mod plan;
pub mod suite;

use std::process::ExitCode;

pub use arguments::Arguments;

use crate::{failure::Failure, output::Output, session::Session};

/// Does what the command line says.
#[must_use]
pub fn run(arguments: Arguments) -> ExitCode {
    let output = Output::new(arguments.output);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.fail(&Failure::other(error)),
    };
    let code = runtime.block_on(async {
        let done = async {
            let session = Session::open(&arguments)?;
            commands::run(arguments.command, &session, &output).await
        };
        match done.await {
            Ok(code) => code,
            Err(failure) => output.fail(&failure),
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    code
}
