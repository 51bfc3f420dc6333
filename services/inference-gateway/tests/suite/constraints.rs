//! Regular expressions, choices, grammars, tools, log-probabilities, and texts that are continued.

use alina_proto::inference::v1::{
    ChatRequest, ChatStreamRequest, FinishReason, Message, Role, Sampling, Tool, ToolChoice,
    chat_stream_response::Event,
};
use futures::StreamExt;
use serde_json::{Value, json};
use tonic::Code;

use crate::support::{Client, ask, assert_refused, chat, gateway, user};

fn wild(content: &str) -> ChatRequest {
    // So that only the constraint keeps it in bounds.
    let sampling = Sampling {
        temperature: Some(1.5),
        top_k: Some(0),
        top_p: Some(1.0),
        min_p: Some(0.0),
        ..Sampling::default()
    };
    ChatRequest { sampling: Some(sampling), max_tokens: 64, ..ask(content) }
}

async fn answer(client: &Client, request: ChatRequest) -> String {
    chat(client, request).await.unwrap().content
}

#[tokio::test]
async fn answers_match_what_they_must_match() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    for _ in 0..4 {
        let regex = "[A-Z]{2}-[0-9]{3}( or [a-c]+x)?".to_owned();
        let text = answer(&client, ChatRequest { regex, ..wild("Name a plate.") }).await;
        let (plate, rest) = text.split_at(6);
        assert!(plate[..2].chars().all(|c| c.is_ascii_uppercase()), "{text}");
        assert!(plate[3..].chars().all(|c| c.is_ascii_digit()), "{text}");
        assert!(rest.is_empty() || rest.starts_with(" or "), "{text}");

        let choice = vec!["yes".to_owned(), "no \"never\"".to_owned(), "vielleicht €".to_owned()];
        let text = answer(&client, ChatRequest { choice: choice.clone(), ..wild("Sure?") }).await;
        assert!(choice.contains(&text), "{text}");

        let grammar = "root ::= \"<\" [0-9]+ \">\" (\",\" root)?".to_owned();
        let request = ChatRequest { grammar, max_tokens: 200, ..ask("Count.") };
        let answered = chat(&client, request).await.unwrap();
        if answered.finish_reason() == FinishReason::Stop {
            for part in answered.content.split(',') {
                let number = part.strip_prefix('<').and_then(|part| part.strip_suffix('>'));
                assert!(number.is_some_and(|n| n.chars().all(|c| c.is_ascii_digit())), "{part}");
            }
        } else {
            assert!(answered.content.chars().all(|c| "<>,0123456789".contains(c)));
        }
    }
}

#[tokio::test]
async fn constraints_that_cannot_be_enforced_are_refused_by_name() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    for (request, says) in [
        (ChatRequest { regex: "(".to_owned(), ..ask("x") }, "regex cannot be enforced"),
        (ChatRequest { regex: r"(a)\1".to_owned(), ..ask("x") }, "regex cannot be enforced"),
        (ChatRequest { grammar: "start ::= x".to_owned(), ..ask("x") }, "no rule `root"),
        (ChatRequest { grammar: "root ::= \"a".to_owned(), ..ask("x") }, "grammar cannot be"),
        (
            ChatRequest { grammar: "root ::= root \"a\"".to_owned(), ..ask("x") },
            "grammar cannot be",
        ),
        (ChatRequest { grammar: "root ::= missing".to_owned(), ..ask("x") }, "grammar cannot be"),
    ] {
        let refused = chat(&client, request).await;
        let text = assert_refused(refused, Code::InvalidArgument, "INVALID_SCHEMA");
        assert!(text.contains(says), "{text}");
    }
    let two = ChatRequest { regex: "a".to_owned(), choice: vec!["b".to_owned()], ..ask("x") };
    let text = assert_refused(chat(&client, two).await, Code::InvalidArgument, "INVALID_REQUEST");
    assert!(text.contains("choice") && text.contains("must not be set beside regex"), "{text}");
}

fn weather() -> Tool {
    let parameters = json!({
        "type": "object",
        "properties": { "city": { "type": "string", "maxLength": 20 }, "days": { "enum": [1, 3] } },
        "required": ["city", "days"],
    });
    Tool {
        name: "get_weather".to_owned(),
        description: "The weather of a city".to_owned(),
        parameters_json_schema: parameters.to_string(),
    }
}

fn clock() -> Tool {
    Tool { name: "clock".to_owned(), description: "The time".to_owned(), ..Tool::default() }
}

#[tokio::test]
async fn tools_are_called_with_arguments_of_their_schemas() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    for choice in ["", "get_weather"] {
        let request = ChatRequest {
            tools: vec![weather(), clock()],
            tool_choice: ToolChoice::Required.into(),
            tool_choice_name: choice.to_owned(),
            max_tokens: 120,
            ..wild("What is the weather in Lisbon?")
        };
        let mut events = client
            .clone()
            .chat_stream(ChatStreamRequest { chat: Some(request) })
            .await
            .unwrap()
            .into_inner();
        let (mut streamed, mut text) = (Vec::new(), String::new());
        let done = loop {
            match events.next().await.unwrap().unwrap().event.unwrap() {
                Event::Delta(delta) => text += &delta,
                Event::ToolCall(call) => streamed.push(call),
                Event::Done(done) => break done,
            }
        };
        assert_eq!(text, done.content);
        assert_eq!(streamed, done.tool_calls);
        if done.finish_reason() == FinishReason::Length {
            continue;
        }
        assert_eq!(text, "");
        assert_eq!(done.finish_reason(), FinishReason::ToolCalls);
        let first = &done.tool_calls[0];
        let arguments: Value = serde_json::from_str(&first.arguments_json).unwrap();
        if first.name == "get_weather" {
            assert!(arguments["city"].is_string() && arguments["days"].is_u64(), "{arguments}");
        } else {
            assert_eq!((choice, first.name.as_str(), arguments), ("", "clock", json!({})));
        }

        // Their results go back to the model.
        let follow_up = ChatRequest {
            messages: vec![
                user("What is the weather in Lisbon?"),
                Message {
                    role: Role::Assistant.into(),
                    tool_calls: done.tool_calls.clone(),
                    ..Message::default()
                },
                Message {
                    role: Role::Tool.into(),
                    content: "sunny".to_owned(),
                    tool_call_id: first.id.clone(),
                    ..Message::default()
                },
            ],
            tools: vec![weather()],
            tool_choice: ToolChoice::None.into(),
            ..ask("")
        };
        let answered = chat(&client, follow_up).await.unwrap();
        assert!(answered.tool_calls.is_empty() && !answered.content.is_empty());
    }
}

#[tokio::test]
async fn tools_may_be_left_uncalled() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let request = ChatRequest { tools: vec![clock()], ..ask("Say hello.") };
    let answered = chat(&client, request).await.unwrap();
    assert!(!answered.content.is_empty() || !answered.tool_calls.is_empty(), "{answered:?}");
    assert!(!answered.content.contains("<tool_call>"), "{answered:?}");

    let unusable = Tool {
        parameters_json_schema: r#"{"type":"object","properties":{"a":{"contains":{}}}}"#
            .to_owned(),
        ..clock()
    };
    let request = ChatRequest { tools: vec![unusable], ..ask("x") };
    let text =
        assert_refused(chat(&client, request).await, Code::InvalidArgument, "INVALID_SCHEMA");
    assert!(text.starts_with("tools cannot be enforced"), "{text}");
    let wrong = ChatRequest {
        tools: vec![Tool { name: "a b".to_owned(), ..Tool::default() }, clock(), clock()],
        tool_choice_name: "missing".to_owned(),
        ..ask("x")
    };
    let text = assert_refused(chat(&client, wrong).await, Code::InvalidArgument, "INVALID_REQUEST");
    for field in ["tools[0].name", "tools[2].name", "tool_choice_name"] {
        assert!(text.contains(field), "{text}");
    }
}

#[tokio::test]
async fn log_probabilities_are_those_of_the_tokens() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let request = ChatRequest { top_logprobs: Some(3), ..ask("What is the capital of France?") };
    let answered = chat(&client, request).await.unwrap();
    let tokens = usize::try_from(answered.usage.unwrap().completion_tokens).unwrap();
    assert_eq!(answered.logprobs.len(), tokens);
    let bytes: Vec<u8> = answered.logprobs.iter().flat_map(|token| token.bytes.clone()).collect();
    assert_eq!(String::from_utf8_lossy(&bytes), answered.content);
    for token in &answered.logprobs {
        assert_eq!(token.top.len(), 3);
        let sum: f32 = token.top.iter().map(|other| other.logprob.exp()).sum();
        assert!(token.logprob <= 0.0 && sum <= 1.0001, "{token:?}");
        assert!(token.top.windows(2).all(|pair| pair[0].logprob >= pair[1].logprob));
    }
    // The first token has nothing before it that is penalised: it is the likeliest.
    assert_eq!(answered.logprobs[0].bytes, answered.logprobs[0].top[0].bytes);
}

#[tokio::test]
async fn a_text_is_continued_as_it_is() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let prompt = "One, two, three, four,".to_owned();
    let request = ChatRequest { messages: Vec::new(), prompt, ..ask("") };
    let answered = chat(&client, request.clone()).await.unwrap();
    assert!(answered.content.starts_with(" five"), "{}", answered.content);
    let both = ChatRequest { messages: vec![user("x")], ..request };
    let text = assert_refused(chat(&client, both).await, Code::InvalidArgument, "INVALID_REQUEST");
    assert!(text.contains("messages") && text.contains("must be empty with prompt"), "{text}");
}

#[tokio::test]
async fn a_beginning_that_others_have_is_not_calculated_again() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let system = "You are a careful assistant of a small company that sells bicycles. ".repeat(20);
    let request = |n: usize| {
        let system =
            Message { role: Role::System.into(), content: system.clone(), ..Message::default() };
        ChatRequest {
            messages: vec![system, user(format!("Question number {n}?"))],
            max_tokens: 4,
            ..ask("")
        }
    };
    // All at once: one calculates, the others copy.
    let answers = futures::future::join_all((0..4).map(|n| chat(&client, request(n)))).await;
    let usages: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().usage.unwrap()).collect();
    let reused = usages.iter().filter(|usage| usage.reused_tokens > 200).count();
    assert_eq!(reused, 3, "{usages:?}");
    for usage in &usages {
        assert!(usage.reused_tokens < usage.prompt_tokens);
        let cpu = usage.cpu_time.unwrap();
        assert!(cpu.seconds > 0 || cpu.nanos > 0);
    }
    // Other prompts take the slots; the beginning is put aside and comes back.
    for n in 0..6 {
        let other = format!("Tell me about the number {n}. ").repeat(30);
        chat(&client, ChatRequest { max_tokens: 2, ..ask(other) }).await.unwrap();
    }
    let others =
        futures::future::join_all((0..4).map(|n| {
            chat(&client, ChatRequest { max_tokens: 2, ..ask(format!("{n}").repeat(99)) })
        }));
    others.await.into_iter().for_each(|answer| drop(answer.unwrap()));
    let usage = chat(&client, request(9)).await.unwrap().usage.unwrap();
    assert!(usage.reused_tokens > 200, "{usage:?}");
}
