//! The header of a safetensors file, read without loading it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::Path,
};

use serde::Deserialize;

use super::Traits;

/// The format's own bound.
const MAX_HEADER: u64 = 100_000_000;

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<u64>,
}

/// What the file says of itself; its context length is not among it.
///
/// # Errors
/// When it is no safetensors file, or ends too early.
pub fn read(path: &Path) -> io::Result<Traits> {
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER.min(file.metadata()?.len()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the header is longer than the file",
        ));
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header)?;
    let entries: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&header)?;
    let mut traits = Traits::default();
    for (name, entry) in entries {
        if name == "__metadata__" {
            continue;
        }
        let tensor: Tensor = serde_json::from_value(entry)?;
        let weights =
            tensor.shape.iter().fold(1_u64, |weights, side| weights.saturating_mul(*side));
        traits.parameters = traits.parameters.saturating_add(weights);
        if tensor.dtype.contains('F') {
            traits.quantization = tensor.dtype;
        }
    }
    Ok(traits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_what_the_model_is_and_a_bad_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let header =
            r#"{"__metadata__":{},"a":{"dtype":"F32","shape":[3,4],"data_offsets":[0,48]}}"#;
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        std::fs::write(&path, &file).unwrap();
        let traits = read(&path).unwrap();
        assert_eq!((traits.parameters, traits.quantization.as_str()), (12, "F32"));
        for bad in [&b""[..], b"short", &[0xff; 64], &file[..30]] {
            std::fs::write(&path, bad).unwrap();
            assert!(read(&path).is_err());
        }
    }
}
