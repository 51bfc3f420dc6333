//! The header of a GGUF file, read without loading it. Every length in it is doubted: the file may
//! be anything. <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use super::Traits;

/// Longer texts are no header's.
const MAX_TEXT: u64 = 4 << 20;
/// More entries are no header's.
const MAX_ENTRIES: u64 = 1 << 16;

/// What the file says of itself.
///
/// # Errors
/// When it is no GGUF file of version 2 or 3, or ends too early.
pub fn read(path: &Path) -> io::Result<Traits> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Reader { input: BufReader::new(file).take(length), length }.header()
}

struct Reader<R> {
    input: R,
    /// Of the whole: no array has more elements.
    length: u64,
}

enum Value {
    Number(u64),
    Other,
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no sound GGUF header: {what}"))
}

impl<R: Read> Reader<R> {
    fn header(&mut self) -> io::Result<Traits> {
        if self.bytes()? != *b"GGUF" {
            return Err(wrong("it does not begin with GGUF"));
        }
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            return Err(wrong(&format!("version {version}, 2 or 3 is read")));
        }
        let tensors = self.count()?;
        let entries = self.count()?;
        let mut traits = Traits::default();
        for _ in 0..entries {
            let key = self.text()?;
            let kind = self.u32()?;
            let value = self.value(kind)?;
            match (key.as_str(), value) {
                ("general.file_type", Value::Number(kind)) => {
                    traits.quantization = quantization(kind).to_owned();
                }
                (key, Value::Number(context)) if key.ends_with(".context_length") => {
                    traits.context_length = u32::try_from(context).unwrap_or(u32::MAX);
                }
                _ => {}
            }
        }
        for _ in 0..tensors {
            traits.parameters = traits.parameters.saturating_add(self.tensor()?);
        }
        Ok(traits)
    }

    /// Its number of weights.
    fn tensor(&mut self) -> io::Result<u64> {
        self.text()?;
        let dimensions = self.u32()?;
        if dimensions > 8 {
            return Err(wrong("a tensor has more than 8 dimensions"));
        }
        let mut weights = 1_u64;
        for _ in 0..dimensions {
            weights = weights.saturating_mul(self.u64()?);
        }
        let _kind = self.u32()?;
        let _offset = self.u64()?;
        Ok(weights)
    }

    fn value(&mut self, kind: u32) -> io::Result<Value> {
        Ok(match kind {
            0 | 1 | 7 => Value::Number(u64::from(self.bytes::<1>()?[0])),
            2 | 3 => Value::Number(u64::from(u16::from_le_bytes(self.bytes()?))),
            4 | 5 => Value::Number(u64::from(self.u32()?)),
            10 | 11 => Value::Number(self.u64()?),
            6 => self.skip(4)?,
            12 => self.skip(8)?,
            8 => {
                self.text()?;
                Value::Other
            }
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

/// The names of `llama_ftype` in llama.h.
fn quantization(file_type: u64) -> &'static str {
    match file_type {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        7 => "Q8_0",
        8 => "Q5_0",
        9 => "Q5_1",
        10 => "Q2_K",
        11 => "Q3_K_S",
        12 => "Q3_K_M",
        13 => "Q3_K_L",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        19 => "IQ2_XXS",
        20 => "IQ2_XS",
        21 => "Q2_K_S",
        22 => "IQ3_XS",
        23 => "IQ3_XXS",
        24 => "IQ1_S",
        25 => "IQ4_NL",
        26 => "IQ3_S",
        27 => "IQ3_M",
        28 => "IQ2_S",
        29 => "IQ2_M",
        30 => "IQ4_XS",
        31 => "IQ1_M",
        32 => "BF16",
        36 => "TQ1_0",
        37 => "TQ2_0",
        38 => "MXFP4",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(of: &[u8]) -> io::Result<Traits> {
        Reader { input: of, length: of.len() as u64 }.header()
    }

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }

    fn small() -> Vec<u8> {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(2_u64.to_le_bytes());
        file.extend(4_u64.to_le_bytes());
        file.extend([text("general.name"), 8_u32.to_le_bytes().to_vec(), text("tiny")].concat());
        file.extend(text("general.file_type"));
        file.extend([4_u32.to_le_bytes(), 3_u32.to_le_bytes()].concat());
        file.extend(text("llama.context_length"));
        file.extend([4_u32.to_le_bytes(), 2048_u32.to_le_bytes()].concat());
        file.extend(text("tokenizer.ggml.tokens"));
        file.extend([9_u32.to_le_bytes(), 8_u32.to_le_bytes()].concat());
        file.extend([2_u64.to_le_bytes().to_vec(), text("a"), text("b")].concat());
        for (name, shape) in [("x", vec![3_u64, 5]), ("y", vec![7])] {
            file.extend(text(name));
            file.extend(u32::try_from(shape.len()).unwrap().to_le_bytes());
            shape.iter().for_each(|side| file.extend(side.to_le_bytes()));
            file.extend([0; 12]);
        }
        file
    }

    #[test]
    fn a_header_says_what_the_model_is() {
        let expected =
            Traits { quantization: "Q4_1".to_owned(), parameters: 22, context_length: 2048 };
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
