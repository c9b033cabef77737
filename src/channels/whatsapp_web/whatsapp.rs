//! What WhatsApp itself says, through whichever gateway: who somebody is, and why a message was refused.

use std::time::Duration;

use super::super::{
    answer::{Reaction, unreadable},
    reading::phone,
};
use crate::domain::{
    address::Address,
    attempt::{Outcome, OutcomeClass},
};

pub(super) const PROVIDER: &str = "the WhatsApp gateway";

/// WhatsApp's own limit of a text; gateways name none.
pub(in super::super) const TEXT_CHARACTERS_MAX: usize = 65_536;

/// WhatsApp slows the account down and names no figure; it passes in minutes.
const OVER_LIMIT: Duration = Duration::from_mins(10);

/// A text inside an error of a gateway, and what it makes of the attempt. The first that is found counts.
pub(super) type InnerError = (&'static str, Reaction, &'static str);

/// What WhatsApp answered to the gateway. A message that its server refused was not sent.
const INNER_ERRORS: &[InnerError] = {
    use OutcomeClass::{ChannelBlocked, NotSent, RecipientPermanent};
    &[
        (
            "no LID found",
            Reaction::Class(RecipientPermanent),
            "the recipient has no WhatsApp account",
        ),
        ("rate-overlimit", Reaction::Wait(OVER_LIMIT), "WhatsApp slows the account down"),
        ("returned error 429", Reaction::Wait(OVER_LIMIT), "WhatsApp slows the account down"),
        (
            "returned error 463",
            Reaction::Class(ChannelBlocked),
            "WhatsApp lets the account write to no strangers for now (error 463)",
        ),
        ("server returned error", Reaction::Class(NotSent), "WhatsApp refused the message"),
    ]
};

/// What an error's text says of the attempt, by the gateway's own table and then by WhatsApp's.
pub(super) fn inner_refusal(text: &str, gateway: &[InnerError]) -> Option<Outcome> {
    let row = gateway.iter().chain(INNER_ERRORS).find(|row| text.contains(row.0))?;
    Some(outcome_of(row.1, row.2))
}

pub(super) fn outcome_of(reaction: Reaction, words: &str) -> Outcome {
    let reason = format!("{PROVIDER}: {words}");
    match reaction {
        Reaction::Class(class) => Outcome::of(class, reason),
        Reaction::Wait(after) => Outcome::retry_after(after, reason),
    }
}

/// The number is only looked up: whatever would be in doubt after a send is certain here.
pub(super) fn nothing_was_sent(outcome: Outcome) -> Outcome {
    match outcome.class {
        OutcomeClass::InDoubt => {
            let reason = format!("{PROVIDER} could not look the number up; nothing was sent");
            Outcome::of(OutcomeClass::NotSent, reason)
        }
        _ => outcome,
    }
}

pub(super) fn nobody_is_there() -> Outcome {
    let reason = format!("{PROVIDER}: the number has no WhatsApp account");
    Outcome::of(OutcomeClass::RecipientPermanent, reason)
}

/// A look-up's answer that cannot be understood.
pub(super) fn unclear_look_up() -> Outcome {
    nothing_was_sent(unreadable(PROVIDER))
}

/// The person of a chat; `None` for groups, broadcasts and newsletters.
pub(super) fn chat(name: &str) -> Option<Address> {
    let (user, server) = name.split_once('@')?;
    // An agent and a device of theirs may be named after a dot and a colon.
    let user = user.split(['.', ':']).next().unwrap_or_default();
    match server {
        "c.us" | "s.whatsapp.net" => phone(user),
        "lid" => Address::of_hidden_id(user),
        _ => None,
    }
}

/// Who somebody is, by all the names that an event tells of them: by the phone, where it is one of them.
pub(super) fn phones_first(mut addresses: Vec<Address>) -> Vec<Address> {
    addresses.sort_by_key(|address| !address.as_str().starts_with('+'));
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_is_a_person_or_nobody() {
        for (name, address) in [
            ("79123450001@c.us", Some("+79123450001")),
            ("79123450001:12@s.whatsapp.net", Some("+79123450001")),
            ("79123450001.0:12@s.whatsapp.net", Some("+79123450001")),
            ("12345678901@lid", Some("12345678901@lid")),
            ("12345678901:3@lid", Some("12345678901@lid")),
            ("120363@g.us", None),
            ("status@broadcast", None),
            ("1@newsletter", None),
            ("x@lid", None),
            ("@s.whatsapp.net", None),
            ("79123450001", None),
        ] {
            assert_eq!(chat(name).as_ref().map(Address::as_str), address, "{name}");
        }
    }
}
