//! The Callback API of the fake VK: its servers, their confirmation, and the events that are brought there.

use std::{collections::BTreeSet, sync::Arc};

use axum::{extract::State, http::HeaderMap, response::Response};
use serde_json::{Value, json};

use super::{
    super::{
        account,
        journal::{Direction, Entry},
        news::News,
        pushes::{Webhook, post},
        world::{Hook, World},
    },
    api::{Asked, Called, MISSING, Refused, answer},
    community::{shown, switch},
    events::{API_VERSION, community_event, community_event_name},
};
use crate::domain::kind::ChannelKind;

/// What VK wants to read when it has brought an event.
pub(in crate::rehearsal) const TAKEN: &str = "ok";

const SERVERS_MAX: usize = 10;
const TITLE_CHARACTERS_MAX: usize = 14;
const SECRET_CHARACTERS_MAX: usize = 50;

#[derive(Clone, Debug)]
pub(super) struct Server {
    id: i64,
    url: String,
    title: String,
    secret: String,
    status: &'static str,
    events: BTreeSet<String>,
}

pub(super) async fn confirmation_code(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Result<Response, Refused> {
    let asked = Asked::of_community(&world, &headers, form)?;
    Ok(answer(&json!({ "code": code(&asked.channel) })))
}

/// The string by which a community's address is confirmed.
fn code(channel: &str) -> String {
    account::secret(channel, "confirmation").reveal().to_owned()
}

pub(super) async fn servers(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Result<Response, Refused> {
    let asked = Asked::of_community(&world, &headers, form)?;
    let servers = world.with_community(&asked.channel, |community| community.servers.clone());
    let items: Vec<_> = servers
        .iter()
        .map(|server| {
            json!({
                "id": server.id, "title": server.title, "creator_id": 1, "url": server.url,
                "secret_key": server.secret, "status": server.status,
            })
        })
        .collect();
    Ok(answer(&json!({ "count": items.len(), "items": items })))
}

pub(super) async fn add_server(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Result<Response, Refused> {
    let asked = Asked::of_community(&world, &headers, form)?;
    if let Some(objection) = objection(&asked) {
        return Err(asked.refuse(objection));
    }
    let added = world.with_community(&asked.channel, |community| {
        let servers = &mut community.servers;
        let id = servers.iter().map(|server| server.id).max().unwrap_or_default() + 1;
        let room = servers.len() < SERVERS_MAX;
        if room {
            servers.push(entered(&asked, id, BTreeSet::new()));
        }
        room.then_some(id)
    });
    let Some(id) = added else {
        return Err(asked.refuse((2000, "Servers number limit is reached")));
    };
    confirm(&world, &asked, id).await;
    Ok(answer(&json!({ "server_id": id })))
}

pub(super) async fn edit_server(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Result<Response, Refused> {
    let asked = Asked::of_community(&world, &headers, form)?;
    if let Some(objection) = objection(&asked) {
        return Err(asked.refuse(objection));
    }
    let edited = world.with_community(&asked.channel, |community| {
        let server = find(&mut community.servers, &asked)?;
        *server = entered(&asked, server.id, std::mem::take(&mut server.events));
        Some(server.id)
    });
    let Some(id) = edited else { return Err(asked.refuse(NOT_FOUND)) };
    confirm(&world, &asked, id).await;
    Ok(answer(&json!(1)))
}

pub(super) async fn settings(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Result<Response, Refused> {
    let asked = Asked::of_community(&world, &headers, form)?;
    let events = world.with_community(&asked.channel, |community| {
        find(&mut community.servers, &asked).map(|server| shown(&server.events))
    });
    match events {
        Some(events) => Ok(answer(&json!({ "api_version": API_VERSION, "events": events }))),
        None => Err(asked.refuse(NOT_FOUND)),
    }
}

pub(super) async fn set_settings(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Result<Response, Refused> {
    let asked = Asked::of_community(&world, &headers, form)?;
    let set = world.with_community(&asked.channel, |community| {
        find(&mut community.servers, &asked).map(|server| switch(&mut server.events, &asked))
    });
    match set {
        Some(()) => {
            // What is written before is told to nobody.
            world.meet(ChannelKind::VkPublic, &asked.channel);
            Ok(answer(&json!(1)))
        }
        None => Err(asked.refuse(NOT_FOUND)),
    }
}

const NOT_FOUND: (i64, &str) = (104, "Not found");

fn find<'a>(servers: &'a mut [Server], asked: &Asked) -> Option<&'a mut Server> {
    let id: i64 = asked.get("server_id").parse().ok()?;
    servers.iter_mut().find(|server| server.id == id)
}

fn objection(asked: &Asked) -> Option<(i64, &'static str)> {
    let characters = |name: &str| asked.get(name).chars().count();
    let sound = asked.get("url").starts_with("http")
        && (1..=TITLE_CHARACTERS_MAX).contains(&characters("title"))
        && characters("secret_key") <= SECRET_CHARACTERS_MAX;
    (!sound).then_some(MISSING)
}

fn entered(asked: &Asked, id: i64, events: BTreeSet<String>) -> Server {
    let text = |name: &str| asked.get(name).to_owned();
    let (url, title, secret) = (text("url"), text("title"), text("secret_key"));
    Server { id, url, title, secret, status: "wait", events }
}

/// Asks the address whether it is the community's.
async fn confirm(world: &Arc<World>, asked: &Asked, id: i64) {
    let (url, secret) = (asked.get("url").to_owned(), asked.get("secret_key").to_owned());
    let group_id: i64 = asked.get("group_id").parse().unwrap_or_default();
    let event = json!({ "type": "confirmation", "group_id": group_id, "v": API_VERSION });
    let webhook = with_secret(event, &secret);
    let read = post(world, &url, &webhook).await;
    let confirmed = read.is_ok_and(|read| read.status == 200 && read.body == code(&asked.channel));
    world.with_community(&asked.channel, |community| {
        if let Some(server) = community.servers.iter_mut().find(|server| server.id == id) {
            server.status = if confirmed { "ok" } else { "failed" };
        }
    });
    if confirmed {
        world.set_hook(&asked.channel, Some(Hook { url, secret: Some(secret) }));
    }
}

/// `None` for what is not told to the address of the channel.
pub(in crate::rehearsal) fn webhook(world: &World, entry: &Entry, news: News) -> Option<Webhook> {
    let about = if entry.direction == Direction::FromPerson { News::Message } else { News::Echo };
    let hook = world.hook(&entry.channel)?;
    let name = community_event_name(entry);
    let is_told = world.with_community(&entry.channel, |community| {
        let server = community.servers.iter().find(|server| server.url == hook.url);
        server.is_some_and(|server| server.events.contains(name))
    });
    if news != about || !is_told {
        return None;
    }
    let event = community_event(entry, &world.account(&entry.channel)?);
    Some(with_secret(event, &hook.secret.unwrap_or_default()))
}

fn with_secret(mut event: Value, secret: &str) -> Webhook {
    if !secret.is_empty() {
        event["secret"] = json!(secret);
    }
    Webhook { headers: Vec::new(), body: event.to_string().into_bytes() }
}
