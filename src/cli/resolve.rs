//! `nuncio resolve`: what became of openings and replies in doubt, by an operator's word.

use std::{
    fmt,
    io::{self, IsTerminal as _},
    str::FromStr,
};

use super::{Common, ExitStatus, audience::shown, output::Output};
use crate::{
    config,
    domain::id::{AttemptId, MessageId},
    service::Database,
    store::{Resolution, Store},
};

/// Below the options: what the numbers mean, and who sees whose they are.
const ABOUT: &str = "\
A number alone is an attempt at an opening; one after an `m`, such as m123, is a
reply in a dialogue. A reply that is sent again keeps its key, so that a provider
that knows it drops the repeat; words of the AI that something newer has made
void are not sent again.

Addresses are shown on a terminal; anywhere else only with --show-addresses.";

#[derive(clap::Args, Debug)]
#[command(after_long_help = ABOUT)]
pub(super) struct Args {
    /// The attempt, or the reply as `m123`; without one, those in doubt are listed
    #[arg(value_name = "NUMBER")]
    doubt: Option<Doubt>,
    /// What became of it
    #[arg(value_enum, requires = "doubt")]
    resolution: Option<Word>,
    /// Show addresses also where no terminal is
    #[arg(long, conflicts_with = "doubt")]
    show_addresses: bool,
}

/// What is in doubt. The two count apart, and must not be taken for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    Attempt(AttemptId),
    Reply(MessageId),
}

impl FromStr for Doubt {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = "write the number of an attempt, or `m` and the number of a message";
        match text.strip_prefix('m') {
            Some(number) => number.parse().map(Self::Reply).map_err(|_| wanted),
            None => text.parse().map(Self::Attempt).map_err(|_| wanted),
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attempt(attempt) => write!(f, "attempt {attempt}"),
            Self::Reply(message) => write!(f, "reply m{message}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Word {
    /// It arrived
    Sent,
    /// It did not arrive: write to the contact again
    Retry,
    /// Nobody knows: do not write to the contact again
    Drop,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let store = &database.store;
    let (Some(doubt), Some(word)) = (args.doubt, args.resolution) else {
        anyhow::ensure!(args.doubt.is_none(), "say what became of it: sent, retry or drop");
        list(store, args.show_addresses || io::stdout().is_terminal(), output).await?;
        return Ok(ExitStatus::Success);
    };
    let resolution = match word {
        Word::Sent => Resolution::Sent,
        Word::Retry => Resolution::Retry,
        Word::Drop => Resolution::Drop,
    };
    let by = config::actor();
    let resolved = match doubt {
        Doubt::Attempt(attempt) => store.resolve(attempt, resolution, &by).await?,
        Doubt::Reply(message) => store.resolve_reply(message, resolution, &by).await?,
    };
    if resolved {
        store.wake_others().await?;
        output.note(&format!("{doubt} is resolved"));
        return Ok(ExitStatus::Success);
    }
    output.error(&match doubt {
        Doubt::Attempt(_) => {
            format!("{doubt} is not in doubt, or its contact is not in the audience any more")
        }
        Doubt::Reply(_) => format!("{doubt} is not in doubt"),
    });
    output.hint("`nuncio resolve` lists those that are");
    Ok(ExitStatus::Rejected)
}

async fn list(store: &Store, shows_addresses: bool, output: Output) -> anyhow::Result<()> {
    let (attempts, replies) = (store.list_doubtful().await?, store.list_doubtful_replies().await?);
    if attempts.is_empty() && replies.is_empty() {
        output.note("Nothing is in doubt.");
    }
    for one in attempts {
        output.data(&format!(
            "{}  {}  task {}  channel {}  {}  {}",
            one.attempt,
            one.granted_at.format("%Y-%m-%d %H:%M:%S UTC"),
            one.task,
            one.channel,
            shown(one.address.as_str(), shows_addresses),
            one.reason
        ));
    }
    for one in replies {
        output.data(&format!(
            "m{}  {}  task {}  channel {}  {}  dialogue {}, {}  {}",
            one.message,
            one.sent_at.format("%Y-%m-%d %H:%M:%S UTC"),
            one.task,
            one.channel,
            shown(one.peer.as_str(), shows_addresses),
            one.dialogue,
            one.author,
            one.reason
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_and_a_reply_are_told_apart() {
        assert_eq!("12".parse(), Ok(Doubt::Attempt(AttemptId(12))));
        assert_eq!("m12".parse(), Ok(Doubt::Reply(MessageId(12))));
        for bad in ["", "m", "12m", "mm12", "a12", "m 12"] {
            bad.parse::<Doubt>().unwrap_err();
        }
    }
}
