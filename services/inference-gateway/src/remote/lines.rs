//! Lines out of pieces of a body.

/// More in one line is no part of an answer.
const MAX_LINE: usize = 4 << 20;

/// Collects bytes, gives out lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// Of `bytes`: no line ends in them.
    searched: usize,
}

impl Lines {
    /// Adds bytes; returns the lines that are whole now.
    ///
    /// # Errors
    /// When a line is too long.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
        self.bytes.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n') {
            let rest = self.bytes.split_off(self.searched + end + 1);
            let mut line = std::mem::replace(&mut self.bytes, rest);
            self.searched = 0;
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            lines.push(line);
        }
        self.searched = self.bytes.len();
        if self.bytes.len() > MAX_LINE {
            return Err("a line of its answer is too long");
        }
        lines.retain(|line| !line.trim_ascii().is_empty());
        Ok(lines)
    }

    /// What came after the last line's end.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        (!self.bytes.trim_ascii().is_empty()).then_some(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_arrive() {
        let mut lines = Lines::default();
        assert!(lines.push(b"{\"a\":").unwrap().is_empty());
        assert_eq!(lines.push(b"1}\r\n\n{}\n{").unwrap(), [b"{\"a\":1}".to_vec(), b"{}".to_vec()]);
        assert_eq!(lines.finish(), Some(b"{".to_vec()));
    }

    #[test]
    fn spoilt_lines_are_read_in_any_pieces() {
        let seeds = [b"{\"a\":1}\n{}\r\n\n \ndata: x\n: ping\n\ndata: [DONE]".to_vec()];
        crate::fuzz::fuzz("lines", &seeds, |body| {
            let mut lines = Lines::default();
            let mut all = Vec::new();
            for piece in body.chunks(1 + body.len() % 37) {
                all.extend(lines.push(piece).unwrap());
            }
            let rest = lines.finish();
            let mut whole: Vec<_> = body.split(|byte| *byte == b'\n').collect();
            let last = whole.pop().filter(|last| !last.trim_ascii().is_empty());
            assert_eq!(rest.as_deref(), last);
            let whole = whole.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
            let whole: Vec<_> = whole.filter(|line| !line.trim_ascii().is_empty()).collect();
            assert_eq!(all, whole);
        });
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut lines = Lines::default();
        assert!(lines.push(&vec![b'x'; MAX_LINE + 1]).is_err());
    }
}
