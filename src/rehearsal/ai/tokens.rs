//! How many tokens a call uses: plain arithmetic on bytes, with a cache of repeated beginnings.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher as _},
};

use serde_json::{Value, json};

use super::request::Asked;

const BYTES_PER_TOKEN: u64 = 4;
/// What stands around a message, as OpenAI counts it.
const TOKENS_PER_MESSAGE: u64 = 4;
const TOKENS_OF_ANSWER: u64 = 3;
/// The cache keeps whole blocks.
const BLOCK_TOKENS: u64 = 128;
/// To forget them all costs a few calls their discount.
const BEGINNINGS_MAX: usize = 100_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) prompt: u64,
    pub(super) cached: u64,
    /// With the reasoning.
    pub(super) completion: u64,
    pub(super) reasoning: u64,
}

impl Used {
    pub(super) fn as_json(&self) -> Value {
        let Self { prompt, cached, completion, reasoning } = self;
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": { "cached_tokens": cached, "audio_tokens": 0 },
            "completion_tokens_details": {
                "reasoning_tokens": reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        })
    }
}

pub(super) fn of_text(text: &str) -> u64 {
    (text.len() as u64).div_ceil(BYTES_PER_TOKEN)
}

/// A text of at most so many tokens.
pub(super) fn cut(text: &str, tokens: u64) -> &str {
    let bytes = usize::try_from(tokens.saturating_mul(BYTES_PER_TOKEN)).unwrap_or(usize::MAX);
    &text[..text.floor_char_boundary(bytes.min(text.len()))]
}

pub(super) fn of_prompt(asked: &Asked) -> u64 {
    let messages = asked.messages.iter().map(|said| TOKENS_PER_MESSAGE + of_text(&said.text));
    TOKENS_OF_ANSWER + of_tools(asked) + messages.sum::<u64>()
}

fn of_tools(asked: &Asked) -> u64 {
    if asked.tools.is_empty() { 0 } else { of_text(&asked.tools_json) }
}

/// The beginnings of dialogues that were asked before.
#[derive(Debug, Default)]
pub(super) struct Cache(HashSet<u64>);

impl Cache {
    /// How many tokens of the prompt stood there before; from now on all of it did.
    pub(super) fn note(&mut self, account: &str, asked: &Asked) -> u64 {
        let mut hasher = DefaultHasher::new();
        (account, &asked.model, &asked.tools_json).hash(&mut hasher);
        let mut tokens = of_tools(asked);
        let mut cached = 0;
        if self.0.len() > BEGINNINGS_MAX {
            self.0.clear();
        }
        for said in &asked.messages {
            (said.role.as_str(), &said.text).hash(&mut hasher);
            tokens += TOKENS_PER_MESSAGE + of_text(&said.text);
            if !self.0.insert(hasher.finish()) {
                cached = tokens;
            }
        }
        cached - cached % BLOCK_TOKENS
    }
}
