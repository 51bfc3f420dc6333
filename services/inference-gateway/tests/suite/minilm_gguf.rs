//! A GGUF file made of a BERT folder, with the names llama.cpp's own converter gives.
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>

use std::{fs, path::Path};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const ALIGNMENT: usize = 32;
/// Names of tensors in safetensors and in GGUF; the layers' begin with "encoder.layer.N." and "blk.N.".
const TENSORS: [(&str, &str); 4] = [
    ("embeddings.word_embeddings", "token_embd"),
    ("embeddings.position_embeddings", "position_embd"),
    ("embeddings.token_type_embeddings", "token_types"),
    ("embeddings.LayerNorm", "token_embd_norm"),
];
const LAYER: [(&str, &str); 8] = [
    ("attention.self.query", "attn_q"),
    ("attention.self.key", "attn_k"),
    ("attention.self.value", "attn_v"),
    ("attention.output.dense", "attn_output"),
    ("attention.output.LayerNorm", "attn_output_norm"),
    ("intermediate.dense", "ffn_up"),
    ("output.dense", "ffn_down"),
    ("output.LayerNorm", "layer_output_norm"),
];

/// The file's bytes.
pub(crate) fn made_of(folder: &Path) -> Vec<u8> {
    let json = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
    };
    let entries = entries(&json("config.json"), &json("tokenizer.json"));
    let weights = fs::read(folder.join("model.safetensors")).unwrap();
    let tensors = tensors(&weights);
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend((entries.len() as u64).to_le_bytes());
    file.extend(entries.concat());
    let mut offset = 0_u64;
    for (name, tensor) in &tensors {
        file.extend(text(name));
        file.extend(u32::try_from(tensor.shape().len()).unwrap().to_le_bytes());
        for length in tensor.shape().iter().rev() {
            file.extend((*length as u64).to_le_bytes());
        }
        // Of 32-bit numbers.
        file.extend(0_u32.to_le_bytes());
        file.extend(offset.to_le_bytes());
        offset += tensor.data().len().next_multiple_of(ALIGNMENT) as u64;
    }
    for (_, tensor) in &tensors {
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        file.extend(tensor.data());
    }
    file
}

fn tensors(weights: &[u8]) -> Vec<(String, TensorView<'_>)> {
    let all = SafeTensors::deserialize(weights).unwrap().tensors();
    let named = all.into_iter().filter_map(|(name, tensor)| {
        let (path, part) = name.rsplit_once('.')?;
        let path = path.strip_prefix("bert.").unwrap_or(path);
        let base = if let Some(rest) = path.strip_prefix("encoder.layer.") {
            let (layer, path) = rest.split_once('.')?;
            let (_, name) = LAYER.iter().find(|(from, _)| *from == path)?;
            format!("blk.{layer}.{name}")
        } else {
            TENSORS.iter().find(|(from, _)| *from == path)?.1.to_owned()
        };
        assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
        Some((format!("{base}.{part}"), tensor))
    });
    named.collect()
}

fn entries(config: &Value, tokenizer: &Value) -> Vec<Vec<u8>> {
    let number = |name: &str| u32::try_from(config[name].as_u64().unwrap()).unwrap();
    let u32_entry = |key: &str, number: u32| entry(key, U32, &number.to_le_bytes());
    let epsilon = config["layer_norm_eps"].as_f64().unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "a tiny number")]
    let epsilon = (epsilon as f32).to_le_bytes();
    let vocabulary = tokenizer["model"]["vocab"].as_object().unwrap();
    let mut tokens: Vec<(u64, &str)> =
        vocabulary.iter().map(|(token, id)| (id.as_u64().unwrap(), token.as_str())).collect();
    tokens.sort_unstable();
    let id = |token: &str| u32::try_from(vocabulary[token].as_u64().unwrap()).unwrap();
    let is_special =
        |token: &str| token.starts_with('[') && token.ends_with(']') && token.len() > 2;
    // What begins a word has a blank before it, what goes on has none.
    let names = tokens.iter().map(|(_, token)| match token.strip_prefix("##") {
        Some(rest) => text(rest),
        None if is_special(token) => text(token),
        None => text(&format!("\u{2581}{token}")),
    });
    // 3: control, 1: normal.
    let kinds =
        tokens.iter().map(|(_, token)| (if is_special(token) { 3_i32 } else { 1 }).to_le_bytes());
    vec![
        entry("general.architecture", STRING, &text("bert")),
        u32_entry("bert.context_length", number("max_position_embeddings")),
        u32_entry("bert.embedding_length", number("hidden_size")),
        u32_entry("bert.feed_forward_length", number("intermediate_size")),
        u32_entry("bert.block_count", number("num_hidden_layers")),
        u32_entry("bert.attention.head_count", number("num_attention_heads")),
        entry("bert.attention.layer_norm_epsilon", F32, &epsilon),
        entry("bert.attention.causal", BOOL, &[0]),
        // The mean.
        u32_entry("bert.pooling_type", 1),
        entry("tokenizer.ggml.model", STRING, &text("bert")),
        u32_entry("tokenizer.ggml.token_type_count", number("type_vocab_size")),
        array("tokenizer.ggml.tokens", STRING, &names.collect::<Vec<_>>()),
        array("tokenizer.ggml.token_type", I32, &kinds.map(Vec::from).collect::<Vec<_>>()),
        u32_entry("tokenizer.ggml.cls_token_id", id("[CLS]")),
        u32_entry("tokenizer.ggml.seperator_token_id", id("[SEP]")),
        u32_entry("tokenizer.ggml.unknown_token_id", id("[UNK]")),
        u32_entry("tokenizer.ggml.padding_token_id", id("[PAD]")),
        u32_entry("tokenizer.ggml.mask_token_id", id("[MASK]")),
    ]
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn entry(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&text(key)[..], &kind.to_le_bytes(), value].concat()
}

fn array(key: &str, kind: u32, values: &[Vec<u8>]) -> Vec<u8> {
    let count = (values.len() as u64).to_le_bytes();
    entry(key, ARRAY, &[&kind.to_le_bytes()[..], &count, &values.concat()].concat())
}
