//! `nuncio dialogues` and `nuncio dialogue`: what is said with people, and what operators do there.

mod act;
mod list;
mod page;
mod rows;
mod say;
mod sentence;
mod show;
mod words;

pub(super) use self::{
    list::{Args as ListArgs, run as list},
    say::closed_window,
    sentence::why,
    words::{due, shown_author, state_counts, wrote_after},
};

use super::{Common, ExitStatus, failure::NotFound, output::Output};
use crate::{domain::id::DialogueId, store::DialogueAct};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show what was said, what happened beside, and why nothing does now
    Show(show::Args),
    /// Write to the person; the dialogue is an operator's from then on
    Say(say::Args),
    /// Take the dialogue over: the AI is silent at once
    Take(act::Args),
    /// Give the dialogue back to the AI, which answers what nobody has
    GiveBack(act::GiveBackArgs),
    /// End the dialogue; what waits in it is not sent
    Close(act::Args),
    /// Grant more to a dialogue that has reached its spending limit
    Unblock(act::UnblockArgs),
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    match &args.command {
        Command::Show(args) => show::run(common, args, output).await,
        Command::Say(args) => say::run(common, args, output).await,
        Command::Take(args) => act::run(common, args, DialogueAct::Take, output).await,
        Command::GiveBack(args) => act::give_back(common, args, output).await,
        Command::Close(args) => act::run(common, args, DialogueAct::Close, output).await,
        Command::Unblock(args) => act::unblock(common, args, output).await,
    }
}

/// Of an id that nothing has.
fn no_such_dialogue<T>(dialogue: DialogueId) -> anyhow::Result<T> {
    Err(NotFound::new(format!("dialogue {dialogue}"), "`nuncio dialogues` lists them").into())
}

/// The number of a dialogue.
fn dialogue_id(text: &str) -> Result<DialogueId, &'static str> {
    let number = text.trim().parse().ok().filter(|number| *number > 0);
    number.map(DialogueId).ok_or("write the number of a dialogue, as `17`")
}
