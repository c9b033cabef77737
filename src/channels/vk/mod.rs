//! VKontakte: the accounts of people and of communities, which share one API.

mod api;
mod callback;
mod callback_server;
mod community;
mod community_events;
mod errors;
mod long_poll_settings;
mod message;
mod polling;
mod user;
mod user_events;

pub(super) use community::VkPublic;
pub(super) use user::VkUser;

pub(super) const PROVIDER: &str = "VKontakte";
pub(super) const TEXT_CHARACTERS_MAX: usize = 9_000;
