//! What the errors of the VK API mean.

use std::time::Duration;

use super::{
    super::answer::{Rule, class, classes, rule_for, wait},
    PROVIDER,
};
use crate::domain::attempt::{Outcome, OutcomeClass};

/// Three calls a second are allowed to a person's account, twenty to a community's.
const TOO_MANY_PER_SECOND: Duration = Duration::from_secs(1);
/// Flood control names no figure; it passes in minutes.
const FLOOD: Duration = Duration::from_mins(10);
/// So does the rate limit of a method; it passes in hours.
const RATE_LIMIT: Duration = Duration::from_hours(1);

/// Codes that may mean the account that calls as well as the one that is written to. Where nobody is written to,
/// it is the account.
pub(super) const SOMEBODY_IS_BLOCKED: &[i64] = &[18, 37];

/// The right to do something is missing, whatever else is in order.
const NOT_ALLOWED: &[i64] = &[7, 15, 20, 23, 27, 203];

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
        class(7, OurMistake, "the token has no right to do this"),
        class(8, OurMistake, "the request is not understood"),
        wait(9, FLOOD, "flood control; vary the text"),
        class(10, InDoubt, "internal error"),
        class(14, ChannelBlocked, "a captcha must be solved by a person"),
        class(15, OurMistake, "access denied"),
        class(17, CredentialRefused, "the account must be validated by a person"),
        class(18, ChannelBlocked, "the account is deleted"),
        class(20, OurMistake, "only standalone applications may do this"),
        class(23, OurMistake, "the method is closed"),
        class(24, CredentialRefused, "a person must confirm"),
        class(27, CredentialRefused, "the community's token is refused"),
        class(28, CredentialRefused, "the application's token is refused"),
        wait(29, RATE_LIMIT, "the limit of the method is reached"),
        class(36, InDoubt, "the call was interrupted"),
        class(37, ChannelBlocked, "the account is blocked"),
        class(39, RecipientPermanent, "unknown user"),
        class(43, NotSent, "messages are switched off for the moment"),
        class(100, OurMistake, "a parameter is missing or wrong"),
        class(113, RecipientPermanent, "no such user"),
        class(125, OurMistake, "no such community"),
        classes(200, 299, OurMistake, "access denied"),
        class(900, RecipientPermanent, "the recipient has blocked this account"),
        class(901, RecipientPermanent, "the recipient allows no messages"),
        class(902, RecipientPermanent, "the recipient's privacy settings forbid it"),
        classes(910, 911, MessagePermanent, "the message is refused"),
        class(912, OurMistake, "the community's settings keep its bot from writing"),
        classes(913, 914, MessagePermanent, "the message is too long"),
        class(917, RecipientPermanent, "the chat is closed to this account"),
        class(921, MessagePermanent, "the message cannot be forwarded"),
        class(932, RecipientPermanent, "the community cannot write to this recipient"),
        class(936, RecipientPermanent, "no such recipient"),
        class(939, RecipientPermanent, "a message request waits for its answer"),
        class(943, OurMistake, "the intent may not be used"),
        wait(944, RATE_LIMIT, "the limit of the intent is reached"),
        classes(945, 946, RecipientPermanent, "the chat is closed"),
        class(950, WindowClosed, "the time to answer is over"),
        class(984, ChannelBlocked, "the account is restricted for spam"),
        class(985, RecipientPermanent, "the recipient takes notifications only"),
        classes(987, 988, RecipientPermanent, "a message request waits for its answer"),
        class(1116, CredentialRefused, "the anonymous token is refused"),
        class(2000, OurMistake, "the community has as many callback servers as it may have"),
    ]
};

pub(super) fn outcome_of(code: i64) -> Outcome {
    match rule_for(ERRORS, code) {
        Some(rule) => rule.outcome(code, PROVIDER, None),
        None => Outcome::of(
            OutcomeClass::OurMistake,
            format!("{PROVIDER} error {code}: this version does not know the error"),
        ),
    }
}

/// Whether the token lacks the right, and a person with more rights would have to do it.
pub(super) fn is_not_allowed(code: i64) -> bool {
    NOT_ALLOWED.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::{super::super::answer::assert_no_code_stands_twice, *};

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
            (&[2, 14, 18, 37, 984], ChannelBlocked),
            (&[4, 5, 17, 24, 27, 28, 1116], CredentialRefused),
            (&[3, 7, 8, 15, 20, 23, 100, 125, 200, 201, 203, 912, 943, 2000, 77_777], OurMistake),
            (&[39, 113, 900, 901, 902, 917, 932, 936, 939, 945, 985, 987, 988], RecipientPermanent),
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
