//! Smaller weights for a model: another process of this program makes them for `alina models
//! quantize`, so that neither a crash nor the load is the service's.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    thread,
};

use alina_quantize::Target;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::models::read_gguf;

/// The program's argument that has it do so; a file, a new file and how follow.
pub const ARGUMENT: &str = "quantize-model";

/// The process that does so.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    // Nobody waits when the command is gone.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    match quantize(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(io::stderr(), "error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn quantize(mut arguments: impl Iterator<Item = OsString>) -> Result<(), String> {
    let mut next = || arguments.next().unwrap_or_default();
    let (from, to, target) = (next(), next(), next());
    let from = Path::new(&from);
    let target: Target = target.to_string_lossy().parse()?;
    read_gguf(from).map_err(|error| format!("{}: {error}", from.display()))?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    alina_quantize::quantize(from, Path::new(&to), target, threads)
}
