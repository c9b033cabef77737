//! The fake Avito: tokens that end, chats that buyers open, and webhooks.

mod api;
mod chats;
mod events;
mod hooks;
mod messages;
mod seller;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use super::world::World;

pub(super) use events::webhook;
pub(super) use seller::Seller;

pub(super) fn router() -> Router<Arc<World>> {
    const CHATS: &str = "/messenger/v2/accounts/{user}/chats";
    const CHAT: &str = "/messenger/v1/accounts/{user}/chats/{chat}";
    const MESSAGES: &str = "/messenger/v3/accounts/{user}/chats/{chat}/messages/";
    Router::new()
        .route("/token", post(api::token))
        .route("/core/v1/accounts/self", get(api::itself))
        .route(CHATS, get(chats::list))
        .route(MESSAGES, get(chats::messages))
        .route(&format!("{CHAT}/messages"), post(messages::send))
        .route(&format!("{CHAT}/read"), post(messages::read))
        .route("/messenger/v1/subscriptions", post(hooks::list))
        .route("/messenger/v3/webhook", post(hooks::subscribe))
        .route("/messenger/v1/webhook/unsubscribe", post(hooks::unsubscribe))
}
