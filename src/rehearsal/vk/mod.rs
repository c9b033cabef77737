//! The fake VK API: methods that are called by form and answer errors with HTTP 200. Accounts of people and of
//! communities have addresses of their own, by which the fake tells them apart.

mod api;
mod callback;
mod community;
mod events;
mod messages;
mod polling;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Extension, Router,
    routing::{get, post},
};

use super::world::World;
use crate::domain::kind::ChannelKind;

pub(super) use callback::{TAKEN, webhook};
pub(super) use community::Community;

pub(super) fn people() -> Router<Arc<World>> {
    shared()
        .route("/method/users.get", post(messages::users_get))
        .layer(Extension(ChannelKind::VkUser))
}

pub(super) fn communities() -> Router<Arc<World>> {
    shared()
        .route("/method/groups.getById", post(community::get_by_id))
        .route("/method/groups.getTokenPermissions", post(community::token_permissions))
        .route("/method/groups.getLongPollServer", post(polling::server))
        .route("/method/groups.getLongPollSettings", post(community::long_poll_settings))
        .route("/method/groups.setLongPollSettings", post(community::set_long_poll_settings))
        .route("/method/groups.getCallbackConfirmationCode", post(callback::confirmation_code))
        .route("/method/groups.getCallbackServers", post(callback::servers))
        .route("/method/groups.addCallbackServer", post(callback::add_server))
        .route("/method/groups.editCallbackServer", post(callback::edit_server))
        .route("/method/groups.getCallbackSettings", post(callback::settings))
        .route("/method/groups.setCallbackSettings", post(callback::set_settings))
        .layer(Extension(ChannelKind::VkPublic))
}

fn shared() -> Router<Arc<World>> {
    Router::new()
        .route("/method/messages.send", post(messages::send))
        .route("/method/messages.getLongPollServer", post(polling::history_server))
        .route("/method/messages.getLongPollHistory", post(polling::history))
        .route("/method/messages.markAsRead", post(messages::mark_as_read))
        .route("/method/messages.setActivity", post(messages::set_activity))
        .route("/longpoll/{channel}", get(polling::check))
        .fallback(api::unknown_method)
}
