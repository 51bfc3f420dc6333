//! Answers kept in Redis: a chat at temperature 0 that was answered before is answered by the same at
//! once. Exact: the same model, the same file, the same request to the last byte.

use std::time::{Duration, UNIX_EPOCH};

use alina_cache::{Cache, Looked, digest};
use serde::{Deserialize, Serialize};

use super::{Answered, Part};
use crate::{
    catalogue::{Entry, Source},
    chat::{Chat, Ended, Finish, Piece, TokenLogprob, ToolCall},
    metrics::Metrics,
};

/// What answers from here name as their back end.
const BACKEND: &str = "cache";
/// Nobody waits longer for Redis.
const TIMEOUT: Duration = Duration::from_millis(50);

/// Answers that were given.
#[derive(Debug, Clone)]
pub struct Responses {
    cache: Cache,
    seconds: u64,
    metrics: Metrics,
}

/// Names an answer.
#[derive(Debug, Clone)]
pub(super) struct Key(String);

/// What is kept of an answer.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    content: String,
    tool_calls: Vec<ToolCall>,
    logprobs: Vec<TokenLogprob>,
    finish: Finish,
    prompt_tokens: u32,
    completion_tokens: u32,
}

impl Responses {
    /// Kept for so many seconds each, in the Redis at `url`.
    ///
    /// # Errors
    /// When `url` is none.
    pub fn new(url: &str, seconds: u64, metrics: Metrics) -> Result<Self, String> {
        Ok(Self { cache: Cache::new(url, TIMEOUT)?, seconds, metrics })
    }

    /// What the answer of `entry` to `chat` is kept under; none when another one would be as good.
    pub(super) async fn key(&self, entry: &Entry, chat: &Chat) -> Option<Key> {
        if chat.sampling.temperature > 0.0 {
            return None;
        }
        let file = match &entry.source {
            Source::Embedded(model) => {
                let meta = tokio::fs::metadata(model.path()).await.ok()?;
                let changed = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
                format!("{}:{}", meta.len(), changed.as_nanos())
            }
            _ => String::new(),
        };
        let model = format!("{}:{}:{}", entry.backend(), entry.name, entry.context_length);
        let chat = serde_json::to_vec(chat).ok()?;
        let digest = digest(&[model.as_bytes(), file.as_bytes(), &chat]);
        Some(Key(format!("alina:inference:{digest}")))
    }

    /// The parts of the answer that is kept, if one is.
    pub(super) async fn get(&self, entry: &Entry, key: &Key) -> Option<Vec<Part>> {
        let looked = self.cache.get(&key.0).await;
        self.metrics.looked_for_answer(looked.name());
        let Looked::Hit(kept) = looked else { return None };
        // An older program may have written it.
        let kept: Kept = serde_json::from_slice(&kept).ok()?;
        Some(parts(kept, entry))
    }

    /// Keeps an answer, in the background.
    pub(super) fn keep(&self, key: Key, answered: &Answered) {
        let ended = &answered.ended;
        if ended.finish == Finish::Budget {
            return;
        }
        let kept = serde_json::to_vec(&Kept {
            content: answered.content.clone(),
            tool_calls: answered.tool_calls.clone(),
            logprobs: answered.logprobs.clone(),
            finish: ended.finish,
            prompt_tokens: ended.prompt_tokens,
            completion_tokens: ended.completion_tokens,
        });
        let Ok(kept) = kept else { return };
        let (cache, seconds) = (self.cache.clone(), self.seconds);
        tokio::spawn(async move { cache.put(&key.0, &kept, seconds).await });
    }
}

fn parts(kept: Kept, entry: &Entry) -> Vec<Part> {
    let text = Piece { text: kept.content.clone(), logprobs: kept.logprobs.clone() };
    let calls = kept.tool_calls.iter().cloned().map(Part::Tool).collect();
    let done = Answered {
        content: kept.content,
        tool_calls: kept.tool_calls,
        logprobs: kept.logprobs,
        ended: Ended {
            finish: kept.finish,
            prompt_tokens: kept.prompt_tokens,
            reused_tokens: kept.prompt_tokens,
            completion_tokens: kept.completion_tokens,
            first_token: Duration::ZERO,
            run: Duration::ZERO,
            cpu: Duration::ZERO,
        },
        waited: Duration::ZERO,
        model: entry.name.clone(),
        backend: BACKEND.to_owned(),
    };
    [vec![Part::Text(text)], calls, vec![Part::Done(done)]].concat()
}
