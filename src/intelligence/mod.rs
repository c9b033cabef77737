//! The AI: one completion of a dialogue, what it used and what it costs.

mod answer;
mod client;
mod completion;
mod cost;
mod failure;
mod http;
mod prompt;
mod refusal;
mod request;
mod tools;

#[cfg(test)]
mod tests;

pub use client::{Ai, Unconnectable};
pub use completion::{Completion, Ending, Usage};
pub use cost::{cost, greatest_cost};
pub use failure::AiFailure;
pub use http::{AiHttp, AiHttpUnavailable};
pub use prompt::{Prompt, Turn, trim_to_budget};
pub use tools::{Evidence, ToolCall};
