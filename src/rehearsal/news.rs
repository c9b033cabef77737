//! What a provider tells us of a message, in the order of a real one.

use super::journal::{Direction, Entry};

/// One thing to tell. The journal notes it by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Message,
    Echo,
    Sent,
    Delivered,
    Read,
    Failed,
}

/// Every third message of ours is told of the wrong way round, as it happens.
const REVERSED_EVERY: i64 = 3;

/// Why a message failed that was taken: nobody is there.
pub(super) const UNDELIVERABLE: i64 = 131_026;

impl News {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Echo => "echo",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
        }
    }

    /// Everything that is told of a message.
    pub(super) fn of(entry: &Entry, unreachable: bool) -> Vec<Self> {
        if entry.direction == Direction::FromPerson {
            return vec![Self::Message];
        }
        if unreachable {
            return vec![Self::Echo, Self::Sent, Self::Failed];
        }
        let mut news = vec![Self::Echo, Self::Sent, Self::Delivered, Self::Read];
        if entry.message_id.is_some_and(|id| id % REVERSED_EVERY == 0) {
            news.reverse();
        }
        news
    }
}
