//! Updates as the Bot API writes them.

use serde_json::{Value, json};

use super::{
    super::{
        account,
        journal::{Direction, Entry},
        news::News,
        people::{PICTURE, START},
        pushes::Webhook,
        world::World,
    },
    api::{bot_user, owner},
};
use crate::domain::{
    address::Address,
    kind::{ChannelKind, MessengerType},
};

/// The numbers of real updates are as large.
pub(super) const FIRST_UPDATE: i64 = 100_000_000;

pub(super) fn update_id(entry: &Entry) -> i64 {
    FIRST_UPDATE + entry.message_id.unwrap_or_default()
}

/// The kind of the update that tells of a message; `None` where a bot is told nothing.
pub(super) fn kind_of(kind: ChannelKind, entry: &Entry) -> Option<&'static str> {
    match (kind, entry.direction) {
        (ChannelKind::TelegramBusiness, Direction::FromPerson | Direction::ToPerson) => {
            Some("business_message")
        }
        // A bot hears nothing of what it said itself.
        (_, Direction::FromPerson) => Some("message"),
        _ => None,
    }
}

pub(super) fn update(kind: ChannelKind, entry: &Entry) -> Option<Value> {
    let name = kind_of(kind, entry)?;
    Some(json!({ "update_id": update_id(entry), name: message(kind, entry) }))
}

/// A webhook with what happened, where the bot wants to be told of it.
pub(in super::super) fn webhook(
    world: &World,
    kind: ChannelKind,
    entry: &Entry,
    news: News,
) -> Option<Webhook> {
    if !matches!(news, News::Message | News::Echo) {
        return None;
    }
    let name = kind_of(kind, entry)?;
    if !world.with_bot(&entry.channel, |bot| bot.wants(name)) {
        return None;
    }
    let secret = world.hook(&entry.channel)?.secret;
    let headers = secret.map(|secret| ("X-Telegram-Bot-Api-Secret-Token", secret));
    let body = update(kind, entry)?.to_string().into_bytes();
    Some(Webhook { headers: headers.into_iter().collect(), body })
}

/// The person's number, by which their chat is known.
pub(super) fn chat_id(address: &str) -> i64 {
    let address = Address::from_stored(address.to_owned());
    address.id_of(MessengerType::Telegram).and_then(|id| id.parse().ok()).unwrap_or_default()
}

/// A message, whoever wrote it.
pub(super) fn message(kind: ChannelKind, entry: &Entry) -> Value {
    let is_ours = entry.direction == Direction::ToPerson;
    let is_business = kind == ChannelKind::TelegramBusiness;
    let chat = chat_id(&entry.address);
    let mut message = json!({
        "message_id": entry.message_id,
        "from": match (is_ours, is_business) {
            (false, _) => person(chat),
            (true, false) => bot_user(),
            (true, true) => owner(),
        },
        "chat": { "id": chat, "first_name": "Person", "type": "private" },
        "date": entry.at_ms / 1_000,
    });
    if is_business {
        let connection = account::secret(&entry.channel, "connectionId");
        message["business_connection_id"] = json!(connection.reveal());
        if is_ours {
            message["sender_business_bot"] = bot_user();
        }
    }
    if entry.text == PICTURE {
        message["photo"] = json!([{
            "file_id": "AgACAgIAAxkBAAM", "file_unique_id": "AQADAgAT", "width": 90, "height": 67,
        }]);
    } else if entry.text == START {
        let payload = START.trim_matches(['[', ']']).split(": ").last().unwrap_or_default();
        message["text"] = json!(format!("/start {payload}"));
        message["entities"] = json!([{ "offset": 0, "length": 6, "type": "bot_command" }]);
    } else {
        message["text"] = json!(entry.text);
    }
    message
}

fn person(chat: i64) -> Value {
    json!({ "id": chat, "is_bot": false, "first_name": "Person", "language_code": "en" })
}
