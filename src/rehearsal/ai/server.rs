//! `/chat/completions` and `/models`.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use chrono::SecondsFormat;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    faults::{self, AiFault, AiFaultRow},
    journal::{AiEntry, AiJournal},
    refusals::{objection_of, refusal, unknown_model},
    request::{Asked, Objection},
    salesman::{self, Called, Spoken},
    tokens::{self, Cache, Used},
};
use crate::rehearsal::{account, faults::Fault, server::Options};

const SLOW: Duration = Duration::from_secs(5);

/// Reasoning for any answer, and the most that the length of a question adds.
const REASONING_LEAST: u64 = 8;
const REASONING_SPAN: u64 = 16;

const MODEL: &str = "rehearsal";

pub(in crate::rehearsal) struct AiProvider {
    options: Options,
    state: Mutex<Memory>,
    shutdown: CancellationToken,
}

struct Memory {
    journal: AiJournal,
    cache: Cache,
}

/// An answer that was noted and billed.
struct Made {
    id: u64,
    spoken: Spoken,
    finish_reason: &'static str,
    refusal: Option<String>,
    used: Used,
    fault: Option<AiFault>,
}

pub(in crate::rehearsal) fn router() -> Router<Arc<AiProvider>> {
    Router::new()
        .route("/chat/completions", post(completions))
        .route("/models", get(models))
        .route("/models/{*model}", get(model))
        .method_not_allowed_fallback(async || {
            let message = "Not allowed to use this method on this URL.";
            refusal(&Objection::new(StatusCode::METHOD_NOT_ALLOWED, None, message))
        })
        .fallback(async || {
            let message = "Invalid URL";
            refusal(&Objection::new(StatusCode::NOT_FOUND, Some("unknown_url"), message))
        })
}

impl AiProvider {
    pub(in crate::rehearsal) fn open(
        options: Options,
        shutdown: CancellationToken,
    ) -> io::Result<Self> {
        let journal = AiJournal::open(options.journal.as_deref())?;
        let state = Mutex::new(Memory { journal, cache: Cache::default() });
        Ok(Self { options, state, shutdown })
    }

    pub(in crate::rehearsal) fn recent(&self) -> Vec<AiEntry> {
        self.memory().journal.recent()
    }

    /// A handler that panicked left at worst a line that was not written.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The AI that the key belongs to.
    fn account<'a>(&self, headers: &'a HeaderMap) -> Result<&'a str, Objection> {
        let unauthorized = |code, message| Objection::new(StatusCode::UNAUTHORIZED, code, message);
        let key = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(key) = key.and_then(|value| value.strip_prefix("Bearer ")) else {
            return Err(unauthorized(None, "You didn't provide an API key."));
        };
        let wrong = || unauthorized(Some("invalid_api_key"), "Incorrect API key provided.");
        let name = account::channel_of(key, "apiKey").ok_or_else(wrong)?;
        let fault = self.options.faults.then(|| crate::rehearsal::faults::of_account(name));
        match fault.flatten() {
            None => Ok(name),
            Some(Fault::AccountBanned) => {
                let message = "The account of this API key has been deactivated.";
                Err(unauthorized(Some("account_deactivated"), message))
            }
            Some(_) => Err(wrong()),
        }
    }

    fn stamped(&self, entry: AiEntry) -> AiEntry {
        let at = (self.options.clock)();
        AiEntry {
            at: at.to_rfc3339_opts(SecondsFormat::Millis, true),
            at_ms: at.timestamp_millis(),
            ..entry
        }
    }

    fn note_refusal(
        &self,
        memory: &mut Memory,
        objection: &Objection,
        entry: AiEntry,
    ) -> io::Result<()> {
        let error = objection.code.unwrap_or(objection.kind).to_owned();
        let status = objection.status.as_u16();
        memory.journal.append(self.stamped(AiEntry { status, error: Some(error), ..entry }))
    }

    /// The row of the table that this call meets.
    fn due(&self, memory: &Memory, account: &str, asked: &Asked) -> Option<&'static AiFaultRow> {
        let words = asked.last_words();
        let row = self.options.faults.then(|| faults::of(words, &asked.model)).flatten()?;
        let over = row.once && memory.journal.has_met(account, words, row.word);
        (!over).then_some(row)
    }

    /// Answers and bills, or objects. Both are in the journal before anybody hears of them.
    fn make(&self, account: &str, asked: &Asked) -> io::Result<Result<Made, Objection>> {
        let mut memory = self.memory();
        let row = self.due(&memory, account, asked);
        let fault = row.map(|row| row.fault);
        let entry = AiEntry {
            ai: account.to_owned(),
            user: asked.user.clone(),
            model: asked.model.clone(),
            fault: row.map(|row| row.word.to_owned()),
            said: asked.last_words().to_owned(),
            ..AiEntry::default()
        };
        if let Some(objection) = fault.and_then(|fault| objection_of(fault, asked)) {
            self.note_refusal(&mut memory, &objection, entry)?;
            return Ok(Err(objection));
        }
        let (spoken, mut finish_reason) = twisted(salesman::answer(asked), fault);
        let (spoken, used, is_cut) = measured(spoken, asked);
        let cached = memory.cache.note(account, asked);
        let used = Used { cached, ..used };
        if is_cut {
            finish_reason = "length";
        }
        let refused = fault == Some(AiFault::Refusal);
        let id = memory.journal.length() + 1;
        memory.journal.append(self.stamped(AiEntry {
            status: StatusCode::OK.as_u16(),
            answer: spoken.text.clone(),
            tools: spoken.calls.iter().map(|call| call.name.clone()).collect(),
            finish_reason: Some(finish_reason.to_owned()),
            prompt_tokens: used.prompt,
            cached_tokens: used.cached,
            completion_tokens: used.completion,
            reasoning_tokens: used.reasoning,
            ..entry
        }))?;
        let refusal = refused.then(|| spoken.text.clone());
        Ok(Ok(Made { id, spoken, finish_reason, refusal, used, fault }))
    }

    async fn wait(&self, fault: Option<AiFault>) {
        let length = match fault {
            Some(AiFault::AnswerWithheld) => self.options.hang_for,
            Some(AiFault::Slow) => SLOW,
            _ => self.options.answer_delay,
        };
        if !length.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(length) => {}
                () = self.shutdown.cancelled() => {}
            }
        }
    }
}

async fn completions(
    State(provider): State<Arc<AiProvider>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let noted = |account: &str, objection: Objection| {
        let entry = AiEntry { ai: account.to_owned(), ..AiEntry::default() };
        match provider.note_refusal(&mut provider.memory(), &objection, entry) {
            Ok(()) => refusal(&objection),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    };
    let account = match provider.account(&headers) {
        Ok(account) => account,
        Err(objection) => return noted("", objection),
    };
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") {
        let message = "Unsupported content type: expected application/json.";
        let objection = Objection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, None, message);
        return noted(account, objection);
    }
    let asked = match Asked::read(&body) {
        Ok(asked) => asked,
        Err(objection) => return noted(account, objection),
    };
    let made = match provider.make(account, &asked) {
        Ok(Ok(made)) => made,
        Ok(Err(objection)) => return refusal(&objection),
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    provider.wait(made.fault).await;
    match made.fault {
        Some(AiFault::AnswerWithheld) => StatusCode::GATEWAY_TIMEOUT.into_response(),
        Some(AiFault::Garbage) => {
            ([(CONTENT_TYPE, "application/json")], "{\"id\":\"chatcmpl-\",\"choi").into_response()
        }
        _ => {
            Json(completion(&made, &asked, (provider.options.clock)().timestamp())).into_response()
        }
    }
}

/// What a fault makes of the answer, and how the answer says that it ended.
fn twisted(spoken: Spoken, fault: Option<AiFault>) -> (Spoken, &'static str) {
    let ended = if spoken.calls.is_empty() { "stop" } else { "tool_calls" };
    let only = |text: &str| Spoken { text: text.to_owned(), calls: Vec::new() };
    match fault {
        Some(AiFault::Empty) => (only(""), "stop"),
        Some(AiFault::CutOff) => (only(tokens::cut(&spoken.text, 6)), "length"),
        Some(AiFault::Refusal) => (only("I'm sorry, I can't help with that."), "stop"),
        Some(AiFault::Filtered) => (only(""), "content_filter"),
        Some(AiFault::SilentTools) if !spoken.calls.is_empty() => {
            (Spoken { text: String::new(), ..spoken }, ended)
        }
        _ => (spoken, ended),
    }
}

/// The answer within its greatest length, what it uses, and whether it had to be cut.
fn measured(spoken: Spoken, asked: &Asked) -> (Spoken, Used, bool) {
    let prompt = tokens::of_prompt(asked);
    let most = asked.output_tokens_max;
    let words = asked.last_words().len() as u64;
    let reasoning = (REASONING_LEAST + words % REASONING_SPAN).min(most);
    let call =
        |call: &Called| tokens::of_text(&call.name) + tokens::of_text(&call.arguments.to_string());
    let wanted = tokens::of_text(&spoken.text) + spoken.calls.iter().map(call).sum::<u64>();
    let left = most - reasoning;
    let is_cut = wanted > left;
    let spoken = if is_cut {
        Spoken { text: tokens::cut(&spoken.text, left).to_owned(), calls: Vec::new() }
    } else {
        spoken
    };
    let completion = (reasoning + wanted.min(left)) * asked.choices;
    let reasoning = reasoning * asked.choices;
    (spoken, Used { prompt, cached: 0, completion, reasoning }, is_cut)
}

fn completion(made: &Made, asked: &Asked, created: i64) -> Value {
    let Made { id, spoken: Spoken { text, calls }, finish_reason, refusal, used, fault } = made;
    let calls: Vec<_> = calls
        .iter()
        .enumerate()
        .map(|(n, Called { name, arguments })| {
            let function = json!({ "name": name, "arguments": arguments.to_string() });
            json!({ "id": format!("call_{id}_{n}"), "type": "function", "function": function })
        })
        .collect();
    let is_silent = refusal.is_some() || (text.is_empty() && !calls.is_empty());
    let content = if is_silent { Value::Null } else { text.as_str().into() };
    let mut message =
        json!({ "role": "assistant", "content": content, "refusal": refusal, "annotations": [] });
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    let choice = |index: u64| {
        json!({
            "index": index, "message": message, "logprobs": null, "finish_reason": finish_reason,
        })
    };
    let choices: Vec<_> = (0..asked.choices).map(choice).collect();
    let mut completion = json!({
        "id": format!("chatcmpl-rehearsal{id}"),
        "object": "chat.completion",
        "created": created,
        "model": asked.model,
        "choices": choices,
        "service_tier": "default",
        "system_fingerprint": "fp_rehearsal",
    });
    if *fault != Some(AiFault::NoUsage) {
        completion["usage"] = used.as_json();
    }
    completion
}

async fn models(State(provider): State<Arc<AiProvider>>, headers: HeaderMap) -> Response {
    match provider.account(&headers) {
        Ok(_) => Json(json!({ "object": "list", "data": [described(MODEL)] })).into_response(),
        Err(objection) => refusal(&objection),
    }
}

/// Every model is known, as every task's manifest names its own, but those of the table of faults.
async fn model(
    State(provider): State<Arc<AiProvider>>,
    headers: HeaderMap,
    Path(model): Path<String>,
) -> Response {
    let fault = faults::of("", &model).map(|row| row.fault);
    match provider.account(&headers) {
        Ok(_) if provider.options.faults && fault == Some(AiFault::UnknownModel) => {
            refusal(&unknown_model(&model))
        }
        Ok(_) => Json(described(&model)).into_response(),
        Err(objection) => refusal(&objection),
    }
}

fn described(model: &str) -> Value {
    json!({ "id": model, "object": "model", "created": 0, "owned_by": "rehearsal" })
}
