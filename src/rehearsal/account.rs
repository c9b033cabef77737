//! The accounts of the rehearsal: a fake credential names the channel that it belongs to.

use crate::domain::channel::Secret;

/// Looks like no provider's credential, so that nobody mistakes one for the other.
const PREFIX: &str = "rehearsal";
/// In no name of a channel or credential. Telegram takes nothing but letters, digits, `_` and `-` in the
/// secret of a webhook.
const BETWEEN: char = '_';

/// Telegram numbers the programs that speak for accounts. It tells nobody whose account it is.
const API_ID: (&str, &str) = ("apiId", "17");

/// The credential of a channel; always the same.
pub(super) fn secret(channel: &str, credential: &str) -> Secret {
    if credential == API_ID.0 {
        return Secret::new(API_ID.1.to_owned());
    }
    Secret::new(format!("{PREFIX}{BETWEEN}{channel}{BETWEEN}{credential}"))
}

/// The channel that a credential belongs to; `None` where the provider must refuse it.
pub(super) fn channel_of<'a>(presented: &'a str, credential: &str) -> Option<&'a str> {
    let rest = presented.strip_prefix(PREFIX)?.strip_prefix(BETWEEN)?;
    let (channel, name) = rest.rsplit_once(BETWEEN)?;
    (name == credential && !channel.is_empty()).then_some(channel)
}
