//! The drivers: one call to a provider for one opening, and its answer as an outcome.

mod answer;
mod callback;
mod driver;
mod http;
mod vk;
mod waba;
mod whatsapp_web;

#[cfg(test)]
mod tests;

pub use callback::{CallbackMessage, Posted, Receiver};
pub use driver::{Driver, Examined, OpeningCall, Unconnectable};
pub use http::{Http, HttpUnavailable};
