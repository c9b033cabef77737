//! The client against servers that answer in all the ways that servers do.

mod conformance;
mod misbehaving;
mod server;
mod wire;

use std::time::Duration;

use super::{Ai, AiFailure, AiHttp, Completion, Prompt, Turn};
use crate::domain::{
    channel::Secret,
    money::MicroUsd,
    resource::{AiSpec, Prices},
};

/// Appear in every call, so that a failure that repeats one is found.
const WORDS: &str = "Здравствуйте, это Анна";
const KEY: &str = "sk-0123456789";

/// For calls that end by the deadline: long enough for a loopback under load, short enough to wait
/// for.
const SHORT: Duration = Duration::from_millis(800);

fn spec(endpoint: &str) -> AiSpec {
    let [input, cached_input, output] =
        [2_500_000, 1_250_000, 10_000_000].map(MicroUsd::from_micros);
    AiSpec {
        endpoint: endpoint.to_owned(),
        model: "asked".to_owned(),
        api_key: None,
        instructions: String::new(),
        temperature: Some("0.4".to_owned()),
        max_output_tokens: 400,
        max_tokens_field: None,
        prices: Prices { input, cached_input, output },
        fallback: None,
        disclosure: None,
        handover: None,
        reminders: Vec::new(),
    }
}

fn connect(endpoint: &str, http: &AiHttp) -> Ai {
    Ai::connect(&spec(endpoint), Some(&Secret::new(format!("{KEY}\n"))), http).unwrap()
}

fn prompt(last_words: &str) -> Prompt {
    Prompt {
        system: "Ты — Анна, менеджер по продажам.".to_owned(),
        turns: vec![Turn::Ours(WORDS.to_owned()), Turn::Person(last_words.to_owned())],
        tools: true,
        max_output_tokens: 400,
    }
}

/// Asks with the usual prompt, and looks for what must not be in a failure.
async fn complete(ai: &Ai) -> Result<Completion, AiFailure> {
    let completion = ai.complete(&prompt(WORDS)).await;
    if let Err(failure) = &completion {
        let shown = format!("{failure} {failure:?}");
        for secret in [WORDS, KEY, "менеджер", "127.0.0.1", "http:", "https:"] {
            assert!(!shown.contains(secret), "`{shown}` says too much");
        }
    }
    assert!(!format!("{ai:?}").contains(KEY), "an AI shows its key");
    completion
}
