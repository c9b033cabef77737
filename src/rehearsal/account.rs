//! The accounts of the rehearsal: a fake credential names the channel that it belongs to.

use crate::domain::channel::Secret;

/// Looks like no provider's credential, so that nobody mistakes one for the other.
const PREFIX: &str = "rehearsal";

/// The credential of a channel; always the same.
pub(super) fn secret(channel: &str, credential: &str) -> Secret {
    Secret::new(format!("{PREFIX}.{channel}.{credential}"))
}

/// The channel that a credential belongs to; `None` where the provider must refuse it.
pub(super) fn channel_of<'a>(presented: &'a str, credential: &str) -> Option<&'a str> {
    let rest = presented.strip_prefix(PREFIX)?.strip_prefix('.')?;
    let (channel, name) = rest.rsplit_once('.')?;
    (name == credential && !channel.is_empty()).then_some(channel)
}
