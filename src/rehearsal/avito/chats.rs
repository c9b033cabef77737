//! The chats of the fake Avito: which there are, and what was said in them.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, Query, State},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::{
    super::{journal::Entry, world::World},
    api::{Objection, Place, account_id, chat_of, messenger_of},
    events::{ITEM, chat_id, content, is_ours, message_id, person},
};
use crate::domain::kind::ChannelKind;

const PAGE_MAX: usize = 100;
const OFFSET_MAX: usize = 1_000;

/// Chats about an ad. Nobody of the rehearsal writes to the seller alone.
const ABOUT_ADS: &str = "u2i";

type Parameters = Query<HashMap<String, String>>;

struct Part {
    limit: usize,
    offset: usize,
}

pub(super) async fn list(
    State(world): State<Arc<World>>,
    Path(Place { user, .. }): Path<Place>,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Response {
    let asked =
        messenger_of(&world, &headers, &user).and_then(|channel| Ok((channel, part(&query)?)));
    let (channel, Part { limit, offset }) = match asked {
        Ok(asked) => asked,
        Err(objection) => return objection.answer(),
    };
    // Who asks for a single one tries whether it may, and may be waiting for webhooks that lead nowhere yet.
    if limit > 1 {
        world.meet(ChannelKind::Avito, &channel);
    }
    let types = query.get("chat_types").map_or(ABOUT_ADS, String::as_str);
    let unread_only = query.get("unread_only").is_some_and(|only| only == "true");
    let mut last: HashMap<String, Entry> = HashMap::new();
    world.with_stream(&channel, |stream| {
        last.extend(stream.messages().map(|entry| (entry.address.clone(), entry.clone())));
    });
    let mut last: Vec<Entry> = last.into_values().collect();
    last.retain(|_| types.split(',').any(|kind| kind == ABOUT_ADS));
    last.retain(|entry| !unread_only || is_unread(&world, entry));
    last.sort_by_key(|entry| std::cmp::Reverse(entry.message_id));
    let own: i64 = account_id(&world, &channel).parse().unwrap_or_default();
    let page = last.iter().skip(offset).take(limit);
    Json(json!({ "chats": page.map(|entry| chat(entry, own)).collect::<Vec<_>>() })).into_response()
}

/// The youngest first.
pub(super) async fn messages(
    State(world): State<Arc<World>>,
    place: Path<Place>,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Response {
    let asked = chat_of(&world, &headers, &place).and_then(|chat| Ok((chat, part(&query)?)));
    let ((channel, address), Part { limit, offset }) = match asked {
        Ok(asked) => asked,
        Err(objection) => return objection.answer(),
    };
    let own: i64 = account_id(&world, &channel).parse().unwrap_or_default();
    let page: Vec<Value> = world.with_stream(&channel, |stream| {
        let said: Vec<_> = stream.messages().filter(|entry| entry.address == address).collect();
        said.into_iter().rev().skip(offset).take(limit).map(|entry| message(entry, own)).collect()
    });
    let has_more = page.len() == limit;
    Json(json!({ "messages": page, "meta": { "has_more": has_more } })).into_response()
}

fn part(query: &HashMap<String, String>) -> Result<Part, Objection> {
    let number = |name: &'static str, usual: usize| match query.get(name) {
        None => Ok(usual),
        Some(text) => text.parse().map_err(|_| Objection::Validation(name)),
    };
    let (limit, offset) = (number("limit", PAGE_MAX)?, number("offset", 0)?);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Objection::Validation("limit"));
    }
    if offset > OFFSET_MAX {
        return Err(Objection::Validation("offset"));
    }
    Ok(Part { limit, offset })
}

fn is_unread(world: &World, entry: &Entry) -> bool {
    let read = world.with_seller(&entry.channel, |seller| seller.read.get(&entry.address).copied());
    !is_ours(entry) && entry.message_id > read
}

fn chat(last: &Entry, own: i64) -> Value {
    let them = person(&last.address);
    let mut last_message = message(last, own);
    last_message.as_object_mut().map(|message| message.remove("is_read"));
    json!({
        "id": chat_id(last), "created": last.at_ms / 1_000, "updated": last.at_ms / 1_000,
        "context": { "type": "item", "value": {
            "id": ITEM, "title": "Mazda 3 2008", "price_string": "300 000 ₽", "status_id": 10, "user_id": own,
            "url": format!("https://avito.ru/moskva/avtomobili/mazda_3_2008_{ITEM}"),
        } },
        "users": [{ "id": them, "name": "Buyer" }, { "id": own, "name": "Seller" }],
        "last_message": last_message,
    })
}

fn message(entry: &Entry, own: i64) -> Value {
    let (kind, content) = content(entry);
    json!({
        "id": message_id(entry), "created": entry.at_ms / 1_000, "type": kind, "content": content,
        "author_id": if is_ours(entry) { own } else { person(&entry.address) },
        "direction": if is_ours(entry) { "out" } else { "in" }, "is_read": true,
    })
}
