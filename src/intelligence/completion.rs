//! What the AI made of a prompt.

use super::tools::ToolCall;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What to say; `None` where the AI only called tools. With any other ending than
    /// [`Ending::Complete`] it is for an operator's eyes, and no tool call is to be obeyed.
    pub text: Option<String>,
    pub tool_calls: Vec<ToolCall>,
    pub ending: Ending,
    pub usage: Usage,
    /// The model that answered, as the server names it.
    pub model: String,
}

/// How the AI ended. Only a complete text may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Complete,
    /// The greatest length was reached, most often within a sentence.
    CutOff,
    /// The model declined.
    Refused,
    /// A filter of the server's took the question or the answer away.
    Filtered,
    /// Neither text nor tool call.
    Empty,
    /// In the server's own word.
    Other(String),
}

/// What a completion used, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The cached ones included.
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    /// The reasoning included.
    pub output_tokens: u64,
    pub reasoning_tokens: u64,
    /// The server did not say it: what it can be at most.
    pub estimated: bool,
}
