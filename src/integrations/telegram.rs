//! A message to a chat of managers, by a bot. Telegram drops no repeats: one that may be one says so.

use std::{collections::BTreeMap, fmt, time::Duration};

use reqwest::Url;
use serde_json::{Value, json};

use super::{
    http::{Answer, Errand, Http, address, below, token},
    reporter::Unconnectable,
    words,
};
use crate::domain::{
    channel::Secret,
    report::{ReportCall, ReportOutcome, head},
    resource::IntegrationSpec,
};

const ENDPOINT: &str = "https://api.telegram.org";
/// A message takes 4096 units of UTF-16, of which a character may need two.
const TEXT_CHARACTERS_MAX: usize = 2000;

pub struct TelegramNotification {
    http: Http,
    /// With the bot's token in it.
    method: Url,
    chat: Value,
}

impl fmt::Debug for TelegramNotification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TelegramNotification")
    }
}

impl TelegramNotification {
    pub(super) fn connect(
        spec: &IntegrationSpec,
        endpoint: Option<&Secret>,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        let own = Secret::new(ENDPOINT.to_owned());
        let endpoint = address(endpoint.unwrap_or(&own))?;
        let token = token(secrets.get("token"), "token")?;
        let chat = spec.chat_id.as_deref().ok_or(Unconnectable::MissingSetting("chatId"))?;
        let chat = chat.parse::<i64>().map_or_else(|_| json!(chat), |id| json!(id));
        let method = below(&endpoint, &[&format!("bot{token}"), "sendMessage"]);
        Ok(Self { http: http.clone(), method, chat })
    }

    pub(super) async fn report(&self, call: &ReportCall<'_>) -> ReportOutcome {
        let errand = self.http.errand("Telegram", call.now);
        let mut text = words::brief(call.report);
        if call.tries > 1 {
            text.insert_str(0, "(This may be a repeat.)\n");
        }
        let text = head(&text, TEXT_CHARACTERS_MAX);
        let first = match self.send(&errand, &self.chat, &text).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        // The group became a supergroup: its new id is told to whoever asks with the old one.
        let Some(moved_to) = first.body.pointer("/parameters/migrate_to_chat_id") else {
            return told(&errand, &first);
        };
        match self.send(&errand, moved_to, &text).await {
            Ok(answer) => told(&errand, &answer),
            Err(outcome) => outcome,
        }
    }

    async fn send(
        &self,
        errand: &Errand<'_>,
        chat: &Value,
        text: &str,
    ) -> Result<Answer, ReportOutcome> {
        let message = json!({
            "chat_id": chat,
            "text": text,
            "link_preview_options": {"is_disabled": true},
        });
        errand.ask(errand.post(self.method.clone()).json(&message)).await
    }
}

fn told(errand: &Errand<'_>, answer: &Answer) -> ReportOutcome {
    if answer.status == 200 && answer.body.get("ok") == Some(&Value::Bool(true)) {
        return ReportOutcome::Done { remote_id: None };
    }
    let Some(code) = answer.body.get("error_code").and_then(Value::as_i64) else {
        return errand.by_status(answer);
    };
    let description = answer.body.get("description").and_then(Value::as_str).unwrap_or_default();
    let says = |words: &str| description.to_lowercase().contains(words);
    let after = answer.body.pointer("/parameters/retry_after").and_then(Value::as_u64);
    match code {
        429 => {
            let after = after.map(Duration::from_secs).or(answer.retry_after);
            errand.throttled(after, "error 429: too many messages")
        }
        401 | 404 => errand.retry("the bot's token is refused"),
        403 => errand.retry("error 403: the bot is not in the chat, or may not write there"),
        400 if says("chat not found") => {
            errand.retry("error 400: the bot does not know the chat `chatId`")
        }
        400 if says("not enough rights") || says("have no rights") => {
            errand.retry("error 400: the bot may not write into the chat")
        }
        400 => errand.refused("error 400: the message is refused"),
        _ => errand.by_status(answer),
    }
}
