//! Whether a text may be sent: below the provider's limit, in the provider's unit.

use super::split;
use crate::domain::attempt::{Message, Outcome, OutcomeClass};

/// The text of a message for a kind that has no templates, below its limit in characters.
pub(super) fn plain_text(message: &Message, limit: usize) -> Result<&str, Outcome> {
    plain_text_by(message, limit, split::characters)
}

/// As [`plain_text`], for a provider that counts otherwise.
pub(super) fn plain_text_by(
    message: &Message,
    limit: usize,
    length: fn(&str) -> usize,
) -> Result<&str, Outcome> {
    match message {
        Message::Text(text) => sayable_by(text, limit, length),
        Message::Template { .. } => {
            let reason = "this kind of channel sends texts, not templates";
            Err(Outcome::of(OutcomeClass::MessagePermanent, reason))
        }
    }
}

/// A text that no provider refuses for its length.
pub(super) fn sayable(text: &str, limit: usize) -> Result<&str, Outcome> {
    sayable_by(text, limit, split::characters)
}

/// As [`sayable`], for a provider that counts otherwise.
pub(super) fn sayable_by(
    text: &str,
    limit: usize,
    length: fn(&str) -> usize,
) -> Result<&str, Outcome> {
    within(text, limit, length(text), "characters")
}

/// As [`sayable`], where the provider counts bytes.
pub(super) fn sayable_in_bytes(text: &str, limit: usize) -> Result<&str, Outcome> {
    within(text, limit, text.len(), "bytes")
}

fn within<'a>(text: &'a str, limit: usize, length: usize, unit: &str) -> Result<&'a str, Outcome> {
    let refused = |reason: &str| Err(Outcome::of(OutcomeClass::MessagePermanent, reason));
    if text.trim().is_empty() {
        return refused("the text is empty");
    }
    if length > limit {
        return refused(&format!("the text is longer than {limit} {unit}"));
    }
    Ok(text)
}
