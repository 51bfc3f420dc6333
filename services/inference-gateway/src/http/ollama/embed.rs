//! `POST /api/embed`, and the older `POST /api/embeddings`.

use std::{sync::Arc, time::Instant};

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use serde::Deserialize;
use serde_json::json;

use super::{
    super::{
        Shared,
        answer::{self, Vectors},
        caller::Caller,
        check::Checks,
        fault::Fault,
        parse::OneOrMany,
    },
    Refusal, json_response, read, resolve,
};
use crate::config::Kind;

/// Texts in one request.
const MAX_TEXTS: usize = 2_048;

#[derive(Debug, Deserialize)]
struct Embed {
    model: String,
    input: Option<OneOrMany>,
    truncate: Option<bool>,
    dimensions: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct EmbedOne {
    model: String,
    prompt: Option<String>,
}

pub(super) async fn embed(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Refusal> {
    let begun = Instant::now();
    let asked: Embed = read(&shared, request).await?;
    let texts = asked.input.unwrap_or_default().0;
    let mut checks = Checks::default();
    let allowed = "must be absent or true: longer texts are cut";
    checks.that(asked.truncate.unwrap_or(true), "truncate", allowed);
    let made = vectors(&shared, &caller, &asked.model, "input", texts, checks).await?;
    let length = made.vectors.first().map_or(0, Vec::len);
    if asked.dimensions.is_some_and(|wanted| wanted != 0 && usize::try_from(wanted) != Ok(length)) {
        let allowed = format!("must be absent or {length}, which model `{}` gives", made.model);
        return Err(Fault::field("dimensions", allowed).into());
    }
    let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    Ok(json_response(&json!({
        "model": asked.model,
        "embeddings": made.vectors,
        "total_duration": took,
        "load_duration": 0,
        "prompt_eval_count": made.tokens,
    })))
}

pub(super) async fn embed_one(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Refusal> {
    let asked: EmbedOne = read(&shared, request).await?;
    let texts = vec![asked.prompt.unwrap_or_default()];
    let checks = Checks::default();
    let made = vectors(&shared, &caller, &asked.model, "prompt", texts, checks).await?;
    let vector = made.vectors.into_iter().next().unwrap_or_default();
    Ok(json_response(&json!({ "embedding": vector })))
}

async fn vectors(
    shared: &Shared,
    caller: &Caller,
    model: &str,
    field: &str,
    texts: Vec<String>,
    mut checks: Checks,
) -> Result<Vectors, Fault> {
    checks.model(model);
    checks.that(texts.len() <= MAX_TEXTS, field, "must be a string, or at most 2,048 strings");
    for (n, text) in texts.iter().enumerate() {
        checks.text(&format!("{field}[{n}]"), text);
    }
    checks.finish()?;
    let model = resolve(shared, model, Kind::Embedding)?;
    answer::embed(shared, caller, model, texts).await
}
