//! The drivers: one call to a provider, its answer as an outcome, and what it delivers to us.

mod answer;
mod callback;
mod driver;
mod http;
mod reading;
mod split;
mod vk;
mod vk_events;
mod vk_polling;
mod waba;
mod waba_webhook;
mod waha_webhook;
mod webhook;
mod whatsapp_web;

#[cfg(test)]
mod tests;

pub use callback::{CallbackMessage, Posted, Receiver};
pub use driver::{Driver, Examined, OpeningCall, Polled, Receives, Unconnectable, split_for};
pub use http::{Http, HttpUnavailable};
pub use webhook::{WebhookHeaders, WebhookRefused};
