//! `nuncio resolve`: what became of openings and replies in doubt, by an operator's word.

mod list;

use std::{fmt, str::FromStr};

use serde::Serialize;

use super::{
    Common, ExitStatus,
    dialogues::{closed_window, why},
    failure::{BadArgument, FORMAT_VERSION},
    output::{AnswerForm, Output, columns},
    sentence::wrapped_to,
};
use crate::{
    config,
    domain::id::{AttemptId, MessageId},
    service::Database,
    store::{Resolution, Resolved, Store, Thread},
};

/// Below the options: what the numbers mean, and who sees whose they are.
const ABOUT: &str = "\
A number alone is an attempt at an opening; one after an `m`, such as m123, is a
reply in a dialogue. What is sent again keeps its key, so that a provider that
knows it drops the repeat; what would be thrown away then, such as words of the
AI where an operator has taken over, is not taken for a retry.

Where the provider drops repeats, doubts end by themselves. Of those only the
ones are listed whose task does not run, or whose channel is blocked.

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
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    output: AnswerForm,
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
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0).ok_or(wanted);
        match text.trim().strip_prefix('m') {
            Some(text) => number(text).map(MessageId).map(Self::Reply),
            None => number(text.trim()).map(AttemptId).map(Self::Attempt),
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
    /// It did not arrive: send it again
    Retry,
    /// Nobody knows: do not send it again
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
        if args.doubt.is_some() {
            return Err(BadArgument("say what became of it: sent, retry or drop".to_owned()).into());
        }
        list::run(store, args, output).await?;
        return Ok(ExitStatus::Success);
    };
    let thread = match doubt {
        Doubt::Attempt(_) => None,
        Doubt::Reply(message) => thread_of(store, message).await?,
    };
    let in_doubt = thread.as_ref().filter(|thread| thread.in_doubt.is_some());
    if word == Word::Retry
        && let Some(window) = in_doubt.and_then(closed_window)
    {
        let hours = window.as_secs() / 3600;
        let why = format!(
            "the person wrote more than {hours} hours ago, and the provider lets no message pass"
        );
        return Ok(refused(doubt, &why, output));
    }
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
    match resolved {
        Resolved::Done { held } => {
            store.wake_others().await?;
            let next = match thread {
                Some(thread) => store.read_thread(thread.id).await?.as_ref().map(why),
                None => held.map(|held| list::waits(&held)),
            };
            told(doubt, word, next, args.output, output);
            Ok(ExitStatus::Success)
        }
        Resolved::Objected { why } => Ok(refused(doubt, &why, output)),
        Resolved::IsRepeated => {
            output.error(&format!(
                "{doubt} is sent again by itself, with its key, by which the provider drops a repeat"
            ));
            output
                .hint("`nuncio resolve` says what it waits for; `sent` or `drop` ends the waiting");
            Ok(ExitStatus::Rejected)
        }
        Resolved::NotInDoubt => {
            output.error(&format!("{doubt} is not in doubt"));
            output.hint("`nuncio resolve` lists those that are");
            Ok(ExitStatus::Rejected)
        }
    }
}

fn refused(doubt: Doubt, why: &str, output: Output) -> ExitStatus {
    output.error(&format!("{doubt} would not leave: {why}"));
    output.hint("say `sent` if it arrived, else `drop`");
    ExitStatus::Rejected
}

async fn thread_of(store: &Store, message: MessageId) -> anyhow::Result<Option<Thread>> {
    Ok(match store.dialogue_of(message).await? {
        Some(dialogue) => store.read_thread(dialogue).await?,
        None => None,
    })
}

/// An act for programs.
#[derive(Serialize)]
struct ResolvedJson {
    format_version: &'static str,
    /// As it was named.
    resolved: String,
    #[serde(rename = "as")]
    word: &'static str,
    /// What comes of it, where that is not plain.
    next: Option<String>,
}

/// What was done, and what comes of it.
fn told(doubt: Doubt, word: Word, next: Option<String>, form: AnswerForm, output: Output) {
    let (word, done) = match word {
        Word::Sent => ("sent", "counts as sent"),
        Word::Retry => ("retry", "is sent again, with the same key"),
        Word::Drop => ("drop", "is not sent again"),
    };
    if form == AnswerForm::Json {
        let resolved = match doubt {
            Doubt::Attempt(attempt) => attempt.to_string(),
            Doubt::Reply(message) => format!("m{message}"),
        };
        output.json(&ResolvedJson { format_version: FORMAT_VERSION, resolved, word, next });
        return;
    }
    output.note(&format!("{doubt} {done}"));
    if let Some(next) = next {
        output.note(wrapped_to(&next, columns(), 2).trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_and_a_reply_are_told_apart() {
        assert_eq!("12".parse(), Ok(Doubt::Attempt(AttemptId(12))));
        assert_eq!("m12".parse(), Ok(Doubt::Reply(MessageId(12))));
        for bad in ["", "m", "12m", "mm12", "a12", "m 12", "-1", "0", "m-1", "m0"] {
            bad.parse::<Doubt>().unwrap_err();
        }
    }
}
