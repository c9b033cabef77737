//! The stream of an account: its counters, what is new since a place in it, and what is pushed.

use grammers_tl_types::{Deserializable as _, Serializable as _, enums, functions, types};

use super::{
    super::{
        journal::{Direction, Entry},
        people::PICTURE,
        world::World,
    },
    answers::read,
    people::{id_of, user},
};

/// The messages of one part of a difference: few, so that a rehearsal meets more than one part.
const SLICE_MAX: usize = 10;

/// The counter of an account that nothing has happened to.
const FIRST_PTS: usize = 1;

pub(super) fn is_receiving(body: &[u8]) -> bool {
    read::<functions::updates::GetState>(body).is_some()
        || read::<functions::updates::GetDifference>(body).is_some()
}

/// Where the stream of an account ends.
pub(super) fn pts(world: &World, channel: &str) -> i32 {
    counter(world.with_stream(channel, |stream| stream.end()))
}

fn counter(place: usize) -> i32 {
    i32::try_from(place + FIRST_PTS).unwrap_or(i32::MAX)
}

pub(super) fn state(world: &World, channel: &str) -> types::updates::State {
    state_at(world, pts(world, channel))
}

fn state_at(world: &World, pts: i32) -> types::updates::State {
    types::updates::State { pts, qts: 0, date: now(world), seq: 0, unread_count: 0 }
}

fn now(world: &World) -> i32 {
    i32::try_from(world.now().timestamp()).unwrap_or(i32::MAX)
}

/// The number of a message of the journal.
pub(super) fn number(entry: &Entry) -> i32 {
    entry.message_id.and_then(|id| i32::try_from(id).ok()).unwrap_or_default()
}

pub(super) fn date(entry: &Entry) -> i32 {
    i32::try_from(entry.at_ms / 1_000).unwrap_or(i32::MAX)
}

pub(super) fn difference(
    world: &World,
    channel: &str,
    request: &functions::updates::GetDifference,
) -> enums::updates::Difference {
    let place = i64::from(request.pts) - i64::try_from(FIRST_PTS).unwrap_or_default();
    let page = world.with_stream(channel, |stream| stream.page(place, SLICE_MAX));
    let Some(page) = page.filter(|_| request.pts <= pts(world, channel)) else {
        return types::updates::DifferenceTooLong { pts: pts(world, channel) }.into();
    };
    if page.entries.is_empty() {
        return types::updates::DifferenceEmpty { date: now(world), seq: 0 }.into();
    }
    let new_messages = page.entries.iter().map(message).collect();
    let other_updates = page.entries.iter().filter_map(key).collect();
    let mut addresses: Vec<&str> =
        page.entries.iter().map(|entry| entry.address.as_str()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let users = addresses.into_iter().map(|address| user(channel, address)).collect();
    let there = state_at(world, counter(page.next)).into();
    if page.more {
        return types::updates::DifferenceSlice {
            new_messages,
            new_encrypted_messages: Vec::new(),
            other_updates,
            chats: Vec::new(),
            users,
            intermediate_state: there,
        }
        .into();
    }
    types::updates::Difference {
        new_messages,
        new_encrypted_messages: Vec::new(),
        other_updates,
        chats: Vec::new(),
        users,
        state: there,
    }
    .into()
}

/// What is pushed as soon as it happens.
pub(super) fn news(world: &World, channel: &str, entry: &Entry) -> enums::Updates {
    let pts = pts(world, channel);
    let update = types::UpdateNewMessage { message: message(entry), pts, pts_count: 1 };
    types::Updates {
        updates: vec![update.into()],
        users: vec![user(channel, &entry.address)],
        chats: Vec::new(),
        date: now(world),
        seq: 0,
    }
    .into()
}

fn message(entry: &Entry) -> enums::Message {
    let peer = types::PeerUser { user_id: id_of(&entry.address) };
    let is_picture = entry.text == PICTURE;
    let photo = types::MessageMediaPhoto {
        spoiler: false,
        live_photo: false,
        photo: None,
        ttl_seconds: None,
        video: None,
    };
    enums::Message::Message(types::Message {
        out: entry.direction == Direction::ToPerson,
        id: number(entry),
        date: date(entry),
        message: if is_picture { String::new() } else { entry.text.clone() },
        media: is_picture.then(|| photo.into()),
        ..blank(&peer.into())
    })
}

/// A message that says nothing: flags, a number, the chat, a date and an empty text.
fn blank(peer: &enums::Peer) -> types::Message {
    let mut fields = vec![0; 12];
    peer.serialize(&mut fields);
    fields.extend([0; 8]);
    types::Message::from_bytes(&fields).expect("everything else is optional")
}

/// Which number a message of ours got.
fn key(entry: &Entry) -> Option<enums::Update> {
    let random_id = entry.key.filter(|_| entry.direction == Direction::ToPerson)?;
    Some(types::UpdateMessageId { id: number(entry), random_id }.into())
}
