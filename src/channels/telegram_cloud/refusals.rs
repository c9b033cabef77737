//! What Telegram's errors make of an attempt: a table of their names, and what failures of the connection mean.
//!
//! The names and their meanings are of the lists that clients keep, such as Telethon's `errors.csv`.

use std::time::Duration;

use grammers_mtproto::transport;
use grammers_mtsender::{InvocationError, RpcError};

use super::{super::answer::retry_after, PROVIDER, connection::Unanswered};
use crate::domain::attempt::{Outcome, OutcomeClass};

/// The longest name of an error that is shown.
const NAME_CHARACTERS_MAX: usize = 64;

/// How long somebody whom the account may not look up now is left alone: the limit is of days.
const IMPORT_LIMIT_REST: Duration = Duration::from_hours(24);

/// One line of the table: the name without its number, or what it begins with before a `*`; the class, and ours.
type Row = (&'static str, OutcomeClass, &'static str);

/// The first line that fits counts.
#[rustfmt::skip]
const REFUSALS: &[Row] = {
    use OutcomeClass::{
        ChannelBlocked, CredentialRefused, MessagePermanent, OpeningsBlocked, OurMistake, RecipientPermanent,
    };
    &[
        ("PEER_FLOOD", OpeningsBlocked, "the account writes to too many strangers, and may not for now; @SpamBot tells for how long"),
        ("FROZEN_*", ChannelBlocked, "the account is frozen"),
        ("USER_DEACTIVATED_BAN", ChannelBlocked, "the account is banned"),
        ("USER_DEACTIVATED", ChannelBlocked, "the account was deleted"),
        ("PHONE_NUMBER_BANNED", ChannelBlocked, "the account's number is banned"),
        ("USER_RESTRICTED", ChannelBlocked, "the account is restricted"),
        ("AUTH_KEY_DUPLICATED", CredentialRefused, "the session was used from two places at once, and has ended; `nuncio channel login` begins another"),
        ("AUTH_KEY_*", CredentialRefused, "the session has ended; `nuncio channel login` begins another"),
        ("SESSION_*", CredentialRefused, "the session was ended, perhaps from another device; `nuncio channel login` begins another"),
        ("API_ID_*", CredentialRefused, "`apiId` and `apiHash` are not of one application"),
        ("USERNAME_NOT_OCCUPIED", RecipientPermanent, "nobody has this name"),
        ("USERNAME_INVALID", RecipientPermanent, "nobody has this name"),
        ("PHONE_NOT_OCCUPIED", RecipientPermanent, "nobody with this number is on Telegram, or they hide it"),
        ("PHONE_NUMBER_INVALID", RecipientPermanent, "it is no phone number"),
        ("USER_IS_BLOCKED", RecipientPermanent, "the person has blocked the account"),
        ("YOU_BLOCKED_USER", RecipientPermanent, "the account has blocked the person"),
        ("INPUT_USER_DEACTIVATED", RecipientPermanent, "the person's account was deleted"),
        ("USER_PRIVACY_RESTRICTED", RecipientPermanent, "the person's privacy settings forbid it"),
        ("PRIVACY_PREMIUM_REQUIRED", RecipientPermanent, "the person takes messages of Premium accounts only"),
        ("ALLOW_PAYMENT_REQUIRED*", RecipientPermanent, "the person takes paid messages only"),
        ("USER_IS_BOT", RecipientPermanent, "the recipient is a bot"),
        ("USER_ID_INVALID", RecipientPermanent, "there is no such person any more"),
        ("PEER_ID_INVALID", RecipientPermanent, "the account cannot reach this person"),
        ("CHAT_WRITE_FORBIDDEN", RecipientPermanent, "the account may not write into this chat"),
        ("MESSAGE_TOO_LONG", MessagePermanent, "the message is too long"),
        ("MESSAGE_EMPTY", MessagePermanent, "the message is empty"),
        ("CONNECTION_*", OurMistake, "the connection was begun wrongly"),
    ]
};

/// A limit of a method, or of a chat: the wait that it names is kept.
const WAITS: &[&str] =
    &["FLOOD_WAIT", "FLOOD_PREMIUM_WAIT", "SLOWMODE_WAIT", "FLOOD_TEST_PHONE_WAIT"];

/// Telegram has the message from an earlier call with the same key.
pub(super) const KNOWN_KEY: &str = "RANDOM_ID_DUPLICATE";

/// The hash of a person is worth nothing, or nothing any more.
pub(super) const UNREACHABLE: &str = "PEER_ID_INVALID";

impl Unanswered {
    /// Whether Telegram answered with an error of this name.
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Failed(InvocationError::Rpc(error)) if error.is(name))
    }

    /// Of a call after which the person may have the message.
    pub(super) fn of_message(&self) -> Outcome {
        self.outcome(OutcomeClass::InDoubt)
    }

    /// Of a call that tells the person nothing.
    pub(super) fn of_other_call(&self) -> Outcome {
        self.outcome(OutcomeClass::NotSent)
    }

    /// `away` is the class where nobody knows what became of the call.
    fn outcome(&self, away: OutcomeClass) -> Outcome {
        let away = |words: &str| Outcome::of(away, words);
        match self {
            Self::Late => away("Telegram did not answer in time"),
            Self::Failed(InvocationError::Rpc(error)) => refused(error, away),
            Self::Failed(InvocationError::Io(_)) => away("the connection to Telegram broke"),
            Self::Failed(InvocationError::Transport(transport::Error::BadStatus {
                status: 404,
            })) => {
                let words = "the session has ended; `nuncio channel login` begins another";
                Outcome::of(OutcomeClass::CredentialRefused, format!("{PROVIDER}: {words}"))
            }
            Self::Failed(InvocationError::Transport(transport::Error::BadStatus {
                status: 429,
            })) => retry_after(None, "Telegram takes no more connections from here for now"),
            Self::Failed(InvocationError::Deserialize(_)) => {
                away("Telegram's answer is not understood")
            }
            Self::Failed(_) => away("the connection to Telegram failed"),
        }
    }
}

fn refused(error: &RpcError, away: impl Fn(&str) -> Outcome) -> Outcome {
    let RpcError { code, name, value, .. } = error;
    let shown: String = name.chars().take(NAME_CHARACTERS_MAX).collect();
    if WAITS.contains(&name.as_str()) {
        let wait = value.map(|seconds| Duration::from_secs(u64::from(seconds)));
        return retry_after(wait, format!("{PROVIDER} {shown}: too many calls"));
    }
    if let Some((_, class, words)) = REFUSALS.iter().find(|(row, ..)| error.is(row)) {
        return Outcome::of(*class, format!("{PROVIDER} {shown}: {words}"));
    }
    match code {
        401 => Outcome::of(
            OutcomeClass::CredentialRefused,
            format!(
                "{PROVIDER} {shown}: the session is refused; `nuncio channel login` begins another"
            ),
        ),
        420 => retry_after(None, format!("{PROVIDER} {shown}: too many calls")),
        403 => Outcome::of(
            OutcomeClass::RecipientPermanent,
            format!("{PROVIDER} {shown}: it is forbidden"),
        ),
        // Whether it is the message, the person or us, only the name tells.
        400..500 => Outcome::of(OutcomeClass::OurMistake, format!("{PROVIDER} {shown}")),
        _ => away(&format!("{PROVIDER} {shown}: it fails at the moment")),
    }
}

/// The account has looked up so many numbers that it gets no answer.
pub(super) fn import_limit() -> Outcome {
    retry_after(
        Some(IMPORT_LIMIT_REST),
        "Telegram lets the account look up no more numbers for now",
    )
}

#[cfg(test)]
mod tests {
    use std::io;

    use grammers_tl_types::types;

    use super::*;

    fn said(error_code: i32, error_message: &str) -> Unanswered {
        let error_message = error_message.to_owned();
        Unanswered::Failed(InvocationError::Rpc(
            types::RpcError { error_code, error_message }.into(),
        ))
    }

    #[test]
    fn every_error_has_its_class_and_shows_its_name() {
        use OutcomeClass::{
            ChannelBlocked, CredentialRefused, InDoubt, MessagePermanent, OpeningsBlocked,
            OurMistake, RecipientPermanent, RetryAfter,
        };
        for (code, message, class, after) in [
            (420, "FLOOD_WAIT_31", RetryAfter, Some(31)),
            (420, "SLOWMODE_WAIT_10", RetryAfter, Some(10)),
            (420, "FLOOD_PREMIUM_WAIT_7", RetryAfter, Some(7)),
            (420, "FLOOD_WAIT_9999999", RetryAfter, Some(86_400)),
            (420, "FLOOD_WAIT_0", RetryAfter, Some(1)),
            (420, "SOMETHING_NEW", RetryAfter, Some(60)),
            (400, "PEER_FLOOD", OpeningsBlocked, None),
            (420, "FROZEN_METHOD_INVALID", ChannelBlocked, None),
            (406, "FROZEN_METHOD_INVALID", ChannelBlocked, None),
            (401, "AUTH_KEY_UNREGISTERED", CredentialRefused, None),
            (401, "AUTH_KEY_INVALID", CredentialRefused, None),
            (401, "SESSION_REVOKED", CredentialRefused, None),
            (401, "SESSION_EXPIRED", CredentialRefused, None),
            (401, "SESSION_PASSWORD_NEEDED", CredentialRefused, None),
            (401, "SOMETHING_NEW", CredentialRefused, None),
            (406, "AUTH_KEY_DUPLICATED", CredentialRefused, None),
            (400, "API_ID_INVALID", CredentialRefused, None),
            (401, "USER_DEACTIVATED", ChannelBlocked, None),
            (401, "USER_DEACTIVATED_BAN", ChannelBlocked, None),
            (400, "PHONE_NUMBER_BANNED", ChannelBlocked, None),
            (400, "USER_IS_BLOCKED", RecipientPermanent, None),
            (403, "USER_IS_BLOCKED", RecipientPermanent, None),
            (400, "YOU_BLOCKED_USER", RecipientPermanent, None),
            (400, "INPUT_USER_DEACTIVATED", RecipientPermanent, None),
            (403, "USER_PRIVACY_RESTRICTED", RecipientPermanent, None),
            (400, "USER_IS_BOT", RecipientPermanent, None),
            (403, "PRIVACY_PREMIUM_REQUIRED", RecipientPermanent, None),
            (406, "PRIVACY_PREMIUM_REQUIRED", RecipientPermanent, None),
            (403, "ALLOW_PAYMENT_REQUIRED_50", RecipientPermanent, None),
            (403, "SOMETHING_NEW", RecipientPermanent, None),
            (400, "USERNAME_NOT_OCCUPIED", RecipientPermanent, None),
            (400, "USERNAME_INVALID", RecipientPermanent, None),
            (400, "PHONE_NOT_OCCUPIED", RecipientPermanent, None),
            (400, "PEER_ID_INVALID", RecipientPermanent, None),
            (400, "MESSAGE_TOO_LONG", MessagePermanent, None),
            (400, "MESSAGE_EMPTY", MessagePermanent, None),
            (400, "CONNECTION_LAYER_INVALID", OurMistake, None),
            (400, "SOMETHING_NEW", OurMistake, None),
            (500, "INTERNAL", InDoubt, None),
            (-503, "Timeout", InDoubt, None),
        ] {
            let outcome = said(code, message).of_message();
            assert_eq!(outcome.class, class, "{code} {message}: {}", outcome.reason);
            assert_eq!(outcome.after.map(|after| after.as_secs()), after, "{code} {message}");
            let name: String =
                message.split('_').filter(|word| word.parse::<u32>().is_err()).collect();
            let shown: String =
                outcome.reason.split([' ', ':']).nth(1).unwrap().split('_').collect();
            assert_eq!(shown, name, "{}", outcome.reason);
        }
    }

    #[test]
    fn what_failed_on_the_way_is_in_doubt_only_where_a_message_may_have_left() {
        use OutcomeClass::{CredentialRefused, InDoubt, NotSent, RetryAfter};
        let status = |status| {
            Unanswered::Failed(InvocationError::Transport(transport::Error::BadStatus { status }))
        };
        let broken = || io::Error::from(io::ErrorKind::ConnectionReset);
        for (unanswered, with_message, without) in [
            (Unanswered::Late, InDoubt, NotSent),
            (Unanswered::Failed(InvocationError::Io(broken())), InDoubt, NotSent),
            (Unanswered::Failed(InvocationError::Dropped("gone")), InDoubt, NotSent),
            (Unanswered::Failed(InvocationError::InvalidDc), InDoubt, NotSent),
            (said(500, "INTERNAL"), InDoubt, NotSent),
            (status(404), CredentialRefused, CredentialRefused),
            (status(429), RetryAfter, RetryAfter),
        ] {
            assert_eq!(unanswered.of_message().class, with_message, "{unanswered:?}");
            assert_eq!(unanswered.of_other_call().class, without, "{unanswered:?}");
        }
    }
}
