//! Updates of a bot as what was received: private chats only.

use serde_json::Value;
use tracing::warn;

use super::{
    super::reading::{Person, id, integer, phone, seconds},
    content::{is_own_contact, said, written},
};
use crate::domain::{
    address::Address,
    channel::Secret,
    dialogue::{Delivery, Received, TypedByHand},
    kind::MessengerType,
};

/// Telegram's own notices, login codes among them. They are nobody's words, and no AI is to see them.
const SERVICE_CHATS: &[i64] = &[777_000, 42_777];

/// The kinds of updates that a bot is asked for.
pub(super) const OF_BOT: &[&str] = &["message", "edited_message", "my_chat_member"];
/// Those of a bot that speaks for the account of a business.
pub(super) const OF_BUSINESS: &[&str] =
    &["business_connection", "business_message", "edited_business_message"];

/// A message of Telegram's is known by its number within its chat.
pub(super) fn message_id(chat: i64, number: i64) -> String {
    format!("{chat}:{number}")
}

/// The person of a private chat: by their number, and by their name and their own card where these are told.
fn person(message: &Value, chat: i64) -> Option<Person> {
    let peer = Address::of_id(MessengerType::Telegram, &chat.to_string())?;
    let name = message.pointer("/chat/username").and_then(Value::as_str);
    let name =
        name.and_then(|name| Address::parse(&format!("@{name}"), MessengerType::Telegram).ok());
    let card = is_own_contact(message).then(|| message.pointer("/contact/phone_number"));
    let card = card.flatten().and_then(Value::as_str).and_then(phone);
    Person::known_as([Some(peer), name, card].into_iter().flatten())
}

/// What the person wrote to the bot. Everything else is passed over.
pub(super) fn read_of_bot(update: &Value) -> Option<Received> {
    if let Some(message) = update.get("message") {
        return read_message(message);
    }
    match update.get("edited_message") {
        Some(message) => read_edited(message),
        None => read_standing(update.get("my_chat_member")?),
    }
}

/// Whoever blocks the bot is told of; that they take it back is told by what they write then.
fn read_standing(told: &Value) -> Option<Received> {
    let chat = chat_of(told)?;
    let standing = told.pointer("/new_chat_member/status").and_then(Value::as_str);
    (standing == Some("kicked")).then_some(())?;
    Some(person(told, chat)?.received(seconds(told.get("date")), Delivery::Barred))
}

/// What was said in the chats of the business: by the person, by this program, or by the owner's hand.
pub(super) fn read_of_business(update: &Value, connection: &Secret) -> Option<Received> {
    let is_ours = |id: Option<&Value>| id.and_then(Value::as_str) == Some(connection.reveal());
    if let Some(told) = update.get("business_connection") {
        tell_of_connection(told, is_ours(told.get("id")));
        return None;
    }
    let edited = update.get("edited_business_message");
    let message = update.get("business_message").or(edited)?;
    if !is_ours(message.get("business_connection_id")) {
        return None;
    }
    let by_bot = message.get("sender_business_bot").is_some_and(|bot| !bot.is_null());
    match (edited, is_the_persons(message)) {
        (None, true) if !by_bot => read_message(message),
        (Some(edited), true) if !by_bot => read_edited(edited),
        (None, _) => read_echo(message, by_bot),
        // What we said is what we said; a correction by hand is nobody's turn.
        (Some(_), _) => None,
    }
}

fn tell_of_connection(told: &Value, is_ours: bool) {
    let is_true = |path: &str| told.pointer(path).and_then(Value::as_bool) == Some(true);
    if is_ours && !is_true("/is_enabled") {
        warn!("the owner of a Telegram account has taken the bot away from it");
    } else if is_ours && !is_true("/rights/can_reply") {
        warn!("the owner of a Telegram account does not let the bot reply any more");
    } else if !is_ours && is_true("/is_enabled") {
        warn!("the bot was connected with another Telegram account than the one of `connectionId`");
    }
}

/// The number of a private chat with a person.
fn chat_of(message: &Value) -> Option<i64> {
    let chat = message.get("chat")?;
    let id = integer(chat.get("id"))?;
    let is_private = chat.get("type").and_then(Value::as_str) == Some("private");
    (is_private && id > 0 && !SERVICE_CHATS.contains(&id)).then_some(id)
}

fn sender(message: &Value) -> Option<i64> {
    integer(message.pointer("/from/id"))
}

/// Whether a message of a business's chat is the person's: in a private chat, the chat's number is theirs.
fn is_the_persons(message: &Value) -> bool {
    sender(message).is_none_or(|sender| chat_of(message) == Some(sender))
}

fn read_message(message: &Value) -> Option<Received> {
    let chat = chat_of(message)?;
    // Two programs that answer each other would never end.
    if message.pointer("/from/is_bot").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    let what = Delivery::Message { id: id_of(message, chat)?, text: said(message)? };
    Some(person(message, chat)?.received(seconds(message.get("date")), what))
}

/// A correction is said again, as the newer words; that a place or a picture changed is nothing to answer.
fn read_edited(message: &Value) -> Option<Received> {
    let edited_at = message.get("edit_date");
    let received = read_message(message)?;
    let Delivery::Message { id, text } = &received.what else { return None };
    if written(message).trim().is_empty() {
        return None;
    }
    let id = format!("{id}:{}", integer(edited_at)?);
    let text = format!("{text}\n[edited]");
    let what = Delivery::Message { id, text };
    Some(Received { at: seconds(edited_at), what, ..received })
}

/// A message that went out of the account: by a bot, by a rule such as "away", or by the owner's hand.
fn read_echo(message: &Value, by_bot: bool) -> Option<Received> {
    let chat = chat_of(message)?;
    let by_rule = message.get("is_from_offline").and_then(Value::as_bool) == Some(true);
    let what = Delivery::Echo {
        id: id_of(message, chat)?,
        reference: None,
        text: said(message)?,
        // What a bot or a rule said, and we did not, is nobody's turn.
        typed_by_hand: if by_bot || by_rule { TypedByHand::Untold } else { TypedByHand::Yes },
    };
    Some(person(message, chat)?.received(seconds(message.get("date")), what))
}

fn id_of(message: &Value, chat: i64) -> Option<String> {
    let number = integer(message.get("message_id")).filter(|number| *number > 0)?;
    id(Some(&Value::String(message_id(chat, number))))
}
