//! What Avito's errors make of a call. It names them by the HTTP status alone.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    super::{
        answer::{Rule, by_status, class, rule_for, unreadable, wait},
        http::Answer,
    },
    PROVIDER,
};
use crate::domain::attempt::{Outcome, OutcomeClass};

/// Calls are counted by the minute.
const RATE: Duration = Duration::from_mins(1);

/// A call that was not carried out, or of which that is not certain.
#[derive(Debug)]
pub(super) struct Refused {
    /// As for a message.
    pub(super) outcome: Outcome,
    /// Where it was Avito that answered, and no proxy before it.
    pub(super) status: Option<u16>,
}

/// The message of an error may repeat what was sent, and is not read.
#[derive(Deserialize)]
struct Body {
    #[serde(rename = "error")]
    _error: Named,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "code")]
    _code: i64,
}

/// By the status of an answer that names its error. One of 403 and 404 may be the account's fault as well, which is
/// asked for.
const ERRORS: &[Rule] = {
    use OutcomeClass::{
        ChannelBlocked, CredentialRefused, InDoubt, MessagePermanent, NotSent, RecipientPermanent,
    };
    &[
        class(400, MessagePermanent, "the message is refused"),
        class(401, CredentialRefused, "the token is refused"),
        class(402, ChannelBlocked, "the messenger is not part of the account's tariff"),
        class(403, RecipientPermanent, "the chat is closed to the account"),
        class(404, RecipientPermanent, "no such chat"),
        wait(429, RATE, "too many calls in a minute"),
        // "Error while processing request": how far it came is open, and nothing removes a second message.
        class(500, InDoubt, "the service failed while it worked on it"),
        class(503, NotSent, "the service is unavailable for the moment"),
    ]
};

/// What a successful answer says.
pub(super) fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Refused> {
    let Answer { status, retry_after, body } = answer;
    if answer.is_success() {
        let unreadable = |_| Refused { outcome: unreadable(PROVIDER), status: None };
        return serde_json::from_slice(body).map_err(unreadable);
    }
    // The tariff is nobody else's business.
    let is_named = *status == 402 || serde_json::from_slice::<Body>(body).is_ok();
    let rule = rule_for(ERRORS, i64::from(*status)).filter(|_| is_named);
    Err(match rule {
        Some(rule) => {
            Refused { outcome: rule.outcome(status, PROVIDER, *retry_after), status: Some(*status) }
        }
        None => Refused { outcome: by_status(*status, PROVIDER, *retry_after), status: None },
    })
}

impl Refused {
    /// Avito says so of the chat that was asked for.
    pub(super) fn is_the_chats(&self) -> bool {
        matches!(self.status, Some(400 | 403 | 404))
    }

    /// The service may have failed at this chat only, or its answer could not be read.
    pub(super) fn may_be_the_chats(&self) -> bool {
        matches!(self.outcome.class, OutcomeClass::InDoubt | OutcomeClass::NotSent)
    }

    /// Of a call that is about the account, and no message.
    pub(super) fn of_account(self) -> Outcome {
        let Self { outcome, status } = self;
        let (class, words) = match status {
            Some(400) => (OutcomeClass::OurMistake, "the call is refused"),
            Some(403) => (OutcomeClass::CredentialRefused, "the account may not use the messenger"),
            Some(404) => (OutcomeClass::OurMistake, "no such account; is `userId` right?"),
            _ => return outcome,
        };
        let status = status.unwrap_or_default();
        Outcome::of(class, format!("{PROVIDER} error {status}: {words}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::super::answer::assert_no_code_stands_twice, *};

    fn refused(status: u16, body: &str) -> Refused {
        let answer = Answer { status, retry_after: None, body: body.as_bytes().to_vec() };
        read::<Value>(&answer).unwrap_err()
    }

    #[test]
    fn every_error_has_its_class() {
        use OutcomeClass::{
            ChannelBlocked, CredentialRefused, InDoubt, MessagePermanent, NotSent, OurMistake,
            RecipientPermanent, RetryAfter,
        };
        assert_no_code_stands_twice(ERRORS);
        for (status, of_message, of_account) in [
            (400, MessagePermanent, OurMistake),
            (401, CredentialRefused, CredentialRefused),
            (402, ChannelBlocked, ChannelBlocked),
            (403, RecipientPermanent, CredentialRefused),
            (404, RecipientPermanent, OurMistake),
            (409, OurMistake, OurMistake),
            (413, MessagePermanent, MessagePermanent),
            (429, RetryAfter, RetryAfter),
            (500, InDoubt, InDoubt),
            (502, InDoubt, InDoubt),
            (503, NotSent, NotSent),
        ] {
            let mut error = json!({ "error": { "code": status, "message": "a" } });
            if status == 400 {
                error["error"]["fields"] = json!({ "message": "too long" });
            }
            let error = error.to_string();
            assert_eq!(refused(status, &error).outcome.class, of_message, "{status}");
            assert_eq!(refused(status, &error).of_account().class, of_account, "{status}");
        }
    }

    #[test]
    fn what_a_proxy_says_is_not_taken_for_avitos_word() {
        use OutcomeClass::{ChannelBlocked, CredentialRefused, InDoubt, OurMistake};
        for (status, class) in [
            (400, OurMistake),
            (402, ChannelBlocked),
            (403, CredentialRefused),
            (404, OurMistake),
            (500, InDoubt),
            (503, InDoubt),
        ] {
            for body in ["<html>", "", r#"{"error":"oops"}"#, r#"{"error":{"message":"a"}}"#] {
                assert_eq!(refused(status, body).outcome.class, class, "{status} {body}");
            }
        }
        assert_eq!(refused(200, "<html>").outcome.class, InDoubt);
    }
}
