//! Names and identifiers: each is parsed once, at the edge, and trusted afterwards.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// The greatest length of a name, in bytes: that of a DNS label, so that a name can become one.
pub const NAME_LENGTH_MAX: usize = 63;

/// A name that breaks the rules of `metadata.name`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a name: {reason}")]
pub struct InvalidName {
    pub text: String,
    pub reason: &'static str,
}

fn check_name(text: &str) -> Result<(), InvalidName> {
    let invalid = |reason| Err(InvalidName { text: text.to_owned(), reason });
    if text.is_empty() {
        return invalid("it is empty");
    }
    if text.len() > NAME_LENGTH_MAX {
        return invalid("it is longer than 63 characters");
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return invalid("it must start with a lower-case letter a to z");
    }
    if !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return invalid("only lower-case letters a to z, digits and `-` may stand in it");
    }
    Ok(())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                check_name(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// Identifies a task for ever, over all its incarnations.
    TaskName
    /// The name of a channel: one connected account or endpoint.
    ChannelName
    /// The name of a manager, an AI, an integration or a suppression list.
    ResourceName
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($inner:ty))*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = <$inner as FromStr>::Err;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )*};
}

numbers! {
    /// One incarnation of a task; a recreated task gets a new one.
    TaskId(Uuid)
    /// Rises with every write to a task; a write that saw an older one changes nothing.
    Generation(i64)
    /// Rises with every lease of a lane; a write with an older one changes nothing.
    Fence(i64)
    /// One attempt to send one opening.
    AttemptId(i64)
    /// One person's thread with one channel inside one task.
    DialogueId(i64)
    /// One opening that the AI writes before its turn.
    DraftId(i64)
    /// One message of a dialogue.
    MessageId(i64)
    /// Where a message stands in the order in which the people of hosted channels came to see them.
    MessagePosition(i64)
    /// Somebody who chats on a page of ours, known by a cookie.
    VisitorId(Uuid)
    /// One call of an AI, with what was reserved for it.
    AiCallId(i64)
    /// One event of a dialogue, as it is reported; its receiver drops repeats by it.
    ReportId(Uuid)
    /// One running executor.
    ExecutorId(Uuid)
    /// One running `watch`.
    WatchId(Uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_the_manifest() {
        for good in ["a", "a-1", "spring-renewals", &"x".repeat(63)] {
            assert_eq!(good.parse::<TaskName>().unwrap().as_str(), good);
        }
        for bad in ["", "1a", "-a", "A", "a_b", "a b", "ä", &"x".repeat(64)] {
            bad.parse::<TaskName>().unwrap_err();
        }
    }
}
