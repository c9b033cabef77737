//! The `vk-user` driver: `messages.send` of the VK API. What it receives is in `vk_polling`.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{
    RequestBuilder, Url,
    header::{AUTHORIZATION, HeaderValue},
};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    answer::{Rule, by_status, class, classes, rule_for, unreadable, wait},
    driver::{
        Examined, OpeningCall, Unconnectable, below, credential_header, endpoint, plain_text,
        sayable,
    },
    http::{Answer, Http, exchange},
};
use crate::domain::{
    address::Address,
    attempt::{Outcome, OutcomeClass},
    channel::{ChannelSpec, Secret},
    dialogue::ReplyCall,
};

pub(super) const PROVIDER: &str = "VKontakte";
const VERSION: &str = "5.199";
pub(super) const TEXT_CHARACTERS_MAX: usize = 9_000;

/// Three calls a second are allowed.
const TOO_MANY_PER_SECOND: Duration = Duration::from_secs(1);
/// Flood control names no figure; it passes in minutes.
const FLOOD: Duration = Duration::from_mins(10);
/// So does the rate limit of a method; it passes in hours.
const RATE_LIMIT: Duration = Duration::from_hours(1);

#[derive(Debug)]
pub struct VkUser {
    pub(super) http: Http,
    pub(super) endpoint: Url,
    authorization: HeaderValue,
}

/// VK answers 200 whatever happened; `request_params` of an error repeat our text and are not read.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Said<T> {
    Response(T),
    Error { error_code: i64 },
}

#[derive(Deserialize)]
struct Account {
    deactivated: Option<String>,
}

/// Codes that may mean the account that calls as well as the one that is written to.
const SOMEBODY_IS_BLOCKED: &[i64] = &[18, 37];

/// A repeat with the same key is dropped by VK, so "in doubt" is the safe word for every error after
/// which the message may be there.
#[rustfmt::skip]
const ERRORS: &[Rule] = {
    use OutcomeClass::{
        ChannelBlocked, CredentialRefused, InDoubt, MessagePermanent, NotSent, OurMistake,
        RecipientPermanent, WindowClosed,
    };
    &[
        class(1, InDoubt, "unknown error"),
        class(2, ChannelBlocked, "the application is switched off"),
        class(3, OurMistake, "unknown method"),
        class(4, CredentialRefused, "the signature is wrong"),
        class(5, CredentialRefused, "the token is refused"),
        wait(6, TOO_MANY_PER_SECOND, "too many calls a second"),
        class(7, OurMistake, "the token has no right to send messages"),
        class(8, OurMistake, "the request is not understood"),
        wait(9, FLOOD, "flood control; vary the text"),
        class(10, InDoubt, "internal error"),
        class(14, ChannelBlocked, "a captcha must be solved by a person"),
        class(15, OurMistake, "access denied"),
        class(17, CredentialRefused, "the account must be validated by a person"),
        class(20, OurMistake, "only standalone applications may do this"),
        class(23, OurMistake, "the method is closed"),
        class(24, CredentialRefused, "a person must confirm"),
        class(27, CredentialRefused, "the community's token is refused"),
        class(28, CredentialRefused, "the application's token is refused"),
        wait(29, RATE_LIMIT, "the limit of the method is reached"),
        class(36, InDoubt, "the call was interrupted"),
        class(39, RecipientPermanent, "unknown user"),
        class(43, NotSent, "messages are switched off for the moment"),
        class(100, OurMistake, "a parameter is missing or wrong"),
        class(113, RecipientPermanent, "no such user"),
        classes(200, 299, OurMistake, "access denied"),
        class(900, RecipientPermanent, "the recipient has blocked this account"),
        class(901, RecipientPermanent, "the recipient allows no messages"),
        class(902, RecipientPermanent, "the recipient's privacy settings forbid it"),
        classes(910, 911, MessagePermanent, "the message is refused"),
        classes(913, 914, MessagePermanent, "the message is too long"),
        class(921, MessagePermanent, "the message cannot be forwarded"),
        class(932, RecipientPermanent, "the community cannot write to this recipient"),
        class(936, RecipientPermanent, "no such recipient"),
        class(939, RecipientPermanent, "a message request waits for its answer"),
        class(943, OurMistake, "the intent may not be used"),
        wait(944, RATE_LIMIT, "the limit of the intent is reached"),
        class(950, WindowClosed, "the time to answer is over"),
        class(984, ChannelBlocked, "the account is restricted for spam"),
        class(985, RecipientPermanent, "the recipient takes notifications only"),
        classes(987, 988, RecipientPermanent, "a message request waits for its answer"),
        class(1116, CredentialRefused, "the anonymous token is refused"),
    ]
};

impl VkUser {
    pub(super) fn connect(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        Ok(Self {
            http: http.clone(),
            endpoint: endpoint(spec)?,
            authorization: credential_header(secrets, "token", "Bearer ")?,
        })
    }

    pub(super) async fn open(&self, call: &OpeningCall<'_>) -> Outcome {
        match plain_text(call.message, TEXT_CHARACTERS_MAX) {
            Ok(text) => self.send(call.address, text, call.key).await,
            Err(refused) => refused,
        }
    }

    pub(super) async fn reply(&self, call: &ReplyCall<'_>) -> Outcome {
        // VK attaches nothing to a message: its key is what it repeats.
        let ReplyCall { peer, text, key, reference: _ } = *call;
        match sayable(text, TEXT_CHARACTERS_MAX) {
            Ok(text) => self.send(peer, text, key).await,
            Err(refused) => refused,
        }
    }

    /// Best effort: neither an answer nor an error is of use to anybody.
    pub(super) async fn show_typing(&self, peer: &Address) {
        let until = self.http.sign_deadline();
        let read = [("peer_id", peer.as_str())];
        drop(self.call::<serde_json::Value>("messages.markAsRead", &read, until).await);
        let typing = [("peer_id", peer.as_str()), ("type", "typing")];
        drop(self.call::<serde_json::Value>("messages.setActivity", &typing, until).await);
    }

    async fn send(&self, address: &Address, text: &str, key: i64) -> Outcome {
        if key == 0 {
            let reason = "the key of the message is 0, with which VKontakte would send repeats";
            return Outcome::of(OutcomeClass::OurMistake, reason);
        }
        let until = self.http.deadline();
        let form =
            [("peer_id", address.as_str()), ("random_id", &key.to_string()), ("message", text)];
        match self.call("messages.send", &form, until).await {
            Err(outcome) => outcome,
            Ok(Said::Response(id)) => Outcome::sent(Some(i64::to_string(&id))),
            Ok(Said::Error { error_code }) if SOMEBODY_IS_BLOCKED.contains(&error_code) => {
                self.who_is_blocked(error_code, until).await
            }
            Ok(Said::Error { error_code }) => outcome_of(error_code),
        }
    }

    /// `users.get` without ids tells of the account that calls.
    pub(super) async fn examine(&self) -> Examined {
        let deadline = self.http.deadline();
        Examined::of(match self.call::<Vec<Account>>("users.get", &[], deadline).await {
            Err(outcome) => outcome,
            Ok(Said::Error { error_code }) => outcome_of(error_code),
            Ok(Said::Response(accounts)) => match accounts.first() {
                Some(Account { deactivated: None }) => Outcome::sent(None),
                _ => {
                    let reason = format!("{PROVIDER}: the account is blocked or deleted");
                    Outcome::of(OutcomeClass::ChannelBlocked, reason)
                }
            },
        })
    }

    async fn call<T: for<'de> Deserialize<'de>>(
        &self,
        method: &str,
        form: &[(&str, &str)],
        until: Instant,
    ) -> Result<Said<T>, Outcome> {
        let request = self.request(method, form);
        let answer = exchange(request, until).await.map_err(|failure| failure.outcome(PROVIDER))?;
        read(&answer)
    }

    pub(super) fn request(&self, method: &str, form: &[(&str, &str)]) -> RequestBuilder {
        let url = below(&self.endpoint, &["method", method]);
        let form: Vec<_> = form.iter().copied().chain([("v", VERSION)]).collect();
        self.http.post(url).header(AUTHORIZATION, self.authorization.clone()).form(&form)
    }

    /// Asks for the account that calls: if it is in order, the recipient is the one that is blocked.
    async fn who_is_blocked(&self, code: i64, until: Instant) -> Outcome {
        use OutcomeClass::{ChannelBlocked, NotSent, RecipientPermanent};
        let (class, words) = match self.call::<Vec<Account>>("users.get", &[], until).await {
            Ok(Said::Response(accounts)) => match accounts.first() {
                Some(Account { deactivated: None }) => {
                    (RecipientPermanent, "the recipient is blocked or deleted")
                }
                _ => (ChannelBlocked, "the account is blocked or deleted"),
            },
            Ok(Said::Error { error_code }) if SOMEBODY_IS_BLOCKED.contains(&error_code) => {
                (ChannelBlocked, "the account is blocked or deleted")
            }
            Ok(Said::Error { error_code: 5 }) => {
                (ChannelBlocked, "the account is blocked or its token is refused")
            }
            // The refusal of the message stands; only its ground is open.
            _ => (NotSent, "an account is blocked or deleted, and it is open whose"),
        };
        Outcome::of(class, format!("{PROVIDER} error {code}: {words}"))
    }
}

pub(super) fn read<T: for<'de> Deserialize<'de>>(answer: &Answer) -> Result<Said<T>, Outcome> {
    match serde_json::from_slice(&answer.body) {
        Ok(said) => Ok(said),
        Err(_) if answer.is_success() => Err(unreadable(PROVIDER)),
        Err(_) => Err(by_status(answer.status, PROVIDER, answer.retry_after)),
    }
}

pub(super) fn outcome_of(code: i64) -> Outcome {
    match rule_for(ERRORS, code) {
        Some(rule) => rule.outcome(code, PROVIDER, None),
        None => Outcome::of(
            OutcomeClass::OurMistake,
            format!("{PROVIDER} error {code}: this version does not know the error"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::answer::assert_no_code_stands_twice, *};

    #[test]
    fn every_error_has_its_class() {
        use OutcomeClass::{
            ChannelBlocked, CredentialRefused, InDoubt, MessagePermanent, NotSent, OurMistake,
            RecipientPermanent, RetryAfter, WindowClosed,
        };
        assert_no_code_stands_twice(ERRORS);
        for (codes, class) in [
            (&[1, 10, 36][..], InDoubt),
            (&[43], NotSent),
            (&[6, 9, 29, 944], RetryAfter),
            (&[2, 14, 984], ChannelBlocked),
            (&[4, 5, 17, 24, 27, 28, 1116], CredentialRefused),
            (&[3, 7, 8, 15, 20, 23, 100, 200, 201, 203, 943, 77_777], OurMistake),
            (&[39, 113, 900, 901, 902, 932, 936, 939, 985, 987, 988], RecipientPermanent),
            (&[910, 911, 913, 914, 921], MessagePermanent),
            (&[950], WindowClosed),
        ] {
            for code in codes {
                assert_eq!(outcome_of(*code).class, class, "{code}");
            }
        }
    }

    #[test]
    fn waits_have_the_scale_of_their_cause() {
        assert_eq!(outcome_of(6).after, Some(Duration::from_secs(1)));
        assert_eq!(outcome_of(9).after, Some(Duration::from_mins(10)));
        assert_eq!(outcome_of(29).after, Some(Duration::from_hours(1)));
    }
}
