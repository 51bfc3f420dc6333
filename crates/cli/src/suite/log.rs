//! Children's logs: each into its own file, and all to the supervisor's terminal.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use owo_colors::{AnsiColors, OwoColorize};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
};

/// A log is begun anew past this size, and the one before kept as `.1`, in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;
/// How much of a log is shown when something goes wrong, in bytes.
const TAIL: usize = 2_000;

const COLOURS: [AnsiColors; 8] = [
    AnsiColors::BrightBlue,
    AnsiColors::BrightRed,
    AnsiColors::Yellow,
    AnsiColors::Magenta,
    AnsiColors::Cyan,
    AnsiColors::Green,
    AnsiColors::BrightBlack,
    AnsiColors::White,
];

/// Copies a child's lines until it ends.
pub(super) async fn copy(name: String, index: usize, lines: impl AsyncRead + Unpin, path: PathBuf) {
    let colour = COLOURS[index % COLOURS.len()];
    let mut lines = BufReader::new(lines).split(b'\n');
    let mut log = Log::open(&path).await.ok();
    while let Ok(Some(line)) = lines.next_segment().await {
        if let Some(open) = &mut log
            && open.write(&line).await.is_err()
        {
            log = Log::open(&path).await.ok();
        }
        let text = String::from_utf8_lossy(&line);
        // The file has it when nobody looks at the terminal any more.
        let _ = writeln!(anstream::stdout(), "{:>17} {text}", name.color(colour));
    }
}

struct Log {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Log {
    async fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path).await?;
        let size = file.metadata().await?.len();
        Ok(Self { path: path.to_owned(), file, size })
    }

    async fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.size > LARGEST {
            tokio::fs::rename(&self.path, self.path.with_extension("log.1")).await?;
            *self = Self::open(&self.path).await?;
        }
        self.file.write_all(&[line, b"\n"].concat()).await?;
        self.file.flush().await?;
        self.size += line.len() as u64 + 1;
        Ok(())
    }
}

/// The end of a log.
pub(crate) fn tail(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let from = bytes.len().saturating_sub(TAIL);
    String::from_utf8_lossy(&bytes[from..]).trim_end().to_owned()
}
