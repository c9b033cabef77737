//! Avito's messenger: chats that buyers open about an ad, or about the seller.

mod account;
mod api;
mod errors;
mod message;
mod polling;
mod tokens;
mod webhook;

pub(super) use account::Avito;

pub(super) const PROVIDER: &str = "Avito";
pub(super) const TEXT_CHARACTERS_MAX: usize = 1_000;
