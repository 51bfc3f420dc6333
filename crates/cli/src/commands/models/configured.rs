//! What matters here of config.yaml. Whether all of it is right, the service is asked.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{fetch::Server, session::Session};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    inference_gateway: Option<Gateway>,
}

/// The section `inference_gateway`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Gateway {
    model_dir: Option<PathBuf>,
    /// Where models are: `model_dir`, absolute.
    #[serde(skip)]
    pub(crate) folder: PathBuf,
    pub(crate) models: Vec<Model>,
    pub(crate) ollama: Vec<Server>,
}

/// A model.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Model {
    pub(crate) name: String,
    /// None for Ollama's.
    pub(crate) path: Option<PathBuf>,
    pub(crate) sha256: Option<String>,
    pub(crate) size_bytes: Option<u64>,
}

impl Gateway {
    /// Of the session's file; the defaults when it cannot be read, which the check of the
    /// configuration tells of.
    pub(crate) fn read(session: &Session) -> Self {
        let text = std::fs::read_to_string(&session.config).unwrap_or_default();
        let file: Wanted = serde_saphyr::from_str(&text).unwrap_or_default();
        let mut gateway = file.inference_gateway.unwrap_or_default();
        let base = session.config.parent().unwrap_or(Path::new("/"));
        let own = std::env::var_os("ALINA__INFERENCE_GATEWAY__MODEL_DIR").map(PathBuf::from);
        let folder = own.or(gateway.model_dir.take());
        gateway.folder = base.join(folder.unwrap_or_else(|| PathBuf::from(".alina/models")));
        gateway
    }
}
