//! What servers answer.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    chat::{Finish, TokenLogprob, ToolCall},
    remote::{Usage, message},
};

/// More calls in one answer are no sense.
const MOST_CALLS: usize = 128;

/// One event of a stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Chunk {
    choices: Vec<Choice>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    /// Of `/chat/completions`.
    delta: Option<Delta>,
    /// Of `/completions`.
    text: Option<String>,
    logprobs: Option<Logprobs>,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    /// What the model thinks before it answers: it is at work, but this is no answer.
    #[serde(alias = "reasoning")]
    reasoning_content: Option<Value>,
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CallDelta {
    index: Option<usize>,
    id: Option<String>,
    function: FunctionDelta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<String>,
}

/// In the form of `/chat/completions`, or the older one of `/completions`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Logprobs {
    content: Option<Vec<Logprob>>,
    tokens: Vec<String>,
    token_logprobs: Vec<Option<f32>>,
    top_logprobs: Option<Vec<Option<BTreeMap<String, f32>>>>,
}

#[derive(Debug, Deserialize)]
struct Logprob {
    token: String,
    logprob: f32,
    #[serde(default)]
    bytes: Option<Vec<u8>>,
    #[serde(default)]
    top_logprobs: Vec<Self>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct WireUsage {
    prompt_tokens: u32,
    completion_tokens: u32,
    prompt_tokens_details: Option<Details>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u32>,
}

/// What an event brings.
#[derive(Debug, Default, PartialEq)]
pub(super) struct News {
    pub(super) text: String,
    pub(super) logprobs: Vec<TokenLogprob>,
    /// The model is at work: there is text, a part of a call, or a thought.
    pub(super) progress: bool,
}

/// An answer, put together from events.
#[derive(Debug, Default)]
pub(super) struct Reply {
    calls: BTreeMap<usize, ToolCall>,
    finish: Option<Finish>,
    usage: Option<WireUsage>,
}

impl Reply {
    /// One more line of the stream; none when the line is no event.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<Line, String> {
        let line = line.trim_ascii();
        // Comments keep connections alive; fields other than data are not used.
        let ignored: [&[u8]; 4] = [b":", b"event:", b"id:", b"retry:"];
        if ignored.iter().any(|field| line.starts_with(field)) {
            return Ok(Line::Nothing);
        }
        let Some(data) = line.strip_prefix(b"data:").or_else(|| line.strip_prefix(b"error:"))
        else {
            return Err("what it answers is no stream of events".to_owned());
        };
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            return Ok(Line::Done);
        }
        let chunk: Chunk = serde_json::from_slice(data)
            .map_err(|error| format!("an event of its answer is not understood: {error}"))?;
        if let Some(error) = chunk.error.as_ref().filter(|error| !error.is_null()) {
            return Err(message(error).unwrap_or_else(|| error.to_string()));
        }
        if line.starts_with(b"error:") {
            return Err(String::from_utf8_lossy(data).into_owned());
        }
        self.usage = chunk.usage.or(self.usage);
        // One answer was asked for.
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(Line::Nothing) };
        Ok(Line::News(self.choice(choice)?))
    }

    fn choice(&mut self, choice: Choice) -> Result<News, String> {
        let delta = choice.delta.unwrap_or_default();
        let text = delta.content.or(delta.refusal).or(choice.text).unwrap_or_default();
        let calls = delta.tool_calls.unwrap_or_default();
        let thinks = delta.reasoning_content.is_some_and(|thought| !thought.is_null());
        let progress =
            thinks || !text.is_empty() || !calls.is_empty() || choice.finish_reason.is_some();
        if self.finish.is_some() && !(text.is_empty() && calls.is_empty()) {
            return Err("its answer goes on after its end".to_owned());
        }
        for call in calls {
            self.call(call)?;
        }
        match choice.finish_reason.as_deref() {
            None => {}
            Some("stop") => self.finish = Some(Finish::Stop),
            Some("length") => self.finish = Some(Finish::Length),
            Some("tool_calls" | "function_call") => self.finish = Some(Finish::ToolCalls),
            Some(other) => return Err(format!("its answer was cut short: {other:.40}")),
        }
        let logprobs = choice.logprobs.map(Logprobs::into_domain).unwrap_or_default();
        Ok(News { text, logprobs, progress })
    }

    fn call(&mut self, delta: CallDelta) -> Result<(), String> {
        // Some servers that give calls whole leave the index out.
        let index = delta.index.unwrap_or(self.calls.len());
        if !self.calls.contains_key(&index) && self.calls.len() >= MOST_CALLS {
            return Err("it calls too many tools".to_owned());
        }
        let call = self.calls.entry(index).or_insert_with(|| ToolCall {
            id: String::new(),
            name: String::new(),
            arguments: String::new(),
        });
        // Told once, though some servers tell it with every part.
        if call.id.is_empty() {
            call.id = delta.id.unwrap_or_default();
        }
        if call.name.is_empty() {
            call.name = delta.function.name.unwrap_or_default();
        }
        call.arguments.push_str(&delta.function.arguments.unwrap_or_default());
        Ok(())
    }

    /// The calls, why it ended, and what it took.
    ///
    /// # Errors
    /// When it is not whole.
    pub(super) fn whole(self) -> Result<(Vec<ToolCall>, Finish, Option<Usage>), String> {
        let Some(finish) = self.finish else {
            return Err("it ended in the middle of an answer".to_owned());
        };
        let mut calls = Vec::new();
        for mut call in self.calls.into_values() {
            if call.arguments.trim().is_empty() {
                call.arguments = "{}".to_owned();
            }
            let object = serde_json::from_str::<Value>(&call.arguments);
            if call.name.is_empty() || !object.is_ok_and(|value| value.is_object()) {
                if finish == Finish::Length {
                    // Cut with the answer; the end says so.
                    continue;
                }
                return Err("it calls a tool without a name or with what is no object".to_owned());
            }
            if call.id.is_empty() {
                call.id = format!("call_{}", uuid::Uuid::new_v4().simple());
            }
            calls.push(call);
        }
        // Servers say `stop` when a certain tool had to be called.
        let finish = match finish {
            Finish::Stop if !calls.is_empty() => Finish::ToolCalls,
            Finish::ToolCalls if calls.is_empty() => {
                return Err("it calls tools, but none is there".to_owned());
            }
            finish => finish,
        };
        let usage = self.usage.map(|usage| Usage {
            prompt: usage.prompt_tokens,
            reused: usage.prompt_tokens_details.and_then(|d| d.cached_tokens).unwrap_or(0),
            completion: usage.completion_tokens,
        });
        Ok((calls, finish, usage))
    }
}

/// What a line is.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// No event, or one that brings nothing to tell.
    Nothing,
    /// More of the answer.
    News(News),
    /// The end of the stream.
    Done,
}

impl Logprobs {
    fn into_domain(self) -> Vec<TokenLogprob> {
        if let Some(content) = self.content {
            return content.into_iter().map(Logprob::into_domain).collect();
        }
        let mut tops = self.top_logprobs.unwrap_or_default().into_iter();
        let tokens = self.tokens.into_iter().zip(self.token_logprobs);
        tokens
            .map(|(token, logprob)| {
                let top = tops.next().flatten().unwrap_or_default().into_iter();
                let mut top: Vec<_> = top.map(|(token, p)| (token.into_bytes(), p)).collect();
                top.sort_by(|(_, one), (_, other)| other.total_cmp(one));
                TokenLogprob { bytes: token.into_bytes(), logprob: logprob.unwrap_or(0.0), top }
            })
            .collect()
    }
}

impl Logprob {
    fn bytes(token: String, bytes: Option<Vec<u8>>) -> Vec<u8> {
        bytes.unwrap_or_else(|| token.into_bytes())
    }

    fn into_domain(self) -> TokenLogprob {
        let top = self.top_logprobs.into_iter();
        TokenLogprob {
            bytes: Self::bytes(self.token, self.bytes),
            logprob: self.logprob,
            top: top.map(|top| (Self::bytes(top.token, top.bytes), top.logprob)).collect(),
        }
    }
}

/// The answer of `POST /embeddings`.
#[derive(Debug, Deserialize)]
pub(super) struct Embeddings {
    pub(super) data: Vec<Embedding>,
    #[serde(default)]
    usage: WireUsage,
}

/// One vector.
#[derive(Debug, Deserialize)]
pub(super) struct Embedding {
    #[serde(default)]
    pub(super) index: usize,
    pub(super) embedding: Vec<f32>,
}

impl Embeddings {
    /// Of all texts together.
    pub(super) fn tokens(&self) -> u32 {
        self.usage.prompt_tokens
    }
}

/// The answer of `GET /models`.
#[derive(Debug, Deserialize)]
pub(super) struct Models {
    pub(super) data: Vec<Listed>,
}

/// A model there.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    pub(super) id: String,
    /// vLLM's word.
    #[serde(default)]
    pub(super) max_model_len: Option<u32>,
    /// llama-server's.
    #[serde(default)]
    pub(super) meta: Option<Meta>,
}

/// What llama-server says of its model.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Meta {
    pub(super) n_params: u64,
    pub(super) size: u64,
    pub(super) n_ctx: Option<u32>,
    pub(super) n_ctx_train: Option<u32>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn feed(reply: &mut Reply, choice: &Value) -> Result<Line, String> {
        reply.line(format!("data: {}", json!({ "choices": [choice] })).as_bytes())
    }

    #[test]
    fn a_call_is_put_together_from_its_parts() {
        let mut reply = Reply::default();
        for part in [
            json!({ "index": 0, "id": "a", "function": { "name": "add", "arguments": "" } }),
            json!({ "index": 0, "function": { "arguments": "{\"x\":" } }),
            json!({ "index": 1, "function": { "name": "now" } }),
            json!({ "index": 0, "function": { "arguments": "1}" } }),
        ] {
            feed(&mut reply, &json!({ "delta": { "tool_calls": [part] } })).unwrap();
        }
        feed(&mut reply, &json!({ "delta": {}, "finish_reason": "stop" })).unwrap();
        let (calls, finish, usage) = reply.whole().unwrap();
        assert_eq!((finish, usage.is_none()), (Finish::ToolCalls, true));
        assert_eq!((calls[0].id.as_str(), calls[0].arguments.as_str()), ("a", "{\"x\":1}"));
        assert_eq!((calls[1].name.as_str(), calls[1].arguments.as_str()), ("now", "{}"));
        assert!(calls[1].id.starts_with("call_"));
    }

    #[test]
    fn half_a_call_is_none() {
        let half = |finish: &str| {
            let mut reply = Reply::default();
            let part = json!({ "index": 0, "function": { "name": "add", "arguments": "{\"x" } });
            feed(&mut reply, &json!({ "delta": { "tool_calls": [part] } })).unwrap();
            feed(&mut reply, &json!({ "delta": {}, "finish_reason": finish })).unwrap();
            reply.whole()
        };
        assert!(half("tool_calls").is_err());
        let (calls, finish, _) = half("length").unwrap();
        assert_eq!((calls.len(), finish), (0, Finish::Length));
    }

    #[test]
    fn lines_are_told_apart() {
        let mut reply = Reply::default();
        assert_eq!(reply.line(b": ping"), Ok(Line::Nothing));
        assert_eq!(reply.line(b"data: [DONE]"), Ok(Line::Done));
        assert!(reply.line(b"<html>").is_err());
        assert!(reply.line(b"data: {\"choices\":[{\"text\":\"\xff\"}]}").is_err(), "no UTF-8");
        let error = reply.line(b"data: {\"error\":{\"message\":\"out of memory\"}}");
        assert_eq!(error, Err("out of memory".to_owned()));
        let error = reply.line(b"error: {\"code\":500,\"message\":\"lost\"}");
        assert!(error.unwrap_err().contains("lost"));
        assert!(reply.whole().is_err(), "no reason to end was given");
    }

    #[test]
    fn an_end_is_an_end() {
        let mut reply = Reply::default();
        feed(&mut reply, &json!({ "delta": {}, "finish_reason": "stop" })).unwrap();
        assert!(feed(&mut reply, &json!({ "delta": { "content": "more" } })).is_err());
        let mut reply = Reply::default();
        let filtered = feed(&mut reply, &json!({ "delta": {}, "finish_reason": "content_filter" }));
        assert!(filtered.unwrap_err().contains("content_filter"));
    }

    #[test]
    fn log_probabilities_come_in_two_forms() {
        let mut reply = Reply::default();
        let new = json!({ "content": [{ "token": "A", "logprob": -0.5, "bytes": [65],
            "top_logprobs": [{ "token": "B", "logprob": -1.5 }] }] });
        let old =
            json!({ "tokens": ["A"], "token_logprobs": [-0.5], "top_logprobs": [{ "B": -1.5 }] });
        for (input, logprobs) in [("delta", new), ("text", old)] {
            let text = if input == "delta" { json!({ "content": "A" }) } else { json!("A") };
            let line = feed(&mut reply, &json!({ input: text, "logprobs": logprobs })).unwrap();
            let Line::News(news) = line else { panic!("{line:?}") };
            let expected = TokenLogprob {
                bytes: b"A".to_vec(),
                logprob: -0.5,
                top: vec![(b"B".to_vec(), -1.5)],
            };
            assert_eq!((news.text.as_str(), news.logprobs), ("A", vec![expected]));
        }
    }

    #[test]
    fn spoilt_streams_are_read_or_refused() {
        let seeds = [
            b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"logprobs\":{\"content\":[{\"token\":\"a\",\
              \"logprob\":-0.5,\"bytes\":[97],\"top_logprobs\":[]}]}}]}\n\
              data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\
              \"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":1}}}\ndata: [DONE]"
                .to_vec(),
            b"data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"1\",\"function\":\
              {\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\
              data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"}\"}}]},\
              \"finish_reason\":\"tool_calls\"}]}"
                .to_vec(),
            b": ping\nevent: x\nerror: {\"error\":{\"message\":\"m\"}}".to_vec(),
        ];
        crate::fuzz::fuzz("openai", &seeds, |body| {
            let mut reply = Reply::default();
            let _ =
                body.split(|byte| *byte == b'\n').try_for_each(|line| reply.line(line).map(drop));
        });
    }
}
