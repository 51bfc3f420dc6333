//! The body of an answer, read within bounds.

use std::{collections::VecDeque, fmt, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::{client::causes, lines::Lines, refusal::Fault};

/// How long the end of a body may come after that of the answer.
const REST: Duration = Duration::from_secs(1);

/// A body as it comes. Dropping it closes the connection, which tells the server to stop.
pub(crate) struct Body {
    pieces: BoxStream<'static, Result<Vec<u8>, String>>,
    /// Bytes it may still have.
    left: usize,
    lines: Lines,
    ready: VecDeque<Vec<u8>>,
    ended: bool,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("left", &self.left).field("ended", &self.ended).finish()
    }
}

impl Body {
    /// Of at most `most` bytes.
    pub(crate) fn new(response: Response, most: usize) -> Self {
        let pieces = response.bytes_stream();
        let pieces = pieces.map(|piece| piece.map(Vec::from).map_err(|error| causes(&error)));
        Self {
            pieces: pieces.boxed(),
            left: most,
            lines: Lines::default(),
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// The next line that is not empty, or none at the end. However many bytes come: the line must
    /// be whole by `until`.
    ///
    /// # Errors
    /// When it comes too late, is too long, or the connection breaks.
    pub(crate) async fn line(&mut self, until: Instant) -> Result<Option<Vec<u8>>, Fault> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            match self.piece(until).await? {
                Some(bytes) => {
                    let lines = self.lines.push(&bytes);
                    self.ready.extend(lines.map_err(Fault::failed)?);
                }
                None => {
                    self.ended = true;
                    self.ready.extend(std::mem::take(&mut self.lines).finish());
                }
            }
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// When its end comes after `until`, it is too long, or the connection breaks.
    pub(crate) async fn whole(mut self, until: Instant) -> Result<Vec<u8>, Fault> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.piece(until).await? {
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }

    /// Reads what may follow the answer, in the background, so that the connection can be used again.
    pub(crate) fn finish(self) {
        tokio::spawn(self.whole(Instant::now() + REST));
    }

    async fn piece(&mut self, until: Instant) -> Result<Option<Vec<u8>>, Fault> {
        let piece = timeout_at(until, self.pieces.next()).await.map_err(|_| Fault::Late)?;
        let Some(bytes) = piece.transpose().map_err(Fault::Failed)? else { return Ok(None) };
        self.left = self
            .left
            .checked_sub(bytes.len())
            .ok_or_else(|| Fault::failed("its answer is longer than what was asked for can be"))?;
        Ok(Some(bytes))
    }
}
