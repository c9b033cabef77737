//! Where the fake Avito is told to bring its webhooks.

use std::sync::Arc;

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::{HeaderMap, Uri},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::{
    super::world::{Hook, World},
    api::{Objection, user_of_messenger},
};
use crate::domain::kind::ChannelKind;

/// More addresses than an account has.
const SUBSCRIPTIONS_MAX: usize = 10;

type Body = Result<Json<Value>, JsonRejection>;

pub(super) async fn list(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    let channel = match user_of_messenger(&world, &headers) {
        Ok(channel) => channel,
        Err(objection) => return objection.answer(),
    };
    let all = world.with_seller(&channel, |seller| {
        let one = |url: &String| json!({ "url": url, "version": "3" });
        seller.subscriptions.iter().map(one).collect::<Vec<_>>()
    });
    Json(json!({ "subscriptions": all })).into_response()
}

pub(super) async fn subscribe(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    change(&world, &headers, body, |all, url| {
        if all.len() < SUBSCRIPTIONS_MAX && !all.contains(&url) {
            all.push(url);
        }
    })
}

pub(super) async fn unsubscribe(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    change(&world, &headers, body, |all, url| all.retain(|one| *one != url))
}

/// Events are brought to the address that was named last.
fn change(
    world: &Arc<World>,
    headers: &HeaderMap,
    body: Body,
    make: impl FnOnce(&mut Vec<String>, String),
) -> Response {
    let asked = user_of_messenger(world, headers).and_then(|channel| Ok((channel, url_of(body)?)));
    let (channel, url) = match asked {
        Ok(asked) => asked,
        Err(objection) => return objection.answer(),
    };
    let last = world.with_seller(&channel, |seller| {
        make(&mut seller.subscriptions, url);
        seller.subscriptions.last().cloned()
    });
    world.set_hook(&channel, last.map(|url| Hook { url, secret: None }));
    world.meet(ChannelKind::Avito, &channel);
    Json(json!({ "ok": true })).into_response()
}

fn url_of(body: Body) -> Result<String, Objection> {
    let Json(body) = body.map_err(|_| Objection::Validation("url"))?;
    let url = body.get("url").and_then(Value::as_str).ok_or(Objection::Validation("url"))?;
    let is_web = url.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
    });
    if is_web { Ok(url.to_owned()) } else { Err(Objection::Validation("url")) }
}
