//! Ollama's interface, with the real models.

use serde_json::{Value, json};

use crate::{
    http::{ask, call, get, given, lines, request, with},
    support::gateway,
};

const MODEL: &str = "SmolLM2-135M-Instruct-Q4_1";

fn question() -> Value {
    json!({
        "model": "default",
        "messages": [{ "role": "user", "content": "What is the capital of France?" }],
        "options": { "temperature": 0, "num_predict": 24, "seed": 7, "num_ctx": 2048 },
    })
}

/// What the last line of an answer has besides.
#[track_caller]
fn assert_tally(last: &Value) {
    assert_eq!(last["done"], true, "{last}");
    assert!(matches!(last["done_reason"].as_str(), Some("stop" | "length")), "{last}");
    let count = |name: &str| last[name].as_u64().unwrap_or_else(|| panic!("{name}: {last}"));
    assert!(count("prompt_eval_count") > 3 && count("eval_count") > 0, "{last}");
    assert!(count("prompt_eval_duration") > 0 && count("eval_duration") > 0, "{last}");
    let parts = count("prompt_eval_duration") + count("eval_duration");
    assert!(count("total_duration") >= parts && count("load_duration") > 0, "{last}");
}

#[tokio::test]
async fn a_chat_is_answered_whole_and_in_lines() {
    let suite = gateway().start().await;
    let whole = given(&suite, "/api/chat", with(question(), json!({ "stream": false }))).await;
    assert_eq!(
        (&whole["model"], &whole["message"]["role"]),
        (&json!("default"), &json!("assistant"))
    );
    let content = whole["message"]["content"].as_str().unwrap();
    assert!(content.contains("Paris"), "{whole}");
    assert_tally(&whole);
    let created = whole["created_at"].as_str().unwrap();
    assert!(chrono::DateTime::parse_from_rfc3339(created).is_ok(), "{created}");

    // As clients do that add the tag, and curl does without a header.
    let body = with(question(), json!({ "model": format!("{MODEL}:latest") })).to_string();
    let url = format!("{}/api/chat", suite.http_url());
    let answer = reqwest::Client::new().post(url).body(body).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    let lines = lines(&answer.text().await.unwrap());
    let [pieces @ .., last] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(pieces.len() > 3 && pieces.iter().all(|piece| piece["done"] == false), "{lines:?}");
    let text = pieces.iter().map(|piece| piece["message"]["content"].as_str().unwrap());
    assert_eq!(text.collect::<String>(), content);
    assert_eq!(last["message"]["content"], "");
    assert_tally(last);
}

#[tokio::test]
async fn a_prompt_is_answered_with_its_system_text() {
    let suite = gateway().start().await;
    let body = json!({
        "model": "fast:latest",
        "system": "You answer briefly.",
        "prompt": "What is the capital of France?",
        "template": "{{ .Prompt }}",
        "keep_alive": "5m",
        "options": { "temperature": 0, "num_predict": 24, "stop": ["###"] },
    });
    let whole =
        given(&suite, "/api/generate", with(body.clone(), json!({ "stream": false }))).await;
    let content = whole["response"].as_str().unwrap();
    assert!(!content.is_empty(), "{whole}");
    assert_tally(&whole);
    assert!(whole.get("context").is_none());
    let answer = request(&suite, "/api/generate", &body).send().await.unwrap();
    let lines = lines(&answer.text().await.unwrap());
    let text = lines.iter().map(|line| line["response"].as_str().unwrap());
    assert_eq!(text.collect::<String>(), content);
    assert_tally(lines.last().unwrap());
}

#[tokio::test]
async fn a_raw_prompt_is_continued_as_it_is() {
    let suite = gateway().start().await;
    let body = json!({
        "model": "default",
        "prompt": "One, two, three, four,",
        "raw": true,
        "stream": false,
        "options": { "temperature": 0, "num_predict": 12 },
    });
    let whole = given(&suite, "/api/generate", body).await;
    assert!(whole["response"].as_str().unwrap().contains("five"), "{whole}");
}

#[tokio::test]
async fn answers_keep_to_the_format() {
    let suite = gateway().start().await;
    let schema = json!({
        "type": "object",
        "properties": { "city": { "enum": ["Paris", "Rome"] } },
        "required": ["city"],
        "additionalProperties": false,
    });
    let body = with(question(), json!({ "format": schema, "stream": false }));
    let whole = given(&suite, "/api/chat", body).await;
    let value: Value = serde_json::from_str(whole["message"]["content"].as_str().unwrap()).unwrap();
    assert!(matches!(value["city"].as_str(), Some("Paris" | "Rome")), "{value}");
    let body = with(question(), json!({ "format": "json", "stream": false }));
    let whole = given(&suite, "/api/chat", body).await;
    assert!(whole["message"]["content"].as_str().unwrap().trim_start().starts_with('{'), "{whole}");
}

#[tokio::test]
async fn tools_are_offered() {
    let suite = gateway().start().await;
    let tool = json!({
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city",
            "parameters": { "type": "object", "properties": { "city": { "enum": ["Paris"] } }, "required": ["city"] },
        },
    });
    let messages = json!([
        { "role": "user", "content": "How is the weather in Paris?" },
        { "role": "assistant", "content": "", "tool_calls": [{ "function": { "name": "get_weather", "arguments": { "city": "Paris" } } }] },
        { "role": "tool", "tool_name": "get_weather", "content": "sunny" },
    ]);
    let more = json!({ "tools": [tool], "messages": messages, "stream": false });
    let whole = given(&suite, "/api/chat", with(question(), more)).await;
    // Whether it calls one is the model's choice.
    match whole["message"].get("tool_calls") {
        Some(calls) => {
            let call = &calls[0]["function"];
            assert_eq!(
                (&call["name"], &call["arguments"]["city"]),
                (&json!("get_weather"), &json!("Paris"))
            );
        }
        None => assert!(!whole["message"]["content"].as_str().unwrap().is_empty(), "{whole}"),
    }
}

#[tokio::test]
async fn an_empty_prompt_loads_the_model() {
    let suite = gateway().start().await;
    let running = async || get(&suite, "/api/ps").await.1["models"].as_array().unwrap().clone();
    assert!(running().await.is_empty());
    let loaded = given(&suite, "/api/generate", json!({ "model": "default" })).await;
    assert_eq!((&loaded["done"], &loaded["done_reason"]), (&json!(true), &json!("load")));
    assert_eq!(loaded["response"], "");
    let models = running().await;
    assert_eq!(models[0]["name"], format!("{MODEL}:latest"), "{models:?}");
    assert_eq!(models[0]["context_length"], 4_096);
    assert!(
        chrono::DateTime::parse_from_rfc3339(models[0]["expires_at"].as_str().unwrap()).is_ok()
    );
    let loaded = given(&suite, "/api/chat", json!({ "model": "default", "messages": [] })).await;
    assert_eq!(
        (&loaded["done_reason"], &loaded["message"]["content"]),
        (&json!("load"), &json!(""))
    );
}

#[tokio::test]
async fn vectors_come_by_both_routes() {
    let suite = gateway().start().await;
    let body = json!({ "model": "all-MiniLM-L6-v2:latest", "input": ["a cat", "a dog"], "truncate": true });
    let many = given(&suite, "/api/embed", body).await;
    let vectors = many["embeddings"].as_array().unwrap();
    assert_eq!((vectors.len(), vectors[0].as_array().unwrap().len()), (2, 384));
    assert!(many["prompt_eval_count"].as_u64().unwrap() > 4 && many["total_duration"].is_u64());
    let one =
        given(&suite, "/api/embeddings", json!({ "model": "embed", "prompt": "a cat" })).await;
    let near = one["embedding"].as_array().unwrap().iter().zip(vectors[0].as_array().unwrap());
    assert!(
        near.into_iter().all(|(a, b)| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-5)
    );
    let none = given(&suite, "/api/embed", json!({ "model": "embed", "input": [] })).await;
    assert_eq!(none["embeddings"], json!([]));
    let (status, told) =
        ask(&suite, "/api/embed", json!({ "model": "default", "input": "x" })).await;
    assert_eq!(status, 400, "{told}");
}

#[tokio::test]
async fn models_are_listed_shown_and_looked_after_in_config_yaml() {
    let suite = gateway().start().await;
    assert_eq!(get(&suite, "/").await, (200, json!("Ollama is running")));
    let head = reqwest::Client::new().head(suite.http_url()).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert!(get(&suite, "/api/version").await.1["version"].as_str().unwrap().starts_with("0."));

    let tags = get(&suite, "/api/tags").await.1;
    let [chat, default, fast, embedding, embed] = tags["models"].as_array().unwrap().as_slice()
    else {
        panic!("{tags}")
    };
    for (alias, tagged, model) in [
        (default, "default:latest", chat),
        (fast, "fast:latest", chat),
        (embed, "embed:latest", embedding),
    ] {
        assert_eq!((&alias["name"], &alias["digest"]), (&json!(tagged), &model["digest"]));
    }
    assert_eq!(
        (&chat["model"], &chat["size"]),
        (&json!(format!("{MODEL}:latest")), &json!(98_362_432))
    );
    assert_eq!(chat["details"]["quantization_level"], "Q4_1");
    assert_eq!(chat["digest"].as_str().unwrap().len(), 64);
    assert!(chrono::DateTime::parse_from_rfc3339(chat["modified_at"].as_str().unwrap()).is_ok());
    assert_eq!(embedding["details"]["format"], "safetensors");

    let shown = given(&suite, "/api/show", json!({ "model": "default" })).await;
    assert_eq!(shown["capabilities"], json!(["completion", "tools"]));
    assert_eq!(shown["model_info"]["unknown.context_length"], 4_096);
    let shown = given(&suite, "/api/show", json!({ "name": "embed:latest" })).await;
    assert_eq!(shown["capabilities"], json!(["embedding"]));

    let pulled = request(&suite, "/api/pull", &json!({ "model": "default" })).send().await.unwrap();
    let pulled = lines(&pulled.text().await.unwrap());
    assert_eq!(pulled.last().unwrap()["status"], "success");
    let (status, told) = ask(&suite, "/api/pull", json!({ "model": "llama3" })).await;
    assert!(status == 400 && told["error"].as_str().unwrap().contains("config.yaml"), "{told}");
    let url = format!("{}/api/delete", suite.http_url());
    let gone = reqwest::Client::new().delete(url).json(&json!({ "model": "default" }));
    let (status, told) = call(gone).await;
    assert!(status == 400 && told["error"].as_str().unwrap().contains("config.yaml"), "{told}");
    for path in ["/api/copy", "/api/create", "/api/push"] {
        let (status, told) = ask(&suite, path, json!({ "model": "default" })).await;
        assert!(status == 501 && told["error"].is_string(), "{path}: {told}");
    }
    for path in ["/api/chat", "/api/generate", "/api/show", "/api/embed"] {
        let (status, told) = ask(&suite, path, json!({ "model": "llama3" })).await;
        assert!(
            status == 404 && told["error"].as_str().unwrap().contains("llama3"),
            "{path}: {told}"
        );
    }
}
