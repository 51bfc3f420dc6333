//! `alina models quantize`: the gateway's program does it, in a process of its own.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use alina_proto::Service;
use owo_colors::OwoColorize;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use super::configured::Gateway;
use crate::{
    failure::Failure,
    fetch::{self, Progress},
    output::{Output, bytes},
    session::Session,
};

/// The argument that has the gateway's program do it.
const ARGUMENT: &str = "quantize-model";

pub(super) async fn quantize(
    from: &str,
    to: &str,
    target: &str,
    session: &Session,
    output: Output,
) -> Result<(), Failure> {
    let folder = Gateway::read(session).folder;
    let (from, to) = (place(&folder, from), place(&folder, to));
    if !from.is_file() {
        return Err(Failure::other(format!("{} is not there", from.display())));
    }
    if to.exists() {
        return Err(Failure::other(format!("{} is there already", to.display())));
    }
    let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let part = to.with_file_name(format!(".{name}.part"));
    let progress = Progress::new(!output.is_json());
    let begun = Instant::now();
    let made = run(&from, &part, target, &progress).await;
    if made.is_err() {
        // It may not have been begun.
        let _ = std::fs::remove_file(&part);
    }
    made?;
    let sha256 = tokio::task::block_in_place(|| fetch::sha256(&part, &progress));
    progress.end();
    let sha256 = sha256?;
    std::fs::rename(&part, &to)?;
    let sizes = (from.metadata()?.len(), to.metadata()?.len());
    let seconds = begun.elapsed().as_secs_f64();
    let value = json!({
        "path": to, "quantization": target, "size_bytes": sizes.1, "source_bytes": sizes.0,
        "sha256": sha256, "seconds": seconds,
    });
    output.show(&value, |out| {
        let (before, after) = (bytes(sizes.0), bytes(sizes.1));
        writeln!(out, "{} {} ({before} → {after}, {seconds:.1} s)", "✓".green(), to.display())?;
        writeln!(out, "  sha256 {sha256}")
    })
}

/// A path as it is; else a model of the folder.
fn place(folder: &Path, text: &str) -> PathBuf {
    if text.contains('/') || text.ends_with(".gguf") {
        PathBuf::from(text)
    } else {
        folder.join(format!("{text}.gguf"))
    }
}

async fn run(from: &Path, to: &Path, target: &str, progress: &Progress) -> Result<(), Failure> {
    let program = std::env::current_exe()?.with_file_name(Service::InferenceGateway.program());
    let mut child = Command::new(&program)
        .arg(ARGUMENT)
        .args([from, to])
        .arg(target)
        .env("GGML_NO_BACKTRACE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::other(format!("{}: {error}", program.display())))?;
    let mut why = String::new();
    if let Some(pipe) = child.stderr.take() {
        let mut lines = BufReader::new(pipe).split(b'\n');
        let mut begun = false;
        while let Some(line) = lines.next_segment().await? {
            let line = String::from_utf8_lossy(&line);
            if let Some((step, of)) = step(&line) {
                if !begun {
                    progress.steps("quantising", of);
                    begun = true;
                }
                progress.set(step);
            } else if ["error", "fail", "ASSERT"].iter().any(|word| line.contains(word)) {
                why = line.trim().to_owned();
            }
        }
    }
    let status = child.wait().await?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::other(format!("{} cannot be quantised ({status}): {why}", from.display())))
}

/// llama.cpp writes `[  12/ 272] blk.0.attn_k.weight …`.
fn step(line: &str) -> Option<(u64, u64)> {
    let (step, of) = line.trim_start().strip_prefix('[')?.split_once(']')?.0.split_once('/')?;
    Some((step.trim().parse().ok()?, of.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_and_names_are_of_the_folder() {
        assert_eq!(step("[  12/ 272]  blk.0.attn_k.weight - [ 576, 192]"), Some((12, 272)));
        assert_eq!(step("llama_model_loader: [x/y]"), None);
        let folder = Path::new("/models");
        assert_eq!(place(folder, "a"), Path::new("/models/a.gguf"));
        assert_eq!(place(folder, "./a"), Path::new("./a"));
        assert_eq!(place(folder, "a.gguf"), Path::new("a.gguf"));
    }
}
