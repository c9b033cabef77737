//! What an account's stream brings: messages of private chats, and our own that come back.

use std::collections::HashMap;

use chrono::DateTime;
use grammers_tl_types::{Serializable as _, enums, types};

use super::{
    super::reading::{Person, phone, with_media},
    connection::{Connection, ids_among},
    peers::SERVICE_USERS,
    vault::Reached,
};
use crate::domain::{
    address::Address,
    dialogue::{Delivery, DeliveryState, Received, TypedByHand},
    kind::MessengerType,
};

/// A part of the stream, in its order.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) messages: Vec<enums::Message>,
    pub(super) others: Vec<enums::Update>,
    pub(super) users: Vec<enums::User>,
}

/// What people wrote, what came back, and what was read; and those messages as they came. The rest of a stream is
/// other people's, and Telegram's codes for signing in.
pub(super) fn read(part: &Part, connection: &Connection, own_id: i64) -> (Vec<Received>, Vec<u8>) {
    let Part { messages, others, users } = part;
    let users: HashMap<i64, &types::User> = users.iter().filter_map(full).collect();
    for types::UpdateMessageId { id, random_id } in ids_among(others) {
        connection.note_key(id, random_id);
    }
    let (mut received, mut raw) = (Vec::new(), Vec::new());
    for message in messages {
        let enums::Message::Message(said) = message else { continue };
        if let Some(one) = read_message(said, &users, own_id, |id| connection.key_of(id)) {
            received.push(one);
            message.serialize(&mut raw);
        }
    }
    received.extend(others.iter().filter_map(|update| read_seen(update, &users)));
    (received, raw)
}

/// By what the people of this part are reached.
pub(super) fn people(part: &Part) -> Vec<(Address, Reached)> {
    let reached = part.users.iter().filter_map(|user| {
        let (_, told) = full(user)?;
        is_person(Some(told)).then_some(())?;
        let reached = Reached::of(user)?;
        Some((reached.address()?, reached))
    });
    reached.collect()
}

fn full(user: &enums::User) -> Option<(i64, &types::User)> {
    match user {
        enums::User::User(user) => Some((user.id, user)),
        enums::User::Empty(_) => None,
    }
}

/// Two programs that answer each other would never end; Telegram's own service is nobody.
fn is_person(user: Option<&types::User>) -> bool {
    user.is_none_or(|user| {
        !user.bot && !user.is_self && !user.support && !SERVICE_USERS.contains(&user.id)
    })
}

/// By the number; by the names that are shown to all, and the phone that is shown to us.
fn person(user_id: i64, user: Option<&types::User>) -> Option<Person> {
    let number = Address::of_id(MessengerType::Telegram, &user_id.to_string())?;
    let more = user.into_iter().flat_map(|user| user.usernames.iter().flatten());
    let more = more.filter_map(|enums::Username::Username(name)| {
        name.active.then_some(name.username.as_str())
    });
    let names = user.and_then(|user| user.username.as_deref()).into_iter().chain(more);
    let names =
        names.filter_map(|name| Address::parse(&format!("@{name}"), MessengerType::Telegram).ok());
    let number_shown = user.and_then(|user| phone(user.phone.as_deref()?));
    Person::known_as(std::iter::once(number).chain(names).chain(number_shown))
}

fn read_message(
    message: &types::Message,
    users: &HashMap<i64, &types::User>,
    own_id: i64,
    key_of: impl Fn(i32) -> Option<i64>,
) -> Option<Received> {
    let enums::Peer::User(types::PeerUser { user_id }) = message.peer_id else { return None };
    let user = users.get(&user_id).copied();
    if user_id == own_id || SERVICE_USERS.contains(&user_id) || !is_person(user) {
        return None;
    }
    let id = message.id.to_string();
    let text = said(message)?;
    let what = if message.out {
        let reference = key_of(message.id).map(|key| key.to_string());
        let typed_by_hand = TypedByHand::UnlessOurs;
        Delivery::Echo { id, reference, text, typed_by_hand }
    } else {
        Delivery::Message { id, text }
    };
    let at = DateTime::from_timestamp(i64::from(message.date), 0);
    Some(person(user_id, user)?.received(at, what))
}

/// The person has read all up to this one.
fn read_seen(update: &enums::Update, users: &HashMap<i64, &types::User>) -> Option<Received> {
    let enums::Update::ReadHistoryOutbox(seen) = update else { return None };
    let enums::Peer::User(types::PeerUser { user_id }) = seen.peer else { return None };
    let what = Delivery::Status {
        id: seen.max_id.to_string(),
        reference: None,
        state: DeliveryState::Read,
        reason: String::new(),
    };
    Some(person(user_id, users.get(&user_id).copied())?.received(None, what))
}

/// The words of a message, and what came with them.
fn said(message: &types::Message) -> Option<String> {
    // Postgres keeps every character but NUL.
    let words = message.message.replace('\0', "");
    let media = message.media.as_ref().and_then(name);
    let said = match media {
        Some(name) => with_media(&words, &[name]),
        None if words.trim().is_empty() => "[message of an unknown kind]".to_owned(),
        None => words,
    };
    (!said.trim().is_empty()).then_some(said)
}

/// As the Bot API's messages are named; `None` for what only adorns the text.
fn name(media: &enums::MessageMedia) -> Option<&'static str> {
    use enums::MessageMedia as Media;
    Some(match media {
        Media::Empty | Media::WebPage(_) => return None,
        Media::Photo(_) => "photo",
        Media::Geo(_) | Media::GeoLive(_) => "location",
        Media::Contact(_) => "contact",
        Media::Document(document) if document.round => "video message",
        Media::Document(document) if document.voice => "voice message",
        Media::Document(document) if document.video => "video",
        Media::Document(document) => document_name(document),
        Media::Venue(_) => "venue",
        Media::Game(_) => "game",
        Media::Invoice(_) => "invoice",
        Media::Poll(_) => "poll",
        Media::Dice(_) => "dice",
        Media::Story(_) => "story",
        Media::Giveaway(_) | Media::GiveawayResults(_) => "giveaway",
        Media::PaidMedia(_) => "paid media",
        Media::ToDo(_) => "checklist",
        Media::VideoStream(_) => "video",
        Media::Unsupported => "message of an unknown kind",
    })
}

fn document_name(document: &types::MessageMediaDocument) -> &'static str {
    let Some(enums::Document::Document(document)) = &document.document else { return "document" };
    let mut names = document.attributes.iter().filter_map(|attribute| match attribute {
        enums::DocumentAttribute::Sticker(_) => Some("sticker"),
        enums::DocumentAttribute::Animated => Some("animation"),
        enums::DocumentAttribute::Audio(_) => Some("audio"),
        _ => None,
    });
    names.next_back().unwrap_or("document")
}
