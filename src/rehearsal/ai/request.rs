//! A call as OpenAI checks it: what is not in order is refused with its parameter.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::schema::is_strict;

/// What a model reads at most.
const CONTEXT_TOKENS: u64 = 128_000;
pub(super) const OUTPUT_TOKENS_MAX: u64 = 16_384;
const TOOLS_MAX: usize = 128;
const CHOICES_MAX: u64 = 128;

/// The parameters that the endpoint has. `stream` is known and not offered here.
const PARAMETERS: &[&str] = &[
    "model",
    "messages",
    "temperature",
    "top_p",
    "n",
    "stream",
    "stream_options",
    "stop",
    "max_tokens",
    "max_completion_tokens",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "user",
    "seed",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "service_tier",
    "store",
    "metadata",
    "reasoning_effort",
    "verbosity",
    "prompt_cache_key",
    "safety_identifier",
    "modalities",
    "prediction",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    System,
    User,
    Assistant,
    Tool,
}

impl Role {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) role: Role,
    pub(super) text: String,
}

/// A tool of the caller's.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Offered {
    pub(super) name: String,
    pub(super) parameters: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ToolChoice {
    None,
    Auto,
    Required,
    Named(String),
}

/// A call that is in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) messages: Vec<Said>,
    pub(super) tools: Vec<Offered>,
    pub(super) tools_json: String,
    pub(super) tool_choice: ToolChoice,
    pub(super) output_tokens_max: u64,
    pub(super) choices: u64,
    pub(super) user: Option<String>,
    /// Said under the older of the two names.
    pub(super) older_limit: bool,
    pub(super) temperature: Option<f64>,
}

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Objection {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) code: Option<&'static str>,
    pub(super) parameter: Option<String>,
    pub(super) message: String,
}

impl Objection {
    pub(super) fn new(status: StatusCode, code: Option<&'static str>, message: &str) -> Self {
        let kind = "invalid_request_error";
        Self { status, kind, code, parameter: None, message: message.to_owned() }
    }

    pub(super) fn of_parameter(name: &str, code: &'static str, message: &str) -> Self {
        let new = Self::new(StatusCode::BAD_REQUEST, Some(code), message);
        Self { parameter: Some(name.to_owned()), ..new }
    }
}

fn invalid(name: &str, what: &str) -> Objection {
    Objection::of_parameter(name, "invalid_value", &format!("Invalid '{name}': {what}."))
}

fn missing(name: &str) -> Objection {
    let message = format!("Missing required parameter: '{name}'.");
    Objection::of_parameter(name, "missing_required_parameter", &message)
}

impl Asked {
    pub(super) fn read(body: &[u8]) -> Result<Self, Objection> {
        let unreadable = "We could not parse the JSON body of your request.";
        let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
            return Err(Objection::new(StatusCode::BAD_REQUEST, None, unreadable));
        };
        if let Some(name) = body.keys().find(|name| !PARAMETERS.contains(&name.as_str())) {
            let message = format!("Unknown parameter: '{name}'.");
            return Err(Objection::of_parameter(name, "unknown_parameter", &message));
        }
        let model = match body.get("model") {
            Some(Value::String(model)) if !model.trim().is_empty() => model.clone(),
            Some(Value::String(_)) | None => {
                let message = "you must provide a model parameter";
                return Err(Objection::new(StatusCode::BAD_REQUEST, None, message));
            }
            Some(_) => return Err(invalid("model", "expected a string")),
        };
        if body.get("stream").is_some_and(|stream| *stream != Value::Bool(false)) {
            let message = "The rehearsal does not stream.";
            return Err(Objection::of_parameter("stream", "unsupported_value", message));
        }
        let temperature = number(&body, "temperature", 0.0, 2.0)?;
        number(&body, "top_p", 0.0, 1.0)?;
        let choices = whole(&body, "n", CHOICES_MAX)?.unwrap_or(1);
        let older = whole(&body, "max_tokens", OUTPUT_TOKENS_MAX)?;
        let newer = whole(&body, "max_completion_tokens", OUTPUT_TOKENS_MAX)?;
        if older.is_some() && newer.is_some() {
            let message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.";
            let code = "invalid_parameter_combination";
            return Err(Objection::of_parameter("max_tokens", code, message));
        }
        let user = match body.get("user") {
            None | Some(Value::Null) => None,
            Some(Value::String(user)) => Some(user.clone()),
            Some(_) => return Err(invalid("user", "expected a string")),
        };
        let (tools, tools_json) = tools(&body)?;
        let asked = Self {
            model,
            messages: messages(&body)?,
            tool_choice: tool_choice(&body, &tools)?,
            tools,
            tools_json,
            output_tokens_max: older.or(newer).unwrap_or(OUTPUT_TOKENS_MAX),
            choices,
            user,
            older_limit: older.is_some(),
            temperature,
        };
        if super::tokens::of_prompt(&asked) > CONTEXT_TOKENS {
            return Err(too_long());
        }
        Ok(asked)
    }

    /// What the person wrote last; what the caller says for a silent one stands in brackets.
    pub(super) fn last_words(&self) -> &str {
        self.written().last().unwrap_or_default()
    }

    pub(super) fn times_written(&self) -> usize {
        self.written().count()
    }

    pub(super) fn system(&self) -> &str {
        let system = self.messages.iter().find(|said| said.role == Role::System);
        system.map_or("", |said| &said.text)
    }

    fn written(&self) -> impl Iterator<Item = &str> {
        let of_person = self.messages.iter().filter(|said| said.role == Role::User);
        of_person.map(|said| said.text.as_str()).filter(|text| !text.starts_with('('))
    }
}

pub(super) fn too_long() -> Objection {
    let message = format!("This model's maximum context length is {CONTEXT_TOKENS} tokens.");
    Objection::of_parameter("messages", "context_length_exceeded", &message)
}

fn number(
    body: &Map<String, Value>,
    name: &str,
    least: f64,
    most: f64,
) -> Result<Option<f64>, Objection> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(invalid(name, &format!("expected a number from {least} to {most}"))),
        },
    }
}

fn whole(body: &Map<String, Value>, name: &str, most: u64) -> Result<Option<u64>, Objection> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) if (1..=most).contains(&number) => Ok(Some(number)),
            _ => Err(invalid(name, &format!("expected an integer from 1 to {most}"))),
        },
    }
}

fn messages(body: &Map<String, Value>) -> Result<Vec<Said>, Objection> {
    let Some(messages) = body.get("messages") else { return Err(missing("messages")) };
    let messages = messages.as_array().filter(|messages| !messages.is_empty());
    let Some(messages) = messages else {
        return Err(invalid("messages", "expected a list with a message at least"));
    };
    // The ids of calls that wait for their result.
    let mut open: Vec<&str> = Vec::new();
    let mut all = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let at = |field: &str| format!("messages[{index}].{field}");
        let calls = message.get("tool_calls").and_then(Value::as_array);
        let role = match message.get("role").and_then(Value::as_str) {
            Some("system" | "developer") => Role::System,
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("tool") => Role::Tool,
            _ => return Err(invalid(&at("role"), "expected a known role")),
        };
        if role == Role::Tool {
            let id = message.get("tool_call_id").and_then(Value::as_str).unwrap_or_default();
            let Some(place) = open.iter().position(|open| *open == id) else {
                return Err(invalid(&at("tool_call_id"), "no call before it has this id"));
            };
            open.remove(place);
        } else if !open.is_empty() {
            return Err(invalid(&at("role"), "a call before it has no result yet"));
        }
        let text = match message.get("content") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => {
                let text = |part: &Value| Some(part.get("text")?.as_str()?.to_owned());
                let texts: Option<String> = parts.iter().map(text).collect();
                texts.ok_or_else(|| invalid(&at("content"), "expected parts of text"))?
            }
            None | Some(Value::Null) if role == Role::Assistant && calls.is_some() => String::new(),
            _ => return Err(invalid(&at("content"), "expected a string")),
        };
        for call in calls.into_iter().flatten().filter(|_| role == Role::Assistant) {
            let id = call.get("id").and_then(Value::as_str);
            let arguments = call.pointer("/function/arguments").and_then(Value::as_str);
            let (Some(id), Some(_)) = (id, arguments) else {
                return Err(invalid(&at("tool_calls"), "expected calls with id and function"));
            };
            open.push(id);
        }
        all.push(Said { role, text });
    }
    if open.is_empty() { Ok(all) } else { Err(invalid("messages", "a call has no result")) }
}

fn tools(body: &Map<String, Value>) -> Result<(Vec<Offered>, String), Objection> {
    let list = match body.get("tools") {
        None | Some(Value::Null) => return Ok((Vec::new(), String::new())),
        Some(Value::Array(list)) if (1..=TOOLS_MAX).contains(&list.len()) => list,
        Some(_) => return Err(invalid("tools", "expected a list of tools that is not empty")),
    };
    let mut tools = Vec::with_capacity(list.len());
    for (index, tool) in list.iter().enumerate() {
        let at = |field: &str| format!("tools[{index}].{field}");
        if tool.get("type").and_then(Value::as_str) != Some("function") {
            return Err(invalid(&at("type"), "expected 'function'"));
        }
        let name = tool.pointer("/function/name").and_then(Value::as_str).unwrap_or_default();
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if !(1..=64).contains(&name.len()) || !name.bytes().all(named) {
            return Err(invalid(&at("function.name"), "expected 1 to 64 of a-z, A-Z, 0-9, _, -"));
        }
        let parameters = tool.pointer("/function/parameters").cloned().unwrap_or_default();
        if !parameters.is_null() && parameters.get("type").and_then(Value::as_str) != Some("object")
        {
            return Err(invalid(&at("function.parameters"), "expected a schema of an object"));
        }
        let strict = tool.pointer("/function/strict").and_then(Value::as_bool).unwrap_or(false);
        if strict && !is_strict(&parameters) {
            let what = "a strict schema is closed and requires all that it has";
            return Err(invalid(&at("function.parameters"), what));
        }
        tools.push(Offered { name: name.to_owned(), parameters });
    }
    Ok((tools, Value::Array(list.clone()).to_string()))
}

fn tool_choice(body: &Map<String, Value>, tools: &[Offered]) -> Result<ToolChoice, Objection> {
    let choice = match body.get("tool_choice") {
        None | Some(Value::Null) => return Ok(ToolChoice::Auto),
        Some(_) if tools.is_empty() => {
            return Err(invalid("tool_choice", "it is only allowed with 'tools'"));
        }
        Some(choice) => choice,
    };
    let named = choice.pointer("/function/name").and_then(Value::as_str);
    match (choice.as_str(), named) {
        (Some("none"), _) => Ok(ToolChoice::None),
        (Some("auto"), _) => Ok(ToolChoice::Auto),
        (Some("required"), _) => Ok(ToolChoice::Required),
        (_, Some(name)) if tools.iter().any(|tool| tool.name == name) => {
            Ok(ToolChoice::Named(name.to_owned()))
        }
        _ => Err(invalid("tool_choice", "expected none, auto, required or a tool of the list")),
    }
}
