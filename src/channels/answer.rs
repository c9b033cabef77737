//! What the answers of all providers have in common: tables of error codes, and bare HTTP statuses.

use std::{fmt, ops::RangeInclusive, time::Duration};

use crate::domain::attempt::{Outcome, OutcomeClass};

/// No provider's figure keeps an opening waiting for longer: the day's limit is new by then.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// A figure of zero would be a busy loop.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// For a "too many" that names no figure.
const RETRY_AFTER_UNNAMED: Duration = Duration::from_mins(1);

/// What an error code makes of the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    Class(OutcomeClass),
    /// The provider names no figure in its code; this one is ours.
    Wait(Duration),
}

/// One line of a provider's table of errors.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) codes: RangeInclusive<i64>,
    pub(super) reaction: Reaction,
    pub(super) words: &'static str,
}

pub(super) const fn class(code: i64, class: OutcomeClass, words: &'static str) -> Rule {
    Rule { codes: code..=code, reaction: Reaction::Class(class), words }
}

pub(super) const fn classes(
    first: i64,
    last: i64,
    class: OutcomeClass,
    words: &'static str,
) -> Rule {
    Rule { codes: first..=last, reaction: Reaction::Class(class), words }
}

pub(super) const fn wait(code: i64, after: Duration, words: &'static str) -> Rule {
    Rule { codes: code..=code, reaction: Reaction::Wait(after), words }
}

pub(super) fn rule_for(table: &'static [Rule], code: i64) -> Option<&'static Rule> {
    table.iter().find(|rule| rule.codes.contains(&code))
}

impl Rule {
    /// The outcome, with the provider's own figure for a wait where it gave one.
    pub(super) fn outcome(
        &self,
        code: impl fmt::Display,
        provider: &str,
        named: Option<Duration>,
    ) -> Outcome {
        let reason = format!("{provider} error {code}: {}", self.words);
        match self.reaction {
            Reaction::Class(class) => Outcome::of(class, reason),
            Reaction::Wait(after) => Outcome::retry_after(bounded(named.unwrap_or(after)), reason),
        }
    }
}

pub(super) fn bounded(after: Duration) -> Duration {
    after.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX)
}

/// The provider wants to be left alone, for as long as it says.
pub(super) fn retry_after(named: Option<Duration>, reason: impl Into<String>) -> Outcome {
    Outcome::retry_after(bounded(named.unwrap_or(RETRY_AFTER_UNNAMED)), reason)
}

/// The outcome of an answer that says nothing but its HTTP status; never that of a 2xx.
///
/// A 5xx leaves open how far the provider came, and so does a proxy that gave up waiting for it.
pub(super) fn by_status(status: u16, provider: &str, named: Option<Duration>) -> Outcome {
    use OutcomeClass::{CredentialRefused, InDoubt, MessagePermanent, OurMistake};
    let (class, words) = match status {
        429 => {
            return retry_after(named, format!("{provider} answered HTTP 429: too many"));
        }
        401 | 403 => (CredentialRefused, "the credential is refused"),
        413 => (MessagePermanent, "the message is too large"),
        // The answer to a POST that was carried out may be 303.
        303 | 408 => (InDoubt, "it is open whether the message was sent"),
        300..400 => (OurMistake, "the endpoint redirects elsewhere"),
        404 => (OurMistake, "the endpoint does not know this call"),
        400..500 => (OurMistake, "the call is refused"),
        _ => (InDoubt, "it is open whether the message was sent"),
    };
    Outcome::of(class, format!("{provider} answered HTTP {status}: {words}"))
}

/// Of an answer with a status of success that cannot be understood.
pub(super) fn unreadable(provider: &str) -> Outcome {
    let reason = format!("{provider} answered, but not in its own form");
    Outcome::of(OutcomeClass::InDoubt, reason)
}

/// It was only asked: whatever would be in doubt after a send may be asked again.
pub(super) fn nothing_was_sent(mut outcome: Outcome) -> Outcome {
    if outcome.class == OutcomeClass::InDoubt {
        outcome.class = OutcomeClass::NotSent;
    }
    outcome
}

/// A table names every code once; a second line would never be read.
#[cfg(test)]
pub(super) fn assert_no_code_stands_twice(table: &'static [Rule]) {
    for (index, rule) in table.iter().enumerate() {
        for other in &table[..index] {
            let apart =
                rule.codes.end() < other.codes.start() || other.codes.end() < rule.codes.start();
            assert!(apart, "{rule:?} and {other:?} share a code");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_alone_has_a_class() {
        use OutcomeClass::{CredentialRefused, InDoubt, MessagePermanent, OurMistake, RetryAfter};
        for (status, class) in [
            (301, OurMistake),
            (303, InDoubt),
            (307, OurMistake),
            (400, OurMistake),
            (401, CredentialRefused),
            (403, CredentialRefused),
            (404, OurMistake),
            (408, InDoubt),
            (413, MessagePermanent),
            (429, RetryAfter),
            (500, InDoubt),
            (502, InDoubt),
            (504, InDoubt),
            (599, InDoubt),
        ] {
            assert_eq!(by_status(status, "it", None).class, class, "{status}");
        }
    }

    #[test]
    fn a_wait_has_a_least_and_a_greatest_length() {
        let wait = |seconds| by_status(429, "it", Some(Duration::from_secs(seconds))).after;
        assert_eq!(wait(0), Some(RETRY_AFTER_MIN));
        assert_eq!(wait(7), Some(Duration::from_secs(7)));
        assert_eq!(wait(u64::MAX), Some(RETRY_AFTER_MAX));
    }
}
