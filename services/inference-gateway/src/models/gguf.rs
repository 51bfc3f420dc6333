//! The header of a GGUF file, read without loading it. Every length in it is doubted: the file may
//! be anything. <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use super::{
    Traits,
    ggml::{block, quantization},
};

/// Longer texts are no header's.
const MAX_TEXT: u64 = 4 << 20;
/// More entries are no header's.
const MAX_ENTRIES: u64 = 1 << 16;

/// Larger steps between tensors than any program writes.
const MAX_ALIGNMENT: u64 = 1 << 20;

/// What a file's header says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Of the model.
    pub traits: Traits,
    /// For example "llama" or "bert".
    pub architecture: String,
    /// It says how the vectors of tokens become that of a text: it was made for such vectors.
    pub makes_vectors: bool,
    /// What a token's keys and values take in a context of 16-bit numbers; 0 when unknown.
    pub context_bytes: u64,
}

/// What the file says of itself.
///
/// # Errors
/// When it is no GGUF file of version 2 or 3, or ends before its last tensor does.
pub fn read(path: &Path) -> io::Result<Header> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let input = Counted { input: BufReader::new(file).take(length), position: 0 };
    Reader { input, length }.header()
}

struct Reader<R> {
    input: Counted<R>,
    /// Of the whole: no array has more elements.
    length: u64,
}

/// Knows how far it has read.
struct Counted<R> {
    input: R,
    position: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.position += read as u64;
        Ok(read)
    }
}

enum Value {
    Number(u64),
    Text(String),
    Other,
}

/// What the size of a token's keys and values follows from.
#[derive(Default)]
struct Shape {
    layers: u64,
    width: u64,
    heads: u64,
    /// 0 when there are as many as `heads`.
    key_heads: u64,
    /// 0 when it is `width` over `heads`.
    key_length: u64,
    value_length: u64,
}

impl Shape {
    fn note(&mut self, key: &str, number: u64) {
        let Some((_, key)) = key.split_once('.') else { return };
        match key {
            "block_count" => self.layers = number,
            "embedding_length" => self.width = number,
            "attention.head_count" => self.heads = number,
            "attention.head_count_kv" => self.key_heads = number,
            "attention.key_length" => self.key_length = number,
            "attention.value_length" => self.value_length = number,
            _ => {}
        }
    }

    fn context_bytes(&self) -> u64 {
        let or = |number: u64, other: u64| if number == 0 { other } else { number };
        let width = self.width.checked_div(self.heads).unwrap_or(0);
        let length = or(self.key_length, width).saturating_add(or(self.value_length, width));
        let numbers = self.layers.saturating_mul(or(self.key_heads, self.heads));
        numbers.saturating_mul(length).saturating_mul(2)
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no sound GGUF header: {what}"))
}

impl<R: Read> Reader<R> {
    fn header(&mut self) -> io::Result<Header> {
        if self.bytes()? != *b"GGUF" {
            return Err(wrong("it does not begin with GGUF"));
        }
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            return Err(wrong(&format!("version {version}, 2 or 3 is read")));
        }
        let tensors = self.count()?;
        let entries = self.count()?;
        let mut header = Header::default();
        let mut shape = Shape::default();
        let mut alignment = 32;
        for _ in 0..entries {
            let key = self.text()?;
            let kind = self.u32()?;
            let value = self.value(kind)?;
            match (key.as_str(), value) {
                ("general.architecture", Value::Text(name)) => header.architecture = name,
                ("general.alignment", Value::Number(number)) => alignment = number,
                ("general.file_type", Value::Number(kind)) => {
                    header.traits.quantization = quantization(kind).to_owned();
                }
                (key, Value::Number(context)) if key.ends_with(".context_length") => {
                    header.traits.context_length = u32::try_from(context).unwrap_or(u32::MAX);
                }
                (key, Value::Number(pooling)) if key.ends_with(".pooling_type") => {
                    header.makes_vectors = pooling != 0;
                }
                (key, Value::Number(number)) => shape.note(key, number),
                _ => {}
            }
        }
        if !(1..=MAX_ALIGNMENT).contains(&alignment) {
            return Err(wrong(&format!("an alignment of {alignment}")));
        }
        // Where the last tensor ends, from where the first begins.
        let mut end = 0;
        for _ in 0..tensors {
            let (weights, ends) = self.tensor()?;
            header.traits.parameters = header.traits.parameters.saturating_add(weights);
            end = end.max(ends);
        }
        let begin = self.input.position.next_multiple_of(alignment);
        let needed = begin.saturating_add(end);
        if needed > self.length {
            return Err(wrong(&format!(
                "its tensors need {needed} bytes, it has {}: it was cut off",
                self.length
            )));
        }
        header.context_bytes = shape.context_bytes();
        Ok(header)
    }

    /// Its number of weights, and where it ends.
    fn tensor(&mut self) -> io::Result<(u64, u64)> {
        let name = self.text()?;
        let dimensions = self.u32()?;
        if dimensions > 8 {
            return Err(wrong("a tensor has more than 8 dimensions"));
        }
        let too_large = || wrong(&format!("tensor {name:?} is larger than any file"));
        let mut weights = 1_u64;
        for _ in 0..dimensions {
            weights = weights.checked_mul(self.u64()?).ok_or_else(too_large)?;
        }
        let kind = self.u32()?;
        let offset = self.u64()?;
        // Of a kind not known here only the beginning can be checked; llama.cpp refuses the rest.
        let (in_block, bytes) = block(kind).unwrap_or((1, 0));
        if !weights.is_multiple_of(in_block) {
            return Err(wrong(&format!("tensor {name:?} has a part of a block")));
        }
        let size = (weights / in_block).checked_mul(bytes).ok_or_else(too_large)?;
        Ok((weights, offset.checked_add(size).ok_or_else(too_large)?))
    }

    fn value(&mut self, kind: u32) -> io::Result<Value> {
        Ok(match kind {
            0 | 1 | 7 => Value::Number(u64::from(self.bytes::<1>()?[0])),
            2 | 3 => Value::Number(u64::from(u16::from_le_bytes(self.bytes()?))),
            4 | 5 => Value::Number(u64::from(self.u32()?)),
            10 | 11 => Value::Number(self.u64()?),
            6 => self.skip(4)?,
            12 => self.skip(8)?,
            8 => Value::Text(self.text()?),
            9 => {
                let (kind, count) = (self.u32()?, self.u64()?);
                if count > self.length {
                    return Err(wrong("an array is longer than the file"));
                }
                match kind {
                    0 | 1 | 7 => self.skip(count)?,
                    2 | 3 => self.skip(count.saturating_mul(2))?,
                    4..=6 => self.skip(count.saturating_mul(4))?,
                    10..=12 => self.skip(count.saturating_mul(8))?,
                    8 => {
                        for _ in 0..count {
                            let length = self.u64()?;
                            self.skip(length)?;
                        }
                        Value::Other
                    }
                    _ => return Err(wrong(&format!("an array of type {kind}"))),
                }
            }
            _ => return Err(wrong(&format!("a value of type {kind}"))),
        })
    }

    fn skip(&mut self, bytes: u64) -> io::Result<Value> {
        let skipped = io::copy(&mut self.input.by_ref().take(bytes), &mut io::sink())?;
        if skipped < bytes { Err(wrong("it ends too early")) } else { Ok(Value::Other) }
    }

    fn text(&mut self) -> io::Result<String> {
        let length = self.u64()?;
        if length > MAX_TEXT {
            return Err(wrong("a text is too long"));
        }
        let mut bytes = Vec::new();
        self.input.by_ref().take(length).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < length {
            return Err(wrong("it ends too early"));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn count(&mut self) -> io::Result<u64> {
        let count = self.u64()?;
        if count > MAX_ENTRIES { Err(wrong("too many entries")) } else { Ok(count) }
    }

    fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|_| wrong("it ends too early"))?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(of: &[u8]) -> io::Result<Header> {
        let input = Counted { input: of, position: 0 };
        Reader { input, length: of.len() as u64 }.header()
    }

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }

    fn small() -> Vec<u8> {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(2_u64.to_le_bytes());
        file.extend(9_u64.to_le_bytes());
        for (name, number) in [
            ("llama.block_count", 2_u32),
            ("llama.embedding_length", 12),
            ("llama.attention.head_count", 3),
            ("llama.attention.head_count_kv", 1),
        ] {
            file.extend(text(name));
            file.extend([4_u32.to_le_bytes(), number.to_le_bytes()].concat());
        }
        file.extend(text("general.architecture"));
        file.extend([8_u32.to_le_bytes().to_vec(), text("llama")].concat());
        file.extend([text("general.name"), 8_u32.to_le_bytes().to_vec(), text("tiny")].concat());
        file.extend(text("general.file_type"));
        file.extend([4_u32.to_le_bytes(), 3_u32.to_le_bytes()].concat());
        file.extend(text("llama.context_length"));
        file.extend([4_u32.to_le_bytes(), 2048_u32.to_le_bytes()].concat());
        file.extend(text("tokenizer.ggml.tokens"));
        file.extend([9_u32.to_le_bytes(), 8_u32.to_le_bytes()].concat());
        file.extend([2_u64.to_le_bytes().to_vec(), text("a"), text("b")].concat());
        for (name, shape, offset) in [("x", vec![3_u64, 5], 0_u64), ("y", vec![7], 64)] {
            file.extend(text(name));
            file.extend(u32::try_from(shape.len()).unwrap().to_le_bytes());
            shape.iter().for_each(|side| file.extend(side.to_le_bytes()));
            file.extend([0; 4]);
            file.extend(offset.to_le_bytes());
        }
        file.resize(file.len().next_multiple_of(32) + 64 + 28, 0);
        file
    }

    #[test]
    fn a_header_says_what_the_model_is() {
        let traits =
            Traits { quantization: "Q4_1".to_owned(), parameters: 22, context_length: 2048 };
        // Two layers, one head of keys and values, four numbers each of two bytes.
        let architecture = "llama".to_owned();
        let expected = Header { traits, architecture, makes_vectors: false, context_bytes: 32 };
        assert_eq!(header(&small()).unwrap(), expected);
    }

    #[test]
    fn a_header_cut_anywhere_is_an_error() {
        let whole = small();
        for length in 0..whole.len() {
            assert!(header(&whole[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn no_bytes_do_harm() {
        crate::fuzz::fuzz("gguf", &[small()], |file| drop(header(file)));
    }
}
