//! Conversations.

use alina_proto::inference::v1::{
    ChatRequest, ChatStreamRequest, FinishReason, Message, Role, Sampling,
};
use futures::future::join_all;
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{
    ask, assert_refused, chat, gateway, gateway_with_small_window, long, stream, user,
};

#[tokio::test]
async fn a_question_is_answered_with_what_it_took() {
    let suite = gateway().set("inference_gateway.threads", json!(0)).start().await;
    let client = suite.connector().inference();
    let answer = chat(&client, ask("What is the capital of France?")).await.unwrap();
    assert!(answer.content.contains("Paris"), "{answer:?}");
    assert_eq!(answer.model, "SmolLM2-135M-Instruct-Q4_1");
    assert_eq!(answer.backend, "embedded");
    let usage = answer.usage.unwrap();
    assert!((10..60).contains(&usage.prompt_tokens), "{usage:?}");
    assert!((1..=32).contains(&usage.completion_tokens), "{usage:?}");
    let run = usage.run_time.unwrap();
    let first = usage.time_to_first_token.unwrap();
    assert!((first.seconds, first.nanos) <= (run.seconds, run.nanos), "{usage:?}");
    assert!(first.nanos > 0 || first.seconds > 0);
}

#[tokio::test]
async fn the_pieces_of_a_stream_are_the_answer() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    // Characters of several tokens must never come apart.
    let request = ask("Repeat exactly: 😀 naïve café 東京 😀");
    let (pieces, done) = stream(&client, request.clone()).await;
    assert!(pieces.len() > 3, "it comes in pieces: {pieces:?}");
    assert!(pieces.iter().all(|piece| !piece.is_empty()));
    assert_eq!(pieces.concat(), done.content);
    let whole = chat(&client, request).await.unwrap();
    assert_eq!(whole.content, done.content, "the likeliest answer is the same each time");
}

#[tokio::test]
async fn earlier_turns_count() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let mut request = ask("Say red");
    for (answer, next) in [("red", "Say blue"), ("blue", "Say green"), ("green", "Say yellow")] {
        request.messages.push(Message {
            role: Role::Assistant.into(),
            content: answer.to_owned(),
            ..Message::default()
        });
        request.messages.push(user(next));
    }
    let answer = chat(&client, request).await.unwrap();
    assert_eq!(answer.content.trim().to_lowercase(), "yellow", "{answer:?}");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_text_whoever_else_is_served() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    // Wild: the smallest difference in a result would show in the text.
    let seeded = |seed| ChatRequest {
        sampling: Some(Sampling {
            temperature: Some(2.0),
            top_p: Some(1.0),
            top_k: Some(0),
            min_p: Some(0.0),
            seed: Some(seed),
            ..Sampling::default()
        }),
        max_tokens: 48,
        ..ask("Write the first lines of a tale about a lighthouse.")
    };
    let first = chat(&client, seeded(7)).await.unwrap().content;
    // Others come and go beside it, in other slots, with other lengths.
    let beside = |n: u32| {
        let mut request = ask(format!("Count from {n} to one hundred, slowly. ").repeat(8));
        request.max_tokens = 20 + 15 * n;
        request
    };
    let (again, _) = tokio::join!(
        async {
            let mut texts = Vec::new();
            for _ in 0..3 {
                texts.push(chat(&client, seeded(7)).await.unwrap().content);
            }
            texts
        },
        join_all((0..3).map(|n| chat(&client, beside(n)))),
    );
    for text in again {
        assert_eq!(text, first);
    }
    let other = chat(&client, seeded(8)).await.unwrap().content;
    assert_ne!(other, first, "another seed gives another text");
}

#[tokio::test]
async fn a_stop_string_ends_the_answer_before_it() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let request = ask("Count from one to ten in words, separated by commas.");
    let whole = chat(&client, request.clone()).await.unwrap();
    let content = whole.content.trim_end();
    // From the middle of the answer, over more than one token.
    let middle = content.char_indices().nth(content.chars().count() / 2).unwrap().0;
    let stop: String = content[middle..].chars().take(6).collect();
    let stopped = ChatRequest { stop: vec!["never said".to_owned(), stop.clone()], ..request };
    let (pieces, done) = stream(&client, stopped).await;
    assert_eq!(done.content, content.split(&stop).next().unwrap());
    assert_eq!(pieces.concat(), done.content, "no part of it was shown");
    assert_eq!(done.finish_reason(), FinishReason::Stop);
}

#[tokio::test]
async fn max_tokens_and_the_window_end_an_answer() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let cut =
        chat(&client, ChatRequest { max_tokens: 3, ..ask("Tell me a story.") }).await.unwrap();
    assert_eq!(cut.finish_reason(), FinishReason::Length);
    assert_eq!(cut.usage.unwrap().completion_tokens, 3);
    let suite = gateway_with_small_window().start().await;
    let client = suite.connector().inference();
    let cut = chat(&client, long("a", 4_000)).await.unwrap();
    let usage = cut.usage.unwrap();
    assert_eq!(cut.finish_reason(), FinishReason::Length);
    assert_eq!(usage.prompt_tokens + usage.completion_tokens, 256, "{usage:?}");
    let mut full = ask("word ".repeat(200));
    full.max_tokens = 0;
    let cut = chat(&client, full).await.unwrap().usage.unwrap();
    assert!(cut.prompt_tokens + cut.completion_tokens <= 256, "{cut:?}");
}

#[tokio::test]
async fn a_prompt_past_the_window_is_refused_with_both_numbers() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let says = assert_refused(
        chat(&client, ask("word ".repeat(6_000))).await,
        Code::InvalidArgument,
        "PROMPT_TOO_LONG",
    );
    let numbers: Vec<u32> =
        says.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    assert!(numbers.iter().any(|n| (6_000..7_000).contains(n)), "how many it has: {says}");
    assert!(numbers.contains(&4_095), "how many fit: {says}");
    // A megabyte without a blank is no reason to fall over.
    let says = assert_refused(
        chat(&client, ask("a".repeat(1 << 20))).await,
        Code::InvalidArgument,
        "PROMPT_TOO_LONG",
    );
    assert!(says.contains("tokens"), "{says}");
    chat(&client, ask("Hello")).await.unwrap();
}

#[tokio::test]
async fn control_tokens_in_a_message_are_plain_text() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let tokens = async |text: &str| {
        let request = ChatRequest { max_tokens: 1, ..ask(text) };
        chat(&client, request).await.unwrap().usage.unwrap().prompt_tokens
    };
    let (plain, marked) = (tokens("x").await, tokens("x<|im_end|>").await);
    assert!(marked >= plain + 4, "<|im_end|> became one control token: {plain}, {marked}");
}

#[tokio::test]
async fn every_field_is_checked_and_named() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let bad = ChatRequest {
        messages: vec![Message::default(), user("a\0b")],
        sampling: Some(Sampling {
            temperature: Some(f32::NAN),
            top_p: Some(0.0),
            top_k: Some(100_001),
            min_p: Some(1.5),
            repeat_penalty: Some(0.1),
            frequency_penalty: Some(3.0),
            presence_penalty: Some(-3.0),
            seed: None,
        }),
        stop: vec![String::new(); 17],
        agent: "a\nb".to_owned(),
        run_id: "x".repeat(129),
        max_tokens: u32::MAX,
        ..ChatRequest::default()
    };
    let status = chat(&client, bad.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let fields: Vec<String> = status
        .get_details_bad_request()
        .unwrap()
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    for field in [
        "messages[0].role",
        "messages[1].content",
        "sampling.temperature",
        "sampling.top_p",
        "sampling.top_k",
        "sampling.min_p",
        "sampling.repeat_penalty",
        "stop",
        "stop[16]",
        "agent",
        "run_id",
        "max_tokens",
    ] {
        assert!(fields.iter().any(|one| one == field), "{field} is missing of {fields:?}");
    }
    let request = ChatStreamRequest { chat: Some(bad) };
    let says = assert_refused(
        client.clone().chat_stream(request).await,
        Code::InvalidArgument,
        "INVALID_REQUEST",
    );
    assert!(says.contains("chat.messages[0].role"), "{says}");
    let says = assert_refused(
        chat(&client, ChatRequest { model: "embed".to_owned(), ..ask("x") }).await,
        Code::InvalidArgument,
        "INVALID_REQUEST",
    );
    assert!(says.contains("embedding model"), "{says}");
}
