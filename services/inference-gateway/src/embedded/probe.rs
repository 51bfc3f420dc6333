//! Files are tried before they are loaded: another process of this program loads one and decodes a
//! token. Where llama.cpp crashes on a spoilt file, only that process ends.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use llama_cpp_2::{llama_batch::LlamaBatch, token::LlamaToken};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use super::{
    EngineSettings,
    engine::open,
    load::{Loaded, speak},
    vectors::VectorModel,
};
use crate::models::ModelFile;

/// The program's argument that has it try the file named by the next one.
pub const ARGUMENT: &str = "probe-model";

/// What it says last of a file that is sound.
const SOUND: &str = "sound";

/// The context that a token is decoded in.
const CONTEXT: u32 = 64;

/// What a file is tried for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A token is decoded.
    Chat,
    /// A text is made a vector of.
    Vectors,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Vectors => "vectors",
        }
    }
}

/// Tries `file`, unless it is known to be sound. Blocks.
///
/// # Errors
/// What is wrong with it, and how to mend that.
pub fn prove(file: &ModelFile, purpose: Purpose) -> Result<(), String> {
    if file.is_proven() {
        return Ok(());
    }
    let begun = Instant::now();
    let result = try_in_child(file.path(), purpose, patience(file.size()));
    let result = result.map_err(|problem| {
        format!(
            "{} is corrupt or of a kind that llama.cpp cannot load: {problem}; delete it and fetch \
             it again, with ./deploy/bootstrap or `alina models pull`",
            file.path().display()
        )
    });
    tracing::info!(path = %file.path().display(), took = ?begun.elapsed(), ?result, "tried");
    file.tried(result.as_ref().err().map(String::as_str));
    result
}

/// Reading from a slow disk must do.
fn patience(bytes: u64) -> Duration {
    Duration::from_secs(60 + bytes / 20_000_000)
}

fn try_in_child(path: &Path, purpose: Purpose, patience: Duration) -> Result<(), String> {
    // As the kernel knows it: the file may have been replaced by a newer one.
    let mut child = Command::new("/proc/self/exe")
        .arg(ARGUMENT)
        .arg(purpose.name())
        .arg(path)
        // llama.cpp would start a debugger when it aborts.
        .env("GGML_NO_BACKTRACE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("it could not be tried: no process could be started: {error}"))?;
    let said = child.stdout.take().map(|pipe| thread::spawn(|| read(pipe)));
    let logged = child.stderr.take().map(|pipe| thread::spawn(|| read(pipe)));
    let status = wait(&mut child, patience);
    let text = |reader: Option<thread::JoinHandle<String>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };
    let (said, logged) = (text(said), text(logged));
    match status.map_err(|error| format!("it could not be tried: {error}"))? {
        Some(status) if status.success() && said.trim_end().ends_with(SOUND) => Ok(()),
        Some(status) => Err(fault(status, &said, &logged)),
        None => Err(format!("loading it took longer than {} s", patience.as_secs())),
    }
}

/// The end of what it writes; the rest is read and forgotten.
fn read(mut pipe: impl Read) -> String {
    const KEEP: usize = 16 << 10;
    let (mut all, mut buffer) = (Vec::new(), [0; 4_096]);
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        all.extend_from_slice(&buffer[..read]);
        if all.len() > 2 * KEEP {
            all.drain(..all.len() - KEEP);
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[expect(clippy::disallowed_methods, reason = "runs on a thread that may block")]
fn wait(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() > patience {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// What is told of a process that ended without a word or with a complaint.
fn fault(status: ExitStatus, said: &str, logged: &str) -> String {
    let is_why = |line: &&str| {
        let line = line.to_lowercase();
        ["error", "fail", "assert", "invalid", "abort"].iter().any(|word| line.contains(word))
    };
    let why = logged.lines().find(is_why).map(str::trim);
    let what = match (status.signal(), said.trim()) {
        (Some(signal), _) => format!("llama.cpp crashed on it (signal {signal})"),
        (None, "") => format!("trying it ended with {status}"),
        (None, said) => said.to_owned(),
    };
    match why {
        Some(why) => format!("{what}: {why}"),
        None => what,
    }
}

/// The process that tries a file: `arguments` hold what for, and its path.
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    // Nobody waits when the service is gone.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let purpose = arguments.next().unwrap_or_default();
    let path = arguments.next().unwrap_or_default();
    let attempt = if purpose == Purpose::Vectors.name() { embed } else { decode };
    let (said, code) = match confine(Path::new(&path)).and_then(|()| attempt(Path::new(&path))) {
        Ok(()) => (SOUND.to_owned(), ExitCode::SUCCESS),
        Err(problem) => (problem, ExitCode::FAILURE),
    };
    let _ = writeln!(io::stdout(), "{said}");
    code
}

/// A spoilt number must not take the machine's memory, nor a crash its disk.
fn confine(path: &Path) -> Result<(), String> {
    let size = path.metadata().map_err(|error| error.to_string())?.len();
    let most = size.saturating_mul(3).saturating_add(4 << 30);
    for (resource, most) in [(Resource::As, most), (Resource::Core, 0)] {
        let _ = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    }
    speak();
    Ok(())
}

fn decode(path: &Path) -> Result<(), String> {
    let settings =
        EngineSettings { context_length: CONTEXT, sequences: 1, threads: 1, prefix_bytes: 0 };
    let loaded = Loaded::open(path, settings).map_err(|_| "llama.cpp refuses it".to_owned())?;
    let mut context = open(&loaded, settings)?;
    let token = match loaded.model.vocab().bos() {
        token if token.0 >= 0 => token,
        _ => LlamaToken::new(0),
    };
    let mut batch = LlamaBatch::new(1, 1);
    batch.add(token, 0, &[0], true).map_err(|error| error.to_string())?;
    context.decode(&mut batch).map_err(|error| format!("a token cannot be decoded: {error}"))?;
    let numbers = context.get_logits_ith(0).iter().all(|logit| logit.is_finite());
    if numbers { Ok(()) } else { Err("what it calculates are no numbers".to_owned()) }
}

fn embed(path: &Path) -> Result<(), String> {
    let model = VectorModel::open(path, CONTEXT, 1);
    let model = model.map_err(|_| "llama.cpp refuses it".to_owned())?;
    model.embedder()?.embed(&["a".to_owned()]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_how_it_ended_and_why() {
        let crashed = ExitStatus::from_raw(11);
        let said = fault(crashed, "", "llama_model_load: error loading model: bad\nmore");
        assert_eq!(
            said,
            "llama.cpp crashed on it (signal 11): llama_model_load: error loading model: bad"
        );
        let failed = ExitStatus::from_raw(1 << 8);
        assert_eq!(fault(failed, "llama.cpp refuses it\n", "loading"), "llama.cpp refuses it");
    }

    #[test]
    fn a_program_that_cannot_try_files_proves_nothing() {
        // The program of these tests takes the argument for the name of a test, and succeeds.
        let result = try_in_child(Path::new("/nowhere"), Purpose::Chat, Duration::from_secs(30));
        assert!(result.is_err(), "{result:?}");
    }
}
