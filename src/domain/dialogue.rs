//! A dialogue: one person's thread with one channel inside one task, and what is said in it.

use chrono::{DateTime, Utc};

use super::{address::Address, word::words};

words! {
    /// Who speaks in a dialogue, or why nobody does.
    DialogueState {
        /// The AI answers.
        Open = "open",
        /// An operator owns it; the AI is silent.
        WithOperator = "with-operator",
        Succeeded = "succeeded",
        Closed = "closed",
        /// The spending limit is reached.
        Blocked = "blocked",
    }

    /// Whose words a message are.
    Author {
        Person = "person",
        /// The first message of a dialogue that we started.
        Opening = "opening",
        Ai = "ai",
        /// A person of ours, here or in the messenger's own app.
        Operator = "operator",
        Reminder = "reminder",
        /// The sentence of the AI's manifest that ends its part: the limit is reached, or a person takes over.
        Handover = "handover",
    }

    /// What became of a message of ours. The last three of a delivery only ever rise.
    MessageState {
        Waiting = "waiting", Sending = "sending", Sent = "sent", Delivered = "delivered", Read = "read",
        Failed = "failed", InDoubt = "in-doubt", Discarded = "discarded",
    }

    /// What the AI may call beside answering.
    Tool {
        Success = "success", ContactObtained = "contact_obtained", Interest = "interest",
        Close = "close", Operator = "operator", Remind = "remind",
    }

    /// What a person gave to be reached by.
    ContactKind { Phone = "phone", Email = "email", Messenger = "messenger", Other = "other" }

    /// What a provider tells of a message that it took.
    DeliveryState { Sent = "sent", Delivered = "delivered", Read = "read", Failed = "failed" }
}

/// What a channel delivered, in the words of no provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who the thread is with: the person, whoever wrote. In the normal form of an audience's address. What is
    /// said next to them goes to this address.
    pub peer: Address,
    /// By what else the same person is certain to be known: every address that the provider told, and other
    /// forms of a number. All of them are one person from now on, in dialogues as in suppressions.
    pub also_known_as: Vec<Address>,
    /// By the provider's clock, where it says so.
    pub at: Option<DateTime<Utc>>,
    pub what: Delivery,
}

impl Received {
    /// Of a person who is known by nothing else.
    pub fn of(peer: Address, at: Option<DateTime<Utc>>, what: Delivery) -> Self {
        Self { peer, also_known_as: Vec::new(), at, what }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The person wrote. `id` is the provider's and unique within the channel. What is no text is named
    /// in brackets: `[photo]`.
    Message { id: String, text: String },
    /// A message from our own account: sent by us, or typed by a person in the messenger's own app.
    Echo {
        id: String,
        /// The key, or the attached reference, that was sent with it, where the provider repeats it.
        reference: Option<String>,
        text: String,
        typed_by_hand: TypedByHand,
    },
    /// News of a message that the provider took from us.
    Status {
        id: String,
        /// What was attached to the message when it was sent, where the provider repeats it.
        reference: Option<String>,
        state: DeliveryState,
        reason: String,
    },
    /// The person lets nothing of this account through any more, until they write again. It is no wish to be left
    /// alone by everybody: on another channel they may be waiting.
    Barred,
    /// The person has another number, or another id, and is reached at `peer` from now on. What they are also
    /// known as reaches them no longer, and is theirs all the same: whoever asked to be left alone asked so as a
    /// person.
    Moved,
}

/// Whether a message from our own account was typed by a person, as far as its provider tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypedByHand {
    /// It says so.
    Yes,
    /// It tells of every message of the account, and not who sent it: what is not ours was typed.
    UnlessOurs,
    /// It does not say. What is not ours is passed over.
    Untold,
}

/// A reply's way to its person, given to a driver once.
#[derive(Clone, Copy, Debug)]
pub struct ReplyCall<'a> {
    pub peer: &'a Address,
    pub text: &'a str,
    /// The same for every attempt at one message, so that a provider can drop a repeat. Never 0.
    pub key: i64,
    /// Attached to the message where the provider repeats it in echoes and statuses.
    pub reference: &'a str,
}
