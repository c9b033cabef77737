//! What the Bot API's errors make of an attempt: a few codes, and descriptions that tell what a code leaves open.

use std::time::Duration;

use super::{
    super::answer::{bounded, by_status},
    bot_api::PROVIDER,
};
use crate::domain::attempt::{Outcome, OutcomeClass};

/// The longest name of an error, such as `BUSINESS_PEER_USAGE_MISSING`, that is shown.
const NAME_BYTES_MAX: usize = 64;

/// One line of the table: the code, words of the description in lower case, the class, and ours.
type Row = (i64, &'static str, OutcomeClass, &'static str);

/// The first line that fits counts. Telegram's inner server names its errors in capitals, and the Bot API gives
/// many of its 403 as 400.
#[rustfmt::skip]
const REFUSALS: &[Row] = {
    use OutcomeClass::{
        ChannelBlocked, CredentialRefused, MessagePermanent, NotSent, OurMistake,
        RecipientPermanent, WindowClosed,
    };
    &[
        (400, "business_peer_usage_missing", WindowClosed, "more than 24 hours since the person wrote"),
        (400, "business_peer_invalid", WindowClosed, "the bot may not write into this chat of its owner"),
        (400, "business connection not found", CredentialRefused, "there is no such business connection; its owner may have removed the bot"),
        (400, "business_connection_invalid", CredentialRefused, "there is no such business connection; its owner may have removed the bot"),
        (400, "business_connection", ChannelBlocked, "the business connection is switched off"),
        (400, "bot_access_forbidden", OurMistake, "the owner has not given the bot the right to reply"),
        (403, "bot_access_forbidden", OurMistake, "the owner has not given the bot the right to reply"),
        (400, "frozen", ChannelBlocked, "the bot is frozen"),
        (403, "frozen", ChannelBlocked, "the bot is frozen"),
        (400, "user_deactivated_ban", ChannelBlocked, "the bot is banned"),
        (400, "logged out", CredentialRefused, "the bot was logged out from this server"),
        (400, "chat not found", RecipientPermanent, "no such chat"),
        (400, "user not found", RecipientPermanent, "no such chat"),
        (400, "peer_id_invalid", RecipientPermanent, "no such chat"),
        (400, "chat_id_invalid", RecipientPermanent, "no such chat"),
        (400, "upgraded to a supergroup", RecipientPermanent, "the chat is a group, and moved"),
        (400, "sent to self", RecipientPermanent, "the chat is the owner's own"),
        (400, "you_blocked_user", RecipientPermanent, "the owner has blocked the person"),
        (400, "user_is_bot", RecipientPermanent, "the recipient is a bot"),
        (400, "user_is_blocked", RecipientPermanent, "the person has blocked the bot"),
        (400, "input_user_deactivated", RecipientPermanent, "the person's account was deleted"),
        (400, "privacy_", RecipientPermanent, "the person's privacy settings forbid it"),
        (400, "allow_payment_required", RecipientPermanent, "the person takes paid messages only"),
        (400, "not enough rights", RecipientPermanent, "the bot may not write into this chat"),
        (400, "have no rights", RecipientPermanent, "the bot may not write into this chat"),
        (400, "chat_write_forbidden", RecipientPermanent, "the bot may not write into this chat"),
        (400, "message is too long", MessagePermanent, "the message is too long"),
        (400, "message_too_long", MessagePermanent, "the message is too long"),
        (400, "text is empty", MessagePermanent, "the message is empty"),
        (400, "message_empty", MessagePermanent, "the message is empty"),
        (400, "can't parse entities", MessagePermanent, "the message is refused for its form"),
        (400, "bad webhook", NotSent, "the address for webhooks is refused; it has to be `https://…` on port 443, 80, 88 or 8443, and to be reached from outside"),
        (400, "secret token", OurMistake, "`webhookSecret` is refused; it may have letters, digits, `_` and `-`"),
        (403, "blocked by the user", RecipientPermanent, "the person has blocked the bot"),
        (403, "deactivated", RecipientPermanent, "the person's account was deleted"),
        (403, "can't initiate", RecipientPermanent, "the person has not started the bot"),
        (403, "to bots", RecipientPermanent, "the recipient is a bot"),
        (403, "to the bot", RecipientPermanent, "the recipient is a bot"),
        (404, "method not found", OurMistake, "`endpoint` does not know the method"),
        // They are told of a question, which can be asked again: whoever arranges the receiving finds out more.
        (409, "other getupdates", NotSent, "another program asks for the updates of this bot, and a bot has one reader"),
        (409, "webhook", NotSent, "the bot has a webhook, so nobody can ask for its updates"),
    ]
};

/// `named` is the wait that comes with a 429.
pub(super) fn refusal(code: i64, description: &str, named: Option<Duration>) -> Outcome {
    use OutcomeClass::{CredentialRefused, MessagePermanent, OurMistake, RecipientPermanent};
    let lower = description.to_lowercase();
    let row = REFUSALS.iter().find(|row| row.0 == code && lower.contains(row.1));
    let (class, words) = match (row, code) {
        (Some(row), _) => (row.2, row.3.to_owned()),
        (None, 429) => {
            let reason = format!("{PROVIDER} error 429: too many messages");
            return match named {
                Some(after) => Outcome::retry_after(bounded(after), reason),
                None => by_status(429, PROVIDER, None),
            };
        }
        (None, 401) => (CredentialRefused, "the token is refused".to_owned()),
        // The token is a part of the path.
        (None, 404) => (CredentialRefused, "the token has not the form of one".to_owned()),
        (None, 403) => (RecipientPermanent, or_name(description, "the bot may not write there")),
        (None, 409) => {
            (OutcomeClass::NotSent, "another program speaks for this bot at this moment".to_owned())
        }
        (None, 400) => (MessagePermanent, or_name(description, "the message is refused")),
        (None, 500..600) => (OutcomeClass::InDoubt, "the server failed".to_owned()),
        (None, _) => (OurMistake, "this version does not know the error".to_owned()),
    };
    Outcome::of(class, format!("{PROVIDER} error {code}: {words}"))
}

/// The name that the inner server gives to its error, if the description is nothing else.
fn or_name(description: &str, words: &str) -> String {
    let name = description.rsplit(": ").next().unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let is_name = name.len() <= NAME_BYTES_MAX && name.contains('_') && name.bytes().all(plain);
    if is_name { format!("{words} ({name})") } else { words.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_class() {
        use OutcomeClass::{
            ChannelBlocked, CredentialRefused, InDoubt, MessagePermanent, NotSent, OurMistake,
            RecipientPermanent, RetryAfter, WindowClosed,
        };
        for (code, description, class) in [
            (429, "Too Many Requests: retry after 3", RetryAfter),
            (401, "Unauthorized", CredentialRefused),
            (401, "Unauthorized: invalid token specified", CredentialRefused),
            (404, "Not Found", CredentialRefused),
            (404, "Not Found: method not found", OurMistake),
            (400, "Logged out", CredentialRefused),
            (403, "Forbidden: bot was blocked by the user", RecipientPermanent),
            (403, "Forbidden: user is deactivated", RecipientPermanent),
            (403, "Forbidden: bot can't initiate conversation with a user", RecipientPermanent),
            (403, "Forbidden: bot can't send messages to bots", RecipientPermanent),
            (403, "Forbidden: bot was kicked from the supergroup chat", RecipientPermanent),
            (403, "Forbidden: something new", RecipientPermanent),
            (400, "Bad Request: chat not found", RecipientPermanent),
            (400, "Bad Request: private chat not found", RecipientPermanent),
            (400, "Bad Request: PEER_ID_INVALID", RecipientPermanent),
            (400, "Bad Request: group chat was upgraded to a supergroup chat", RecipientPermanent),
            (400, "Bad Request: messages must not be sent to self", RecipientPermanent),
            (400, "Bad Request: YOU_BLOCKED_USER", RecipientPermanent),
            (400, "Bad Request: USER_PRIVACY_RESTRICTED", RecipientPermanent),
            (400, "Bad Request: PRIVACY_PREMIUM_REQUIRED", RecipientPermanent),
            (400, "Bad Request: ALLOW_PAYMENT_REQUIRED_10", RecipientPermanent),
            (
                400,
                "Bad Request: not enough rights to send text messages to the chat",
                RecipientPermanent,
            ),
            (400, "Bad Request: message is too long", MessagePermanent),
            (400, "Bad Request: message text is empty", MessagePermanent),
            (400, "Bad Request: can't parse entities: unclosed start tag", MessagePermanent),
            (400, "Bad Request: SOMETHING_NEW", MessagePermanent),
            (400, "", MessagePermanent),
            (400, "Bad Request: BUSINESS_PEER_USAGE_MISSING", WindowClosed),
            (400, "Bad Request: BUSINESS_PEER_INVALID", WindowClosed),
            (400, "Bad Request: business connection not found", CredentialRefused),
            (400, "Bad Request: BUSINESS_CONNECTION_INVALID", CredentialRefused),
            (400, "Bad Request: BUSINESS_CONNECTION_DISABLED", ChannelBlocked),
            (400, "Bad Request: BOT_ACCESS_FORBIDDEN", OurMistake),
            (403, "Forbidden: BOT_ACCESS_FORBIDDEN", OurMistake),
            (400, "Bad Request: FROZEN_METHOD_INVALID", ChannelBlocked),
            (
                409,
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
                NotSent,
            ),
            (409, "Conflict: can't use getUpdates method while webhook is active", NotSent),
            (409, "Conflict: terminated by setWebhook request", NotSent),
            (400, "Bad Request: bad webhook: HTTPS url must be provided for webhook", NotSent),
            (421, "Misdirected Request: unallowed token specified", OurMistake),
            (500, "Internal Server Error: restart", InDoubt),
            (502, "Bad Gateway", InDoubt),
        ] {
            let outcome = refusal(code, description, None);
            assert_eq!(outcome.class, class, "{code} {description}: {}", outcome.reason);
            assert!(outcome.reason.contains(&code.to_string()), "{}", outcome.reason);
        }
    }

    #[test]
    fn a_description_is_shown_only_where_it_is_a_name() {
        for (description, shown) in [
            ("Bad Request: TOPIC_CLOSED", "the message is refused (TOPIC_CLOSED)"),
            ("Bad Request: can't use +79123450001", "the message is refused"),
            ("Bad Request: 79123450001", "the message is refused"),
            ("Bad Request: Hello, Anna", "the message is refused"),
            (&format!("Bad Request: A_{}", "B".repeat(90)), "the message is refused"),
        ] {
            let outcome = refusal(400, description, None);
            assert_eq!(outcome.reason, format!("Telegram error 400: {shown}"), "{description}");
        }
    }
}
