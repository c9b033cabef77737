//! Telegram's Bot API: the kinds `telegram-bot` and `telegram-business`.

mod bot;
mod bot_api;
mod content;
mod receiving;
mod refusals;
mod updates;

pub(super) use bot::TelegramBot;
pub(super) use bot::{TEXT_UNITS_MAX, units};
