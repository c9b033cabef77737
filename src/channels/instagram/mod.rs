//! The `instagram` driver: an Instagram professional account, through its own login or through its Page.

mod account;
mod errors;
mod events;
mod messages;
mod subscription;

pub(super) use account::Instagram;
pub(super) use messages::TEXT_BYTES_MAX;
