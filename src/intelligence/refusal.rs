//! What an answer without a completion means: statuses, codes, and the words of known servers.

use std::time::Duration;

use serde_json::{Map, Value};

use super::failure::AiFailure;
use crate::domain::resource::MaxTokensField;

/// What a refusal says of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Failure(AiFailure),
    /// A filter took offence at the dialogue itself: the account and the manifest are in order.
    Filtered,
    /// This server, or this model, takes no tools.
    NoTools,
    /// This server, or this model, has another name for the greatest length.
    OtherLimitField,
}

/// What was sent that a server may not know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) limit_field: MaxTokensField,
    pub(super) tools: bool,
}

/// Codes and types, in lower case, that mean an empty account, whatever the status.
const QUOTA: &[&str] = &[
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_hard_limit_reached",
    "billing_not_active",
    "insufficient_balance",
    "arrearage",
];

/// Codes of filters that look at the question.
const FILTERED: &[&str] =
    &["content_filter", "content_policy_violation", "invalid_prompt", "data_inspection_failed"];

/// Codes of a prompt that is too long for the model.
const TOO_LONG: &[&str] =
    &["context_length_exceeded", "string_above_max_length", "exceed_context_size_error"];

/// How servers without such a code say it.
const TOO_LONG_WORDS: &[&str] = &[
    "context length",
    "context window",
    "context size",
    "prompt is too long",
    "input is too long",
    "maximum number of tokens",
];

/// How servers say that a model, or they themselves, take no tools.
const NO_TOOLS_WORDS: &[&str] = &[
    "does not support tools",
    "support tool use",
    "tool choice requires --",
    "tools param requires",
    "tool calling is not supported",
];

/// How they say that they do not know a parameter.
const UNKNOWN_PARAMETER: &[&str] = &["unsupported", "not supported", "unknown", "unrecognized"];

/// An error as the many servers write it; its message is compared and never shown.
#[derive(Debug, Default)]
struct Told {
    status: Option<u16>,
    kind: String,
    code: String,
    parameter: String,
    message: String,
    flagged: bool,
}

impl Told {
    fn of(body: &Value) -> Self {
        let body = match body {
            Value::Array(all) => all.first().unwrap_or(&Value::Null),
            one => one,
        };
        let error = match body.get("error") {
            Some(Value::String(message)) => {
                return Self { message: message.to_lowercase(), ..Self::default() };
            }
            Some(error @ Value::Object(_)) => error,
            _ => body,
        };
        let word = |name: &str| match error.get(name) {
            Some(Value::String(text)) => text.to_lowercase(),
            _ => String::new(),
        };
        let status = error.get("code").and_then(Value::as_u64);
        let metadata = error.get("metadata").and_then(Value::as_object);
        let has = |metadata: &Map<String, Value>| {
            metadata.contains_key("flagged_input") || metadata.contains_key("reasons")
        };
        Self {
            status: status.and_then(|code| u16::try_from(code).ok()),
            kind: word("type"),
            code: word("code"),
            parameter: word("param"),
            message: word("message"),
            flagged: metadata.is_some_and(has),
        }
    }

    fn is_one_of(&self, codes: &[&str]) -> bool {
        codes.iter().any(|code| *code == self.code || *code == self.kind)
    }

    fn says(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.message.contains(word))
    }

    fn refuses_parameter(&self, name: &str) -> bool {
        let named = self.parameter == name || self.message.contains(&format!("'{name}'"));
        let unknown = UNKNOWN_PARAMETER
            .iter()
            .any(|word| self.code.contains(word) || self.message.contains(word));
        named && unknown && self.code != "unsupported_value"
    }

    /// The code and the parameter, where they are words of the wire and no text.
    fn detail(&self) -> String {
        let is_word = |text: &str| {
            let ok = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-[]".contains(&byte);
            (1..=64).contains(&text.len()) && text.bytes().all(ok)
        };
        let code = [&self.code, &self.kind].into_iter().find(|code| is_word(code));
        match (code, is_word(&self.parameter)) {
            (Some(code), true) => format!(" ({code}, parameter {})", self.parameter),
            (Some(code), false) => format!(" ({code})"),
            (None, true) => format!(" (parameter {})", self.parameter),
            (None, false) => String::new(),
        }
    }
}

/// The status that a body of a successful answer tells of, where it is an error all the same.
pub(super) fn inner_status(body: &Value) -> Option<u16> {
    let error = body.get("error").filter(|error| !error.is_null())?;
    let has_choices = body.get("choices").and_then(Value::as_array).is_some_and(|c| !c.is_empty());
    let status = Told::of(body).status.filter(|status| (400..600).contains(status));
    (!has_choices && (error.is_object() || error.is_string())).then(|| status.unwrap_or(500))
}

pub(super) fn classify(
    status: u16,
    retry_after: Option<Duration>,
    body: &Value,
    sent: Sent,
) -> Refusal {
    let told = Told::of(body);
    let is_client_error = (400..500).contains(&status);
    if is_client_error && status != 401 {
        if told.flagged || told.is_one_of(FILTERED) {
            return Refusal::Filtered;
        }
        if told.refuses_parameter(sent.limit_field.as_str()) {
            return Refusal::OtherLimitField;
        }
    }
    // An old llama.cpp says it with 500.
    let no_tools = told.says(NO_TOOLS_WORDS) || told.refuses_parameter("tools");
    if sent.tools && no_tools && (is_client_error || status == 500) {
        return Refusal::NoTools;
    }
    Refusal::Failure(failure(status, retry_after, &told))
}

fn failure(status: u16, retry_after: Option<Duration>, told: &Told) -> AiFailure {
    let because =
        |words: &str| format!("the AI's server answered HTTP {status}{}: {words}", told.detail());
    let is_client_error = (400..500).contains(&status);
    if is_client_error && told.is_one_of(QUOTA) {
        return AiFailure::Quota { reason: because("the account has nothing left") };
    }
    let is_too_long = told.is_one_of(TOO_LONG) || told.says(TOO_LONG_WORDS);
    if matches!(status, 400 | 422) && is_too_long {
        return AiFailure::TooLong { reason: because("the dialogue is too long for the model") };
    }
    match status {
        402 => AiFailure::Quota { reason: because("the account has nothing left") },
        413 => AiFailure::TooLong { reason: because("the dialogue is too long for the server") },
        429 => AiFailure::Waits { after: retry_after, reason: because("too many calls") },
        409 => AiFailure::Waits { after: retry_after, reason: because("it is busy") },
        // Said before anything is computed; 529 is Anthropic's.
        503 | 529 => match retry_after {
            Some(_) => AiFailure::Waits { after: retry_after, reason: because("it is busy") },
            None => AiFailure::unavailable(because("it is overloaded or away")),
        },
        401 => AiFailure::CredentialRefused { reason: because("the key is refused") },
        403 => AiFailure::CredentialRefused {
            reason: because("the key has no right to this, or not from here"),
        },
        404 => AiFailure::OurMistake {
            reason: because("it knows no such model, or the endpoint has another path"),
        },
        // Some gateways say so of a model that thought for too long.
        408 => AiFailure::unanswered(because("it gave up waiting")),
        300..400 => AiFailure::OurMistake { reason: because("the endpoint redirects elsewhere") },
        400..500 => AiFailure::OurMistake { reason: because("the call is refused") },
        _ => AiFailure::unanswered(because("it is open whether it is billed")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SENT: Sent = Sent { limit_field: MaxTokensField::MaxTokens, tools: true };

    fn word(refusal: &Refusal) -> &'static str {
        match refusal {
            Refusal::Filtered => "filtered",
            Refusal::NoTools => "no tools",
            Refusal::OtherLimitField => "other limit field",
            Refusal::Failure(failure) => match failure {
                AiFailure::Waits { .. } => "waits",
                AiFailure::Quota { .. } => "quota",
                AiFailure::CredentialRefused { .. } => "credential",
                AiFailure::OurMistake { .. } => "mistake",
                AiFailure::TooLong { .. } => "too long",
                AiFailure::Unavailable { .. } => "unavailable",
                AiFailure::Unanswered { .. } => "unanswered",
            },
        }
    }

    fn coded(code: &str) -> Value {
        json!({ "error": { "message": "SECRET words", "type": "t", "param": null, "code": code } })
    }

    fn saying(message: &str) -> Value {
        json!({ "error": { "message": message, "code": null } })
    }

    /// The errors of OpenAI, Azure, OpenRouter, Ollama, vLLM, llama.cpp, Mistral, Gemini, DeepSeek.
    #[test]
    fn a_refusal_is_read_by_its_code_before_its_status() {
        let of_type = json!({ "error": { "message": "SECRET", "type": "insufficient_quota" } });
        let parameter = |name: &str, code: &str| json!({ "error": { "message": "SECRET", "param": name, "code": code } });
        for (status, body, expected) in [
            (429, Value::Null, "waits"),
            (429, coded("rate_limit_exceeded"), "waits"),
            (429, coded("insufficient_quota"), "quota"),
            (429, of_type, "quota"),
            (429, coded("credit_balance_exhausted"), "quota"),
            (429, coded("organization_spend_limit_exceeded"), "quota"),
            (429, coded("project_spend_limit_exceeded"), "quota"),
            (429, coded("organization_usage_limit_exceeded"), "quota"),
            (402, saying("Insufficient Balance"), "quota"),
            (400, coded("Arrearage"), "quota"),
            (400, coded("context_length_exceeded"), "too long"),
            (
                400,
                json!({ "object": "error", "code": 400, "message":
                "This model's maximum context length is 4096 tokens. SECRET" }),
                "too long",
            ),
            (
                400,
                json!([{ "error": { "code": 400, "status": "INVALID_ARGUMENT", "message":
                "The input token count (9) exceeds the maximum number of tokens allowed (8)." }}]),
                "too long",
            ),
            (413, Value::Null, "too long"),
            (400, coded("content_filter"), "filtered"),
            (400, coded("invalid_prompt"), "filtered"),
            (
                403,
                json!({ "error": { "code": 403, "metadata":
                { "reasons": ["violence"], "flagged_input": "SECRET" } } }),
                "filtered",
            ),
            (400, saying("registry.ollama.ai/library/gemma does not support tools"), "no tools"),
            (
                400,
                saying("\"auto\" tool choice requires --enable-auto-tool-choice and more"),
                "no tools",
            ),
            (404, saying("No endpoints found that support tool use."), "no tools"),
            (500, saying("tools param requires --jinja flag"), "no tools"),
            (400, json!({ "error": "this model does not support tools" }), "no tools"),
            (400, parameter("tools", "unknown_parameter"), "no tools"),
            (400, parameter("max_tokens", "unsupported_parameter"), "other limit field"),
            (
                400,
                saying(
                    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                ),
                "other limit field",
            ),
            (400, parameter("max_tokens", "invalid_type"), "mistake"),
            (400, parameter("temperature", "unsupported_value"), "mistake"),
            (400, saying("temperature is wrong"), "mistake"),
            (401, coded("invalid_api_key"), "credential"),
            (403, coded("unsupported_country_region_territory"), "credential"),
            (404, coded("model_not_found"), "mistake"),
            (405, Value::Null, "mistake"),
            (422, Value::Null, "mistake"),
            (307, Value::Null, "mistake"),
            (408, Value::Null, "unanswered"),
            (409, Value::Null, "waits"),
            (500, coded("insufficient_quota"), "unanswered"),
            (502, Value::Null, "unanswered"),
            (503, Value::Null, "unavailable"),
            (504, Value::Null, "unanswered"),
            (
                529,
                json!({ "type": "error", "error": { "type": "overloaded_error" } }),
                "unavailable",
            ),
            (599, json!("oops"), "unanswered"),
        ] {
            let refusal = classify(status, None, &body, SENT);
            assert_eq!(word(&refusal), expected, "{status} {body}");
            let shown = format!("{refusal:?}");
            assert!(!shown.contains("SECRET") && !shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn what_was_not_sent_is_not_refused() {
        let sent = Sent { limit_field: MaxTokensField::MaxCompletionTokens, tools: false };
        for body in [
            saying("it does not support tools"),
            json!({ "error": { "param": "max_tokens", "code": "unsupported_parameter" } }),
        ] {
            assert_eq!(word(&classify(400, None, &body, sent)), "mistake", "{body}");
        }
    }

    #[test]
    fn a_server_that_is_busy_says_for_how_long() {
        let after = Some(Duration::from_secs(7));
        for status in [409, 429, 503, 529] {
            let refusal = classify(status, after, &Value::Null, SENT);
            let Refusal::Failure(AiFailure::Waits { after: named, .. }) = refusal else {
                panic!("{status}: {refusal:?}");
            };
            assert_eq!(named, after, "{status}");
        }
    }

    #[test]
    fn a_reason_names_the_code_and_the_parameter_and_no_text() {
        let body = json!({ "error": {
            "message": "Your key sk-123 …", "param": "temperature", "code": "unsupported_value",
        } });
        let Refusal::Failure(failure) = classify(400, None, &body, SENT) else { panic!("{body}") };
        assert_eq!(
            failure.to_string(),
            "the AI's server answered HTTP 400 (unsupported_value, parameter temperature): \
             the call is refused"
        );
        let body = json!({ "error": { "param": "a b", "code": "x".repeat(65), "type": "ok" } });
        let Refusal::Failure(failure) = classify(400, None, &body, SENT) else { panic!("{body}") };
        assert!(failure.to_string().contains("HTTP 400 (ok): "), "{failure}");
    }

    #[test]
    fn an_error_may_stand_in_an_answer_of_success() {
        for (body, status) in [
            (json!({ "error": { "code": 429, "message": "m" } }), Some(429)),
            (json!({ "error": { "code": "odd" } }), Some(500)),
            (json!({ "error": "m", "choices": [] }), Some(500)),
            (json!({ "error": null, "choices": [] }), None),
            (json!({ "error": { "code": 502 }, "choices": [{}] }), None),
            (json!({ "choices": [] }), None),
        ] {
            assert_eq!(inner_status(&body), status, "{body}");
        }
    }
}
