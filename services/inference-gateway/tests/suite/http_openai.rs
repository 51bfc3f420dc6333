//! OpenAI's interface, with the real models.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    http::{ask, events, get, given, request, with},
    support::{gateway, gateway_with_small_window},
};

const CHAT: &str = "/v1/chat/completions";
const MODEL: &str = "SmolLM2-135M-Instruct-Q4_1";

fn question() -> Value {
    json!({
        "model": "default",
        "messages": [{ "role": "user", "content": "What is the capital of France?" }],
        "temperature": 0,
        "max_completion_tokens": 24,
        "seed": 7,
    })
}

fn weather() -> Value {
    json!([{
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city",
            "parameters": {
                "type": "object",
                "properties": { "city": { "enum": ["Paris", "Lisbon"] } },
                "required": ["city"],
                "additionalProperties": false,
            },
        },
    }])
}

#[track_caller]
fn assert_weather(call: &Value) {
    assert_eq!(call["type"], "function", "{call}");
    assert_eq!(call["function"]["name"], "get_weather", "{call}");
    assert!(!call["id"].as_str().unwrap().is_empty());
    let arguments: Value =
        serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert!(matches!(arguments["city"].as_str(), Some("Paris" | "Lisbon")), "{call}");
}

#[tokio::test]
async fn a_chat_is_answered_whole_and_in_pieces() {
    let suite = gateway().start().await;
    let whole = given(&suite, CHAT, question()).await;
    assert_eq!(whole["object"], "chat.completion");
    assert_eq!(whole["model"], MODEL);
    let choice = &whole["choices"][0];
    let content = choice["message"]["content"].as_str().unwrap();
    assert!(content.contains("Paris"), "{whole}");
    assert_eq!((&choice["index"], &choice["message"]["role"]), (&json!(0), &json!("assistant")));
    assert!(matches!(choice["finish_reason"].as_str(), Some("stop" | "length")), "{whole}");
    assert_eq!((&choice["logprobs"], &choice["message"]["refusal"]), (&Value::Null, &Value::Null));
    assert!(whole["id"].as_str().unwrap().starts_with("chatcmpl-"));
    let usage = &whole["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap();
    assert_eq!(count("prompt_tokens") + count("completion_tokens"), count("total_tokens"));

    let body =
        with(question(), json!({ "stream": true, "stream_options": { "include_usage": true } }));
    let answer = request(&suite, CHAT, &body).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let events = events(&answer.text().await.unwrap());
    let [first, pieces @ .., last, tally, done] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(first["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
    assert!(pieces.len() > 3, "{events:?}");
    let text = pieces.iter().map(|piece| piece["choices"][0]["delta"]["content"].as_str().unwrap());
    assert_eq!(text.collect::<String>(), content);
    assert_eq!(last["choices"][0]["delta"], json!({}));
    assert_eq!(last["choices"][0]["finish_reason"], choice["finish_reason"]);
    assert_eq!(
        (&tally["choices"], &tally["usage"]["total_tokens"]),
        (&json!([]), &usage["total_tokens"])
    );
    assert_eq!(done, "[DONE]");
    for piece in &events[..events.len() - 1] {
        assert_eq!(piece["object"], "chat.completion.chunk");
        assert_eq!((&piece["id"], &piece["model"]), (&first["id"], &json!(MODEL)));
        assert!(piece.get("usage").is_some_and(|usage| usage.is_null() == (piece != tally)));
    }
}

#[tokio::test]
async fn messages_may_have_parts_and_any_role() {
    let suite = gateway().start().await;
    let call = json!({
        "id": "call_1",
        "type": "function",
        "function": { "name": "get_weather", "arguments": "{\"city\":\"Paris\"}" },
    });
    let messages = json!([
        { "role": "developer", "content": [{ "type": "text", "text": "Answer " }, { "type": "text", "text": "briefly." }] },
        { "role": "user", "name": "ann", "content": [{ "type": "text", "text": "How is the weather?" }] },
        { "role": "assistant", "content": null, "tool_calls": [call] },
        { "role": "tool", "tool_call_id": "call_1", "content": "sunny" },
        { "role": "assistant", "content": "It is sunny." },
        { "role": "user", "content": "And what is the capital of France?" },
    ]);
    let more =
        json!({ "messages": messages, "stop": "###", "store": false, "metadata": { "a": "b" } });
    let whole = given(&suite, CHAT, with(question(), more)).await;
    assert!(!whole["choices"][0]["message"]["content"].as_str().unwrap().is_empty(), "{whole}");
    let stopped = with(question(), json!({ "stop": ["Paris"] }));
    let whole = given(&suite, CHAT, stopped).await;
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    assert!(!choice["message"]["content"].as_str().unwrap().contains("Paris"), "{whole}");
}

#[tokio::test]
async fn answers_keep_to_the_response_format() {
    let suite = gateway().start().await;
    let schema = json!({
        "type": "object",
        "properties": { "city": { "enum": ["Paris", "Rome"] }, "sure": { "type": "boolean" } },
        "required": ["city", "sure"],
        "additionalProperties": false,
    });
    let named = json!({ "name": "answer", "strict": true, "schema": schema });
    let format = json!({ "response_format": { "type": "json_schema", "json_schema": named } });
    let whole = given(&suite, CHAT, with(question(), format)).await;
    let content = whole["choices"][0]["message"]["content"].as_str().unwrap();
    let value: Value = serde_json::from_str(content).unwrap();
    assert!(value["sure"].is_boolean() && value["city"].is_string(), "{value}");
    let format = json!({ "response_format": { "type": "json_object" } });
    let whole = given(&suite, CHAT, with(question(), format)).await;
    let choice = &whole["choices"][0];
    assert!(
        choice["message"]["content"].as_str().unwrap().trim_start().starts_with('{'),
        "{whole}"
    );
    let bad = json!({ "name": "a", "schema": { "type": "strin" } });
    let format = json!({ "response_format": { "type": "json_schema", "json_schema": bad } });
    let (status, told) = ask(&suite, CHAT, with(question(), format)).await;
    assert_eq!(status, 400);
    assert_eq!(told["error"]["param"], "response_format.json_schema.schema", "{told}");
}

#[tokio::test]
async fn tools_are_called() {
    let suite = gateway().start().await;
    for choice in
        [json!("required"), json!({ "type": "function", "function": { "name": "get_weather" } })]
    {
        let tools =
            json!({ "tools": weather(), "tool_choice": choice, "max_completion_tokens": 200 });
        let whole = given(&suite, CHAT, with(question(), tools.clone())).await;
        let choice = &whole["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls", "{whole}");
        assert_eq!(choice["message"]["content"], Value::Null, "{whole}");
        assert_weather(&choice["message"]["tool_calls"][0]);

        let body =
            with(with(question(), tools), json!({ "stream": true, "parallel_tool_calls": false }));
        let text = request(&suite, CHAT, &body).send().await.unwrap().text().await.unwrap();
        let events = events(&text);
        let calls: Vec<&Value> = events
            .iter()
            .filter_map(|event| event["choices"][0]["delta"]["tool_calls"].as_array())
            .flatten()
            .collect();
        let [call] = calls.as_slice() else { panic!("{events:?}") };
        assert_eq!(call["index"], 0);
        assert_weather(call);
        assert_eq!(events[events.len() - 2]["choices"][0]["finish_reason"], "tool_calls");
    }
    let none = json!({ "tools": weather(), "tool_choice": "none" });
    let whole = given(&suite, CHAT, with(question(), none)).await;
    assert!(whole["choices"][0]["message"].get("tool_calls").is_none(), "{whole}");
}

#[tokio::test]
async fn log_probabilities_come_with_their_tokens() {
    let suite = gateway().start().await;
    let wanted = json!({ "logprobs": true, "top_logprobs": 3 });
    let whole = given(&suite, CHAT, with(question(), wanted.clone())).await;
    let tokens = whole["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert!(!tokens.is_empty(), "{whole}");
    for token in tokens {
        assert!(token["logprob"].as_f64().unwrap() <= 0.0, "{token}");
        assert_eq!(token["top_logprobs"].as_array().unwrap().len(), 3, "{token}");
        assert!(token["bytes"].is_array() && token["token"].is_string(), "{token}");
    }
    let body = with(with(question(), wanted), json!({ "stream": true }));
    let text = request(&suite, CHAT, &body).send().await.unwrap().text().await.unwrap();
    let streamed = events(&text);
    let streamed = streamed
        .iter()
        .filter_map(|event| event["choices"][0]["logprobs"]["content"].as_array())
        .map(Vec::len);
    assert_eq!(streamed.sum::<usize>(), tokens.len());
}

#[tokio::test]
async fn a_prompt_is_continued_as_it_is() {
    let suite = gateway().start().await;
    let body = json!({
        "model": "default",
        "prompt": ["One, two, three, four,"],
        "max_tokens": 12,
        "temperature": 0,
        "logprobs": 2,
    });
    let whole = given(&suite, "/v1/completions", body.clone()).await;
    assert_eq!(whole["object"], "text_completion");
    let text = whole["choices"][0]["text"].as_str().unwrap();
    assert!(text.contains("five"), "{whole}");
    let logprobs = &whole["choices"][0]["logprobs"];
    let count = logprobs["tokens"].as_array().unwrap().len();
    for list in ["token_logprobs", "top_logprobs", "text_offset"] {
        assert_eq!(logprobs[list].as_array().unwrap().len(), count, "{logprobs}");
    }
    let body = with(body, json!({ "stream": true, "logprobs": null }));
    let answer = request(&suite, "/v1/completions", &body).send().await.unwrap();
    let events = events(&answer.text().await.unwrap());
    let [pieces @ .., done] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(done, "[DONE]");
    let streamed = pieces.iter().map(|piece| piece["choices"][0]["text"].as_str().unwrap());
    assert_eq!(streamed.collect::<String>(), text);
}

#[tokio::test]
async fn vectors_are_the_same_in_both_encodings() {
    let suite = gateway().start().await;
    let path = "/v1/embeddings";
    let body = json!({ "model": "embed", "input": ["a cat", "a kitten", "the stock market"] });
    let floats = given(&suite, path, body.clone()).await;
    assert_eq!((&floats["object"], &floats["model"]), (&json!("list"), &json!("all-MiniLM-L6-v2")));
    assert!(floats["usage"]["prompt_tokens"].as_u64().unwrap() > 5, "{}", floats["usage"]);
    let vector = |n: usize| -> Vec<f32> {
        assert_eq!(floats["data"][n]["index"], n);
        serde_json::from_value(floats["data"][n]["embedding"].clone()).unwrap()
    };
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let (cat, kitten, stocks) = (vector(0), vector(1), vector(2));
    assert!((dot(&cat, &cat) - 1.0).abs() < 1e-3 && cat.len() == 384);
    assert!(dot(&cat, &kitten) > dot(&cat, &stocks));

    let body = with(body, json!({ "encoding_format": "base64", "dimensions": 384 }));
    let packed = given(&suite, path, body).await;
    let bytes = STANDARD.decode(packed["data"][1]["embedding"].as_str().unwrap()).unwrap();
    let unpacked: Vec<f32> =
        bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    assert!(kitten.iter().zip(&unpacked).all(|(a, b)| (a - b).abs() < 1e-6));

    let one = given(&suite, path, json!({ "model": "embed", "input": "a cat" })).await;
    assert_eq!(one["data"].as_array().unwrap().len(), 1);
    let short = json!({ "model": "embed", "input": "a cat", "dimensions": 256 });
    let (status, told) = ask(&suite, path, short).await;
    assert_eq!((status, &told["error"]["param"]), (400, &json!("dimensions")), "{told}");
    assert!(told["error"]["message"].as_str().unwrap().contains("384"), "{told}");
    let (status, told) = ask(&suite, path, json!({ "model": "default", "input": "a cat" })).await;
    assert_eq!((status, &told["error"]["param"]), (400, &json!("model")), "{told}");
}

#[tokio::test]
async fn models_are_listed_and_found_by_name_and_alias() {
    let suite = gateway().start().await;
    let (status, list) = get(&suite, "/v1/models").await;
    assert_eq!((status, &list["object"]), (200, &json!("list")));
    let ids: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [MODEL, "default", "fast", "all-MiniLM-L6-v2", "embed"]);
    let (status, one) = get(&suite, "/v1/models/fast").await;
    assert_eq!((status, &one["object"], &one["root"]), (200, &json!("model"), &json!(MODEL)));
    let (status, told) = get(&suite, "/v1/models/fst").await;
    assert_eq!((status, &told["error"]["code"]), (404, &json!("model_not_found")));
    assert!(told["error"]["message"].as_str().unwrap().contains("fast"), "{told}");
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_refused_in_openais_words() {
    let suite = gateway_with_small_window().start().await;
    let content = "word ".repeat(400);
    let messages = json!({ "messages": [{ "role": "user", "content": content }] });
    for stream in [false, true] {
        let body = with(with(question(), messages.clone()), json!({ "stream": stream }));
        let (status, told) = ask(&suite, CHAT, body).await;
        let error = &told["error"];
        assert_eq!((status, &error["code"]), (400, &json!("context_length_exceeded")), "{told}");
        assert_eq!(error["type"], "invalid_request_error");
    }
}
