//! What Instagram's errors make of an attempt: by code, and where that is too coarse by subcode.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};

use super::super::{
    answer::{Rule, by_status, class, rule_for, unreadable, wait},
    http::Answer,
};
use crate::domain::attempt::{Outcome, OutcomeClass};

pub(super) const PROVIDER: &str = "Instagram";

/// Calls of an application, a Page or an account are counted by the hour.
const CALL_RATE: Duration = Duration::from_mins(5);
/// Messages of a conversation, and calls of one kind, are counted by the minute or less.
const THREAD_RATE: Duration = Duration::from_mins(1);

/// An error's message may repeat the person's id and is not read.
#[derive(Deserialize)]
struct Refusal {
    error: Refused,
}

#[derive(Deserialize)]
pub(super) struct Refused {
    code: i64,
    error_subcode: Option<i64>,
    #[serde(default)]
    is_transient: bool,
}

/// A pair of code and subcode that means something else than its code alone.
type Subcode = (i64, i64, OutcomeClass, &'static str);

const SUBCODES: &[Subcode] = {
    use OutcomeClass::{CredentialRefused, RecipientPermanent, WindowClosed};
    &[
        (1, 99, CredentialRefused, "the token has no right to this conversation"),
        (10, 2_018_278, WindowClosed, "more than 24 hours since the person wrote"),
        (10, 2_534_022, WindowClosed, "more than 24 hours since the person wrote"),
        (100, 33, RecipientPermanent, "no such person"),
        (100, 2_018_001, RecipientPermanent, "no such person"),
        (100, 2_534_014, RecipientPermanent, "no such person"),
    ]
};

/// An answer that names its error is a refusal: nothing was sent, even where it may pass later.
const ERRORS: &[Rule] = {
    use OutcomeClass::{
        ChannelBlocked, CredentialRefused, NotSent, OurMistake, RecipientPermanent,
    };
    &[
        class(-1, NotSent, "the service failed"),
        class(1, NotSent, "the service failed"),
        // It may also mean that the person has blocked the account: nothing is tried for ever.
        class(2, NotSent, "the service is unavailable for the moment"),
        class(3, CredentialRefused, "the application has no right to call this"),
        wait(4, CALL_RATE, "too many calls of the application"),
        class(10, CredentialRefused, "the token has no right to send"),
        wait(17, CALL_RATE, "too many calls of the account"),
        class(25, ChannelBlocked, "the account is restricted or must be confirmed in the app"),
        wait(32, CALL_RATE, "too many calls of the Page"),
        class(100, OurMistake, "a parameter is wrong"),
        class(102, CredentialRefused, "the session of the token has ended"),
        class(190, CredentialRefused, "the token has expired or was taken back"),
        class(200, CredentialRefused, "the token has no right to send"),
        class(230, CredentialRefused, "the token has no right to messages"),
        class(368, ChannelBlocked, "the account is blocked for breaking the rules"),
        class(551, RecipientPermanent, "the person cannot be written to"),
        wait(613, THREAD_RATE, "too many calls of one kind"),
        wait(80_002, CALL_RATE, "too many calls for the account"),
        wait(80_006, CALL_RATE, "too many messages of the Page"),
        class(1_545_133, NotSent, "the service is unavailable for the moment"),
    ]
};

/// What a successful answer says; everything else as an outcome.
pub(super) fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Outcome> {
    let Answer { status, retry_after, body } = answer;
    if let Ok(Refusal { error }) = serde_json::from_slice(body) {
        return Err(refusal(&error, *status, *retry_after));
    }
    if !answer.is_success() {
        return Err(by_status(*status, PROVIDER, *retry_after));
    }
    serde_json::from_slice(body).map_err(|_| unreadable(PROVIDER))
}

fn refusal(error: &Refused, status: u16, named: Option<Duration>) -> Outcome {
    let Refused { code, error_subcode, is_transient } = *error;
    let exact = SUBCODES.iter().find(|row| (row.0, Some(row.1)) == (code, error_subcode));
    if let Some((_, subcode, class, words)) = exact {
        return Outcome::of(*class, format!("{PROVIDER} error {code}/{subcode}: {words}"));
    }
    if let Some(rule) = rule_for(ERRORS, code) {
        return rule.outcome(code, PROVIDER, named);
    }
    let (class, words) = if is_transient || status >= 500 {
        (OutcomeClass::NotSent, "it may pass")
    } else {
        (OutcomeClass::OurMistake, "this version does not know the error")
    };
    Outcome::of(class, format!("{PROVIDER} error {code}: {words}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::super::answer::assert_no_code_stands_twice, *};

    fn class_of(status: u16, body: &Value) -> OutcomeClass {
        let answer = Answer { status, retry_after: None, body: body.to_string().into_bytes() };
        read::<Value>(&answer).map_or_else(|outcome| outcome.class, |_| OutcomeClass::Sent)
    }

    #[test]
    fn every_error_has_its_class() {
        use OutcomeClass::{
            ChannelBlocked, CredentialRefused, NotSent, OurMistake, RecipientPermanent, RetryAfter,
            WindowClosed,
        };
        assert_no_code_stands_twice(ERRORS);
        for (codes, class) in [
            (&[(190, None), (190, Some(463)), (102, None)][..], CredentialRefused),
            (&[(200, None), (230, None), (3, None), (1, Some(99)), (10, None)], CredentialRefused),
            (&[(10, Some(2_534_022)), (10, Some(2_018_278))], WindowClosed),
            (&[(551, None), (551, Some(1_545_041))], RecipientPermanent),
            (
                &[(100, Some(2_534_014)), (100, Some(33)), (100, Some(2_018_001))],
                RecipientPermanent,
            ),
            (&[(4, None), (17, None), (32, None), (613, None)], RetryAfter),
            (&[(80_002, None), (80_006, None)], RetryAfter),
            (&[(2, None), (1, None), (-1, None), (1_545_133, None)], NotSent),
            (&[(368, None), (25, Some(2_207_050))], ChannelBlocked),
            (&[(100, None), (100, Some(5)), (77_777, None)], OurMistake),
        ] {
            for (code, subcode) in codes {
                let error = json!({ "error": { "code": code, "error_subcode": subcode } });
                assert_eq!(class_of(400, &error), class, "{code} {subcode:?}");
            }
        }
        let passing = json!({ "error": { "code": 77_777, "is_transient": true } });
        assert_eq!(class_of(400, &passing), NotSent);
    }

    #[test]
    fn only_an_error_that_is_named_proves_that_nothing_was_sent() {
        use OutcomeClass::{InDoubt, NotSent};
        assert_eq!(class_of(503, &json!({ "error": { "code": 5 } })), NotSent);
        assert_eq!(class_of(503, &json!("busy")), InDoubt);
        assert_eq!(class_of(500, &json!({ "error": "oops" })), InDoubt);
    }
}
