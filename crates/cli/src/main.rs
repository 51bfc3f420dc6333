//! The program `alina`.

use std::process::ExitCode;

use alina::{Arguments, run};
use clap::Parser;

fn main() -> ExitCode {
    run(Arguments::parse())
}
