//! Reads a completion as the many servers write it: what is there counts, what is odd is passed over.

use serde_json::{Map, Value};

use super::{
    completion::{Completion, Ending, Usage},
    tools::{self, ToolCall},
};

/// A name is shown in tables and kept with every call.
const MODEL_CHARACTERS_MAX: usize = 128;

/// The reasons to finish, in lower case, of a text that is whole.
const COMPLETE: &[&str] = &[
    "stop",
    "tool_calls",
    "function_call",
    "eos",
    "eos_token",
    "end_turn",
    "stop_sequence",
    "complete",
];
const CUT_OFF: &[&str] = &["length", "max_tokens", "model_length"];
const REFUSED: &[&str] = &["refusal"];
const FILTERED: &[&str] = &["content_filter", "safety"];

/// An unknown reason to finish is told to people in the server's word, if it is one.
const REASON_CHARACTERS_MAX: usize = 32;

/// Between these some servers leave a model's reasoning within its text.
const THOUGHT_BEGINS: &str = "<think>";
const THOUGHT_ENDS: &str = "</think>";

/// What a call can have used at most: taken where the server does not say what it used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Greatest {
    pub(super) input: u64,
    pub(super) output: u64,
}

/// `None` where the body is no completion.
pub(super) fn read(body: &Value, greatest: Greatest, asked_model: &str) -> Option<Completion> {
    let choices = body.get("choices")?.as_array()?;
    let told = body.get("usage").and_then(Value::as_object);
    // The first is the one that was asked for; a server may add others, or sort them.
    let index = |choice: &&Value| choice.get("index").and_then(Value::as_u64).unwrap_or(0);
    let choice = choices.iter().min_by_key(index);
    if choice.is_none() && told.is_none() {
        return None;
    }
    let usage = usage(told, greatest);
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
    let model: String =
        model.chars().filter(|c| !c.is_control()).take(MODEL_CHARACTERS_MAX).collect();
    let model = if model.is_empty() { asked_model.to_owned() } else { model };
    let Some(choice) = choice else {
        let (text, tool_calls) = (None, Vec::new());
        return Some(Completion { text, tool_calls, ending: Ending::Empty, usage, model });
    };
    let message = choice.get("message").filter(|message| message.is_object())?;
    let text = said(message.get("content"));
    let tool_calls = called(message);
    let ending = ending(choice, message, text.is_some() || !tool_calls.is_empty());
    Some(Completion { text, tool_calls, ending, usage, model })
}

fn ending(choice: &Value, message: &Value, has_something: bool) -> Ending {
    let is_refusal = |part: &Value| part.get("type").and_then(Value::as_str) == Some("refusal");
    let parts = message.get("content").and_then(Value::as_array);
    let refusal = message.get("refusal").and_then(Value::as_str).unwrap_or_default();
    if !refusal.trim().is_empty() || parts.is_some_and(|parts| parts.iter().any(is_refusal)) {
        return Ending::Refused;
    }
    let reason = choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default();
    let reason = reason.to_lowercase();
    let is = |words: &[&str]| words.contains(&reason.as_str());
    match () {
        () if is(COMPLETE) && has_something => Ending::Complete,
        () if is(COMPLETE) => Ending::Empty,
        () if is(CUT_OFF) => Ending::CutOff,
        () if is(REFUSED) => Ending::Refused,
        () if is(FILTERED) => Ending::Filtered,
        () if reason.is_empty() => Ending::Other("no reason to finish".to_owned()),
        () => Ending::Other(
            reason.chars().filter(|c| !c.is_control()).take(REASON_CHARACTERS_MAX).collect(),
        ),
    }
}

/// The text, or the texts of its parts; `None` where there is nothing to say.
fn said(content: Option<&Value>) -> Option<String> {
    let text = match content? {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
        }
        _ => return None,
    };
    let text = without_thoughts(&text).replace('\0', "");
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A template may begin the thought for the model, so that only its end is in the text. A thought
/// without an end is all there is.
fn without_thoughts(text: &str) -> &str {
    match text.rsplit_once(THOUGHT_ENDS) {
        Some((_, said)) => said,
        None if text.trim_start().starts_with(THOUGHT_BEGINS) => "",
        None => text,
    }
}

fn called(message: &Value) -> Vec<ToolCall> {
    let calls = message.get("tool_calls").and_then(Value::as_array);
    let functions = calls.into_iter().flatten().take(tools::CALLS_MAX).map(|call| {
        // Ollama's own form has no `function` around it.
        call.get("function").unwrap_or(call)
    });
    functions
        .map(|function| {
            let name = function.get("name").and_then(Value::as_str).unwrap_or_default();
            tools::read(name, function.get("arguments").unwrap_or(&Value::Null))
        })
        .collect()
}

fn usage(told: Option<&Map<String, Value>>, greatest: Greatest) -> Usage {
    let number = |path: &[&str]| -> Option<u64> {
        let (first, rest) = path.split_first()?;
        let mut value = told?.get(*first)?;
        for name in rest {
            value = value.get(*name)?;
        }
        value.as_u64()
    };
    let input = number(&["prompt_tokens"]);
    let output = number(&["completion_tokens"]).map(|output| {
        // Gemini and xAI leave the reasoning out of the completion; it is billed all the same.
        let rest = number(&["total_tokens"]).map(|all| all.saturating_sub(input.unwrap_or(all)));
        output.max(rest.unwrap_or(0))
    });
    let input_tokens = input.unwrap_or(greatest.input);
    let output_tokens = output.unwrap_or(greatest.output);
    let cached = number(&["prompt_tokens_details", "cached_tokens"])
        // DeepSeek's.
        .or_else(|| number(&["prompt_cache_hit_tokens"]));
    let reasoning = number(&["completion_tokens_details", "reasoning_tokens"]);
    Usage {
        input_tokens,
        cached_input_tokens: cached.unwrap_or(0).min(input_tokens),
        output_tokens,
        reasoning_tokens: reasoning.unwrap_or(0).min(output_tokens),
        estimated: input.is_none() || output.is_none(),
    }
}
