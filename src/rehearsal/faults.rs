//! The table of faults: what an address or an account of the rehearsal makes the provider do.

use crate::domain::word::words;

words! {
    /// What goes wrong.
    Fault {
        TooMany = "too many",
        AnswerWithheld = "answer withheld",
        Unavailable = "unavailable",
        RecipientBlocks = "recipient blocks",
        NotOnMessenger = "not on the messenger",
        RecipientDeleted = "recipient deleted",
        AccountBanned = "account banned",
        CredentialExpired = "credential expired",
    }
}

/// A fault of every address with this ending.
#[derive(Clone, Copy, Debug)]
pub struct AddressFault {
    pub ending: &'static str,
    pub fault: Fault,
    /// Only the first call fails; whoever tries again, is served.
    pub once: bool,
    pub about: &'static str,
}

/// A fault of every account whose channel's name contains the word.
#[derive(Clone, Copy, Debug)]
pub struct AccountFault {
    pub name_contains: &'static str,
    pub fault: Fault,
    pub about: &'static str,
}

/// The faults by the last digits of the address.
///
/// | ending | what happens |
/// |---|---|
/// | `0403` | the recipient has blocked the account |
/// | `0404` | nobody with this address is on the messenger |
/// | `0410` | the recipient's account was deleted |
/// | `0429` | the first call is answered with the provider's "too many" and a short wait |
/// | `0503` | the first call is answered with HTTP 503, and nothing is delivered |
/// | `0504` | the first call delivers, and its answer comes too late or never |
pub const ADDRESS_FAULTS: &[AddressFault] = &[
    AddressFault {
        ending: "0403",
        fault: Fault::RecipientBlocks,
        once: false,
        about: "the recipient has blocked the account",
    },
    AddressFault {
        ending: "0404",
        fault: Fault::NotOnMessenger,
        once: false,
        about: "nobody with this address is on the messenger",
    },
    AddressFault {
        ending: "0410",
        fault: Fault::RecipientDeleted,
        once: false,
        about: "the recipient's account was deleted",
    },
    AddressFault {
        ending: "0429",
        fault: Fault::TooMany,
        once: true,
        about: "the first call is answered with the provider's \"too many\" and a short wait",
    },
    AddressFault {
        ending: "0503",
        fault: Fault::Unavailable,
        once: true,
        about: "the first call is answered with HTTP 503, and nothing is delivered",
    },
    AddressFault {
        ending: "0504",
        fault: Fault::AnswerWithheld,
        once: true,
        about: "the first call delivers, and its answer comes too late or never",
    },
];

/// The faults by the name of the channel.
///
/// | name contains | what happens |
/// |---|---|
/// | `banned` | every call is answered as for a banned account |
/// | `expired` | every call is answered as for an expired credential |
pub const ACCOUNT_FAULTS: &[AccountFault] = &[
    AccountFault {
        name_contains: "banned",
        fault: Fault::AccountBanned,
        about: "every call is answered as for a banned account",
    },
    AccountFault {
        name_contains: "expired",
        fault: Fault::CredentialExpired,
        about: "every call is answered as for an expired credential",
    },
];

pub(super) fn of_address(address: &str) -> Option<&'static AddressFault> {
    ADDRESS_FAULTS.iter().find(|row| address.ends_with(row.ending))
}

pub(super) fn of_account(channel: &str) -> Option<Fault> {
    ACCOUNT_FAULTS.iter().find(|row| channel.contains(row.name_contains)).map(|row| row.fault)
}
