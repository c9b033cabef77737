//! What a bot says: `sendMessage`, and the signs.

use axum::response::Response;
use serde_json::Value;

use super::{
    super::{
        faults::Fault,
        journal::{Call, Direction},
        world::Served,
    },
    api::{Asked, error, ok, too_many},
    updates::message,
};
use crate::domain::{
    address::Address,
    kind::{ChannelKind, MessengerType},
};

/// Of UTF-16.
const TEXT_UNITS_MAX: usize = 4_096;
/// Short enough to see the second call in a rehearsal of a minute.
const TOO_MANY_WAIT_S: u64 = 3;
const PARSE_MODES: &[&str] = &["", "html", "markdown", "markdownv2"];
const ACTIONS: &[&str] = &[
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
];

type Objection = (u16, &'static str);

pub(super) async fn send_message(asked: &Asked) -> Response {
    let call = asked.call();
    let objection = asked.chat_objection(&call).or_else(|| text_objection(asked));
    if let Some((code, description)) = objection.or_else(|| person_objection(asked, &call)) {
        return asked.refuse_call(&call, code, description);
    }
    match asked.world.deliver(&call).await {
        Ok(Served::Delivered(entry) | Served::Repeated(entry)) => ok(message(asked.kind, &entry)),
        Ok(Served::Fault(fault)) => match fault {
            Fault::TooMany => too_many(TOO_MANY_WAIT_S),
            Fault::RecipientBlocks => error(403, "Forbidden: bot was blocked by the user"),
            Fault::RecipientDeleted => error(403, "Forbidden: user is deactivated"),
            Fault::NotOnMessenger => error(400, "Bad Request: chat not found"),
            _ => error(503, "Service Unavailable"),
        },
        Err(_) => error(500, "Internal Server Error"),
    }
}

pub(super) fn send_chat_action(asked: &Asked) -> Response {
    let call = asked.call();
    if !ACTIONS.contains(&asked.parameters.text("action").as_str()) {
        return error(400, "Bad Request: wrong parameter action in request");
    }
    asked.sign(call, "typing")
}

pub(super) fn read_business_message(asked: &Asked) -> Response {
    let call = asked.call();
    if asked.kind != ChannelKind::TelegramBusiness {
        return error(400, "Bad Request: business connection not found");
    }
    if asked.parameters.integer("message_id").is_none_or(|number| number <= 0) {
        return error(400, "Bad Request: message identifier is not specified");
    }
    asked.sign(call, "read")
}

fn text_objection(asked: &Asked) -> Option<Objection> {
    let text = asked.parameters.text("text");
    let mode = asked.parameters.text("parse_mode").to_lowercase();
    if text.trim().is_empty() {
        return Some((400, "Bad Request: message text is empty"));
    }
    if !PARSE_MODES.contains(&mode.as_str()) {
        return Some((400, "Bad Request: unsupported parse_mode"));
    }
    if text.trim().encode_utf16().count() > TEXT_UNITS_MAX {
        return Some((400, "Bad Request: message is too long"));
    }
    None
}

/// Nobody can be written to who did not write, nor through a business after a day.
fn person_objection(asked: &Asked, call: &Call) -> Option<Objection> {
    if !asked.world.has_written(&call.channel, &call.address) {
        return Some(match asked.kind {
            ChannelKind::TelegramBusiness => (400, "Bad Request: BUSINESS_PEER_USAGE_MISSING"),
            _ => (400, "Bad Request: chat not found"),
        });
    }
    let is_open = asked.world.window_is_open(call);
    (!is_open).then_some((400, "Bad Request: BUSINESS_PEER_USAGE_MISSING"))
}

impl Asked {
    /// The message, or the sign, that is asked for.
    pub(super) fn call(&self) -> Call {
        let chat = self.parameters.text("chat_id");
        let person = Address::of_id(MessengerType::Telegram, &chat);
        Call {
            provider: self.kind.as_str(),
            channel: self.channel.clone(),
            address: person.map(|person| person.to_string()).unwrap_or_default(),
            text: self.parameters.text("text"),
            ..Call::default()
        }
    }

    fn chat_objection(&self, call: &Call) -> Option<Objection> {
        let chat = self.parameters.text("chat_id");
        let connection = self.parameters.text("business_connection_id");
        let is_business = self.kind == ChannelKind::TelegramBusiness;
        if chat.is_empty() {
            return Some((400, "Bad Request: chat_id is empty"));
        }
        // Names are of channels and groups; and a chat with the bot is not one with its owner.
        if call.address.is_empty()
            || chat.parse::<i64>().is_err()
            || is_business && connection.is_empty()
        {
            return Some((400, "Bad Request: chat not found"));
        }
        if !connection.is_empty() && !self.names_connection() {
            return Some((400, "Bad Request: business connection not found"));
        }
        None
    }

    fn sign(&self, call: Call, sign: &'static str) -> Response {
        if let Some((code, description)) =
            self.chat_objection(&call).or_else(|| person_objection(self, &call))
        {
            return error(code, description);
        }
        let call =
            Call { direction: Direction::Sign, note: Some(sign), text: String::new(), ..call };
        match self.world.note(&call) {
            Ok(()) => ok(Value::Bool(true)),
            Err(_) => error(500, "Internal Server Error"),
        }
    }

    /// Refuses whatever is asked for.
    pub(super) fn refuse(&self, code: u16, description: &str) -> Response {
        self.refuse_call(&self.call(), code, description)
    }

    fn refuse_call(&self, call: &Call, code: u16, description: &str) -> Response {
        match self.world.refuse(call, format!("error {code}: {description}")) {
            Ok(()) => error(code, description),
            Err(_) => error(500, "Internal Server Error"),
        }
    }
}
