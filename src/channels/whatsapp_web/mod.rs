//! The `whatsapp-web` driver: a gateway that holds the linked device of an account, in one of two dialects.

mod gateway;
mod waha;
mod waha_events;
mod whatsapp;
mod wuzapi;
mod wuzapi_events;
mod wuzapi_hook;

pub(super) use gateway::WhatsappWeb;
pub(super) use whatsapp::TEXT_CHARACTERS_MAX;
