//! Smaller weights for a GGUF file: llama.cpp's `llama_model_quantize`, which the crate llama-cpp-2
//! does not offer. It is the only crate with `unsafe`, in the module `call`.
//!
//! llama.cpp writes its progress to standard error, and ends the process on some spoilt files: call
//! it in a process of its own.

use std::{ffi::CString, fmt, os::unix::ffi::OsStrExt, path::Path, str::FromStr};

/// How weights are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// 4 bits, blocks of 256 weights, more for those that matter most.
    Q4KM,
    /// 4 bits, blocks of 32 weights.
    Q4_0,
    /// 8 bits, blocks of 32 weights.
    Q8_0,
}

impl Target {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Q4KM, Self::Q4_0, Self::Q8_0];

    /// For example "q4_k_m".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q4KM => "q4_k_m",
            Self::Q4_0 => "q4_0",
            Self::Q8_0 => "q8_0",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|target| target.name() == name);
        found.ok_or_else(|| format!("`{name}` is none of q4_k_m, q4_0 and q8_0"))
    }
}

/// Writes the weights of `from` to `to` as `target` says, on `threads` threads. Files whose weights
/// are quantized already are taken, too, and lose some more.
///
/// # Errors
/// When `from` cannot be read or `to` not be written; llama.cpp says why on standard error.
pub fn quantize(from: &Path, to: &Path, target: Target, threads: usize) -> Result<(), String> {
    let text = |path: &Path| {
        CString::new(path.as_os_str().as_bytes()).map_err(|_| "a path has a zero byte".to_owned())
    };
    let threads = i32::try_from(threads).unwrap_or(i32::MAX);
    match call::quantize(&text(from)?, &text(to)?, target, threads) {
        0 => Ok(()),
        code => Err(format!("llama.cpp failed with code {code}")),
    }
}

#[expect(unsafe_code, reason = "llama.cpp is C++; llama-cpp-2 has no safe function for it")]
mod call {
    use std::ffi::CStr;

    use llama_cpp_sys_2 as sys;

    use super::Target;

    /// What llama.cpp returns: 0 for success.
    pub(super) fn quantize(from: &CStr, to: &CStr, target: Target, threads: i32) -> u32 {
        // SAFETY: takes nothing and returns a plain value.
        let mut params = unsafe { sys::llama_model_quantize_default_params() };
        params.nthread = threads;
        params.allow_requantize = true;
        params.ftype = match target {
            Target::Q4KM => sys::LLAMA_FTYPE_MOSTLY_Q4_K_M,
            Target::Q4_0 => sys::LLAMA_FTYPE_MOSTLY_Q4_0,
            Target::Q8_0 => sys::LLAMA_FTYPE_MOSTLY_Q8_0,
        };
        // SAFETY: takes and returns nothing; only sets up tables, and may be called again.
        unsafe { sys::llama_backend_init() };
        // SAFETY: both paths end with a zero byte and outlive the call, as do the parameters, whose
        // pointers are null as the defaults have them. Exceptions are caught inside.
        unsafe { sys::llama_model_quantize(from.as_ptr(), to.as_ptr(), &raw const params) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_names() {
        for target in Target::ALL {
            assert_eq!(target.name().parse(), Ok(target));
        }
        assert!("q3".parse::<Target>().unwrap_err().contains("none of q4_k_m"));
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let to = std::env::temp_dir().join("alina-quantize-nothing.gguf");
        assert!(quantize(Path::new("/nowhere.gguf"), &to, Target::Q4_0, 1).is_err());
    }
}
