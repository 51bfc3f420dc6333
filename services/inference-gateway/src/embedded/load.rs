//! A GGUF file in memory.

use std::{
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use llama_cpp_2::{
    LogOptions,
    llama_backend::LlamaBackend,
    model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel, params::LlamaModelParams},
    send_logs_to_tracing,
    token::LlamaToken,
};

use super::{EngineSettings, constraint::Compiler, template::ChatTemplate};

/// A loaded model: weights, vocabulary, template. Its context is the engine's.
pub(super) struct Loaded {
    pub(super) model: LlamaModel,
    /// The model's own, when this engine can apply it.
    pub(super) jinja: Option<ChatTemplate>,
    /// Else what llama.cpp makes of it.
    pub(super) template: LlamaChatTemplate,
    /// Texts can be put into tokens part by part (byte-level BPE).
    pub(super) divisible: bool,
    /// The newest tokens can be taken out of the context: it keeps keys and values of each.
    pub(super) can_go_back: bool,
    /// Tokens of prompt and answer together.
    pub(super) context: u32,
    compiler: Mutex<Option<Arc<Compiler>>>,
}

impl Loaded {
    /// Loads `path`, which was verified. Blocks.
    pub(super) fn open(path: &Path, settings: EngineSettings) -> Result<Self, String> {
        let backend = backend()?;
        let params = LlamaModelParams::default().with_n_gpu_layers(0);
        let model = LlamaModel::load_from_file(backend, path, &params).map_err(|error| {
            format!(
                "{} is corrupt or of a kind that llama.cpp cannot load ({error}); delete it and \
                 run ./deploy/bootstrap to fetch it again",
                path.display()
            )
        })?;
        let jinja = jinja(&model);
        let template = template(&model)?;
        let trained = model.n_ctx_train();
        if trained > 0 && trained < settings.context_length {
            tracing::warn!(trained, configured = settings.context_length, "context_length is cut");
        }
        let trained = if trained == 0 { u32::MAX } else { trained };
        let context = settings.context_length.min(trained);
        let kind = model.meta_val_str("tokenizer.ggml.model");
        let divisible = kind.is_ok_and(|kind| kind == "gpt2");
        let can_go_back = !model.is_recurrent() && !model.is_hybrid();
        let compiler = Mutex::new(None);
        Ok(Self { model, jinja, template, divisible, can_go_back, context, compiler })
    }

    /// Made at the first use: it walks the whole vocabulary.
    pub(super) fn compiler(&self) -> Result<Arc<Compiler>, String> {
        let mut compiler = self.compiler.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiler) = &*compiler {
            return Ok(Arc::clone(compiler));
        }
        let made = Arc::new(Compiler::new(&self.model)?);
        Ok(Arc::clone(compiler.insert(made)))
    }
}

fn jinja(model: &LlamaModel) -> Option<ChatTemplate> {
    let source = model.chat_template(None).ok()?.to_string().ok()?;
    let vocabulary = model.vocab();
    let text = |token: LlamaToken| {
        let bytes =
            if token.0 < 0 { Vec::new() } else { vocabulary.token_to_piece(token, true, None) };
        String::from_utf8_lossy(&bytes).into_owned()
    };
    ChatTemplate::new(&source, text(vocabulary.bos()), text(vocabulary.eos()))
}

/// The model's own, when llama.cpp knows how to apply it; else that of ChatML.
fn template(model: &LlamaModel) -> Result<LlamaChatTemplate, String> {
    let applies = |template: &LlamaChatTemplate| {
        let probe = LlamaChatMessage::new("user".to_owned(), "x".to_owned());
        probe.is_ok_and(|probe| model.apply_chat_template(template, &[probe], true).is_ok())
    };
    match model.chat_template(None).ok().filter(applies) {
        Some(template) => Ok(template),
        None => LlamaChatTemplate::new("chatml").map_err(|error| error.to_string()),
    }
}

static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();

/// Lets llama.cpp write to standard error instead of the log: for programs that only try a file.
pub(super) fn speak() {
    let _ = BACKEND.get_or_init(|| LlamaBackend::init().map_err(|error| error.to_string()));
}

/// llama.cpp, initialised once, when the first model is loaded.
pub(super) fn backend() -> Result<&'static LlamaBackend, String> {
    let backend = BACKEND.get_or_init(|| {
        // It logs whole headers at `info`.
        let enabled = tracing::enabled!(tracing::Level::DEBUG);
        send_logs_to_tracing(LogOptions::default().with_logs_enabled(enabled));
        LlamaBackend::init().map_err(|error| error.to_string())
    });
    backend.as_ref().map_err(Clone::clone)
}
