//! Tensors of a safetensors file as 32-bit numbers.

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::Error;

/// Those whose names begin alike.
pub(crate) struct Weights<'a> {
    all: std::rc::Rc<SafeTensors<'a>>,
    /// With a dot at its end, unless empty.
    prefix: String,
}

impl<'a> Weights<'a> {
    /// All of a file.
    pub(crate) fn read(file: &'a [u8]) -> Result<Self, Error> {
        let all = SafeTensors::deserialize(file)?.into();
        Ok(Self { all, prefix: String::new() })
    }

    /// Those below `name`.
    pub(crate) fn of(&self, name: &str) -> Self {
        Self { all: self.all.clone(), prefix: format!("{}{name}.", self.prefix) }
    }

    /// Whether there is one of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.all.tensor(&format!("{}{name}", self.prefix)).is_ok()
    }

    /// One that has these sizes.
    pub(crate) fn get(&self, name: &str, sizes: &[usize]) -> Result<Vec<f32>, Error> {
        let name = format!("{}{name}", self.prefix);
        let tensor = self.all.tensor(&name)?;
        let numbers = if tensor.shape() == sizes { numbers(&tensor) } else { None };
        numbers.ok_or_else(|| Error::Tensor {
            name,
            expected: sizes.to_vec(),
            found: format!("{:?} of {:?}", tensor.shape(), tensor.dtype()),
        })
    }
}

fn numbers(tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    let (longs, _) = tensor.data().as_chunks::<4>();
    let (shorts, _) = tensor.data().as_chunks::<2>();
    match tensor.dtype() {
        Dtype::F32 => Some(longs.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
        Dtype::F16 => Some(shorts.iter().map(|bytes| f16::from_le_bytes(*bytes).into()).collect()),
        Dtype::BF16 => {
            Some(shorts.iter().map(|bytes| bf16::from_le_bytes(*bytes).into()).collect())
        }
        _ => None,
    }
}
