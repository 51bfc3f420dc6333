//! Vectors.

use alina_proto::inference::v1::{EmbedRequest, EmbedResponse, ModelKind};
use alina_testkit::models;
use serde_json::json;
use tonic::Code;

use crate::{
    minilm_gguf,
    support::{Client, assert_refused, gateway, list},
};

async fn embed(client: &Client, texts: &[&str]) -> EmbedResponse {
    let texts = texts.iter().map(ToString::to_string).collect();
    let request = EmbedRequest { texts, ..EmbedRequest::default() };
    client.clone().embed(request).await.unwrap().into_inner()
}

fn dot(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn like_sentences_are_near_and_vectors_have_unit_length() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let texts = [
        "A man is eating food.",
        "A man is eating a piece of bread.",
        "The girl is carrying a baby.",
        "Die Börse schloss gestern im Minus.",
        "",
    ];
    let answer = embed(&client, &texts).await;
    assert_eq!((answer.model.as_str(), answer.dimensions), ("all-MiniLM-L6-v2", 384));
    let vectors: Vec<_> = answer.embeddings.into_iter().map(|one| one.values).collect();
    assert_eq!(vectors.len(), texts.len());
    for vector in &vectors {
        assert_eq!(vector.len(), 384);
        assert!((dot(vector, vector) - 1.0).abs() < 1e-4);
    }
    let (like, unlike) = (dot(&vectors[0], &vectors[1]), dot(&vectors[0], &vectors[2]));
    // As sentence-transformers' own example has it: 0.7553 and -0.0143 or thereabouts.
    assert!((like - 0.7553).abs() < 0.01, "{like}");
    assert!(unlike.abs() < 0.15 && dot(&vectors[0], &vectors[3]) < 0.2, "{unlike}");
}

/// The same weights in a GGUF file, which llama.cpp calculates, with a GELU of 16-bit numbers.
#[tokio::test]
async fn a_gguf_file_has_the_vectors_of_the_model_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let original = models().join("all-MiniLM-L6-v2");
    std::fs::write(folder.path().join("minilm.gguf"), minilm_gguf::made_of(&original)).unwrap();
    let original = json!({ "name": "original", "kind": "embedding", "path": original });
    let configured = json!({
        "name": "configured", "kind": "embedding", "path": "minilm.gguf", "context_length": 256,
        "max_tokens": 1,
    });
    for models in [json!([original, configured]), json!([original])] {
        let suite = gateway()
            .set("inference_gateway.model_dir", json!(folder.path()))
            .set("inference_gateway.models", models.clone())
            .start()
            .await;
        let client = suite.connector().inference();
        // Files that config.yaml does not name are used for what they were made for.
        let name = if models.as_array().unwrap().len() == 1 { "minilm" } else { "configured" };
        let mut texts: Vec<String> = (1..40).map(|words| "some words, ".repeat(words)).collect();
        texts.extend(
            ["", "Die Börse schloss gestern im Minus.", "x = f(y) + 3.14;"].map(String::from),
        );
        let embed = async |model: &str| {
            let (model, texts) = (model.to_owned(), texts.clone());
            let request = EmbedRequest { model, texts, ..EmbedRequest::default() };
            client.clone().embed(request).await.unwrap().into_inner()
        };
        let (expected, made) = (embed("original").await, embed(name).await);
        assert_eq!((made.dimensions, made.prompt_tokens), (384, expected.prompt_tokens));
        for ((expected, made), text) in expected.embeddings.iter().zip(&made.embeddings).zip(&texts)
        {
            let pairs = expected.values.iter().zip(&made.values);
            let apart = pairs.map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-3, "{apart} apart: {text}");
        }
        let listed = list(&client).await;
        let listed = listed.iter().find(|model| model.name == name).unwrap();
        assert_eq!(listed.kind(), ModelKind::Embedding);
    }
}

#[tokio::test]
async fn a_text_has_the_same_vector_in_any_company() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let alone = embed(&client, &["The weekend in Lisbon"]).await.embeddings.remove(0).values;
    let long = "many words about other things ".repeat(40);
    let mut texts = vec![long.as_str(); 40];
    texts[17] = "The weekend in Lisbon";
    let among = embed(&client, &texts).await.embeddings.remove(17).values;
    assert!(dot(&alone, &among) > 0.9999, "{}", dot(&alone, &among));
}

#[tokio::test]
async fn what_exceeds_the_window_is_cut_and_bad_requests_are_refused() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let long = "word ".repeat(1_000);
    let longer = "word ".repeat(100_000);
    let answer = embed(&client, &[&long, &longer]).await;
    assert_eq!(answer.prompt_tokens, 512);
    assert!(dot(&answer.embeddings[0].values, &answer.embeddings[1].values) > 0.9999);
    let none = client.clone().embed(EmbedRequest::default()).await;
    assert_refused(none, Code::InvalidArgument, "INVALID_REQUEST");
    let request = EmbedRequest {
        model: "default".to_owned(),
        texts: vec!["x".to_owned()],
        ..EmbedRequest::default()
    };
    let chat_model = client.clone().embed(request).await;
    assert_refused(chat_model, Code::InvalidArgument, "INVALID_REQUEST");
}
