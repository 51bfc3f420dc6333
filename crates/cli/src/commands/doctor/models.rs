//! Whether the models' files are what config.yaml says they are.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{Finding, finding};
use crate::{
    commands::models::configured::{Gateway, Model},
    output::bytes,
    session::Session,
};

const MEND: &str = "run ./deploy/bootstrap setup to fetch it again";

pub(super) async fn files(session: &Session) -> Vec<Finding> {
    let Gateway { folder, models, .. } = Gateway::read(session);
    let on_disk: Vec<Model> = models.into_iter().filter(|model| model.path.is_some()).collect();
    if on_disk.is_empty() {
        let said = "inference_gateway.models names none on this machine; only Ollama can answer";
        return vec![finding::<_, String>("model", Ok(said))];
    }
    let mut findings = Vec::new();
    for model in on_disk {
        let folder = folder.clone();
        // Hashing reads the whole file.
        let checked = tokio::task::spawn_blocking(move || check(&folder, &model)).await;
        findings.push(finding("model", checked.unwrap_or_else(|error| Err(error.to_string()))));
    }
    findings
}

fn check(folder: &Path, model: &Model) -> Result<String, String> {
    let path = folder.join(model.path.as_deref().unwrap_or(Path::new("")));
    // An embedding model is a folder; its weights are what can be spoilt.
    let path = if path.is_dir() { path.join("model.safetensors") } else { path };
    let (name, shown) = (&model.name, path.display());
    let size = path
        .metadata()
        .map_err(|error| format!("{name}: {shown} cannot be read ({error}); {MEND}"))?
        .len();
    if let Some(expected) = model.size_bytes.filter(|expected| *expected != size) {
        return Err(format!("{name}: {shown} has {size} bytes instead of {expected}; {MEND}"));
    }
    if size == 0 {
        return Err(format!("{name}: {shown} is empty; {MEND}"));
    }
    let Some(expected) = &model.sha256 else {
        return Ok(format!("{name}: {shown} ({}), its sha256 is not in config.yaml", bytes(size)));
    };
    let found = sha256(&path).map_err(|error| format!("{name}: {shown}: {error}"))?;
    if found != *expected {
        return Err(format!("{name}: {shown} has sha256 {found} instead of {expected}; {MEND}"));
    }
    Ok(format!("{name}: {shown} ({}), sha256 as expected", bytes(size)))
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of "abc", as FIPS 180-2 has it.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn model(sha256: &str, size_bytes: u64) -> Model {
        Model {
            name: "tiny".to_owned(),
            path: Some("tiny.gguf".into()),
            sha256: Some(sha256.to_owned()),
            size_bytes: Some(size_bytes),
        }
    }

    #[test]
    fn a_missing_short_or_spoilt_file_is_told_with_what_was_expected() {
        let folder = tempfile::tempdir().unwrap();
        let missing = check(folder.path(), &model(ABC, 3)).unwrap_err();
        assert!(missing.contains("tiny.gguf cannot be read") && missing.ends_with(MEND));
        std::fs::write(folder.path().join("tiny.gguf"), "abc").unwrap();
        let fine = check(folder.path(), &model(ABC, 3)).unwrap();
        assert!(fine.ends_with("sha256 as expected"), "{fine}");
        let short = check(folder.path(), &model(ABC, 4)).unwrap_err();
        assert!(short.contains("has 3 bytes instead of 4"), "{short}");
        let other = "0".repeat(64);
        let spoilt = check(folder.path(), &model(&other, 3)).unwrap_err();
        assert!(spoilt.contains(&format!("has sha256 {ABC} instead of {other}")), "{spoilt}");
    }
}
