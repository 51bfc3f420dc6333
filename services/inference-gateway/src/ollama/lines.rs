//! NDJSON out of pieces of a body.

/// More in one line is no answer of Ollama's.
const MAX_LINE: usize = 4 << 20;

/// Collects bytes, gives out lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
}

impl Lines {
    /// Adds bytes; returns the lines that are whole now.
    ///
    /// # Errors
    /// When a line is too long.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
        self.bytes.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
            let rest = self.bytes.split_off(end + 1);
            let mut line = std::mem::replace(&mut self.bytes, rest);
            line.pop();
            lines.push(line);
        }
        if self.bytes.len() > MAX_LINE {
            return Err("a line of its answer is too long");
        }
        lines.retain(|line| !line.trim_ascii().is_empty());
        Ok(lines)
    }

    /// What came after the last line's end.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
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
        assert_eq!(lines.push(b"1}\n\n{}\n{").unwrap(), [b"{\"a\":1}".to_vec(), b"{}".to_vec()]);
        assert_eq!(lines.finish(), Some(b"{".to_vec()));
    }

    #[test]
    fn spoilt_lines_are_read_as_they_are_or_refused() {
        use crate::ollama::wire::{ChatLine, EmbedResponse, Refusal, Tags, Version};

        let seeds = [
            b"{\"message\":{\"role\":\"assistant\",\"content\":\"\\u00e9\"},\"done\":false}\n\
              {\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":11,\"eval_count\":3}\n"
                .to_vec(),
            b"{\"embeddings\":[[0.5,-1e-3]],\"prompt_eval_count\":3}".to_vec(),
            b"{\"models\":[{\"name\":\"a:b\",\"size\":3,\"details\":{\"family\":\"bert\"}}]}"
                .to_vec(),
            b"{\"version\":\"0.12.3\"}\r\n{\"error\":\"no such model\"}".to_vec(),
        ];
        crate::fuzz::fuzz("ollama", &seeds, |body| {
            let mut lines = Lines::default();
            let mut all = Vec::new();
            // In pieces of every size.
            for piece in body.chunks(1 + body.len() % 37) {
                all.extend(lines.push(piece).unwrap());
            }
            all.extend(lines.finish());
            let whole = body.split(|byte| *byte == b'\n');
            let whole: Vec<_> = whole.filter(|line| !line.trim_ascii().is_empty()).collect();
            assert_eq!(all, whole);
            for line in all {
                let _ = serde_json::from_slice::<ChatLine>(&line);
                let _ = serde_json::from_slice::<EmbedResponse>(&line);
                let _ = serde_json::from_slice::<Tags>(&line);
                let _ = serde_json::from_slice::<Version>(&line);
                let _ = serde_json::from_slice::<Refusal>(&line);
            }
        });
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut lines = Lines::default();
        assert!(lines.push(&vec![b'x'; MAX_LINE + 1]).is_err());
    }
}
