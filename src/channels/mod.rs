//! The drivers: one call to a provider, its answer as an outcome, and what it delivers to us.

mod answer;
mod avito;
mod callback;
mod connecting;
mod driver;
mod http;
mod instagram;
mod meta;
mod reading;
mod sayable;
mod split;
mod telegram;
mod telegram_cloud;
mod vk;
mod waba;
mod waba_webhook;
mod webhook;
mod whatsapp_web;

#[cfg(test)]
mod tests;

pub use callback::{CallbackMessage, Posted, Receiver};
pub use connecting::Unconnectable;
pub use driver::{Driver, Examined, OpeningCall, Polled, Receives, split_for};
pub use http::{Http, HttpUnavailable};
pub use telegram_cloud::{
    AccountSession, Kept, KeptSession, NoVault, Reached, SignIn, SignInFailed, SignedIn, Step,
    Vault, VaultAway, Whereto,
};
pub use webhook::{Brought, Webhook, WebhookHeaders, WebhookRefused};
