//! The fake Bot API of `telegram-bot` and `telegram-business`: as strict as the real one, wherever it could be told.

mod api;
mod bots;
mod parameters;
mod receiving;
mod sending;
mod updates;

#[cfg(test)]
mod tests;

pub(super) use api::router;
pub(super) use bots::{Bot, Bots};
pub(super) use receiving::note_push;
pub(super) use updates::webhook;
