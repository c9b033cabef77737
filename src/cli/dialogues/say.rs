//! `nuncio dialogue say`: an operator's words.

use std::{io::Read as _, time::Duration};

use anyhow::Context as _;

use super::{dialogue_id, no_such_dialogue, sentence::why};
use crate::{
    channels::split_for,
    cli::{Common, ExitStatus, output::Output},
    config,
    domain::id::DialogueId,
    service::Database,
    store::{Said, Thread},
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The dialogue, by its number in `nuncio dialogues`
    #[arg(value_parser = dialogue_id)]
    id: DialogueId,
    /// What to say; `-` reads it from standard input
    #[arg(allow_hyphen_values = true)]
    text: String,
}

/// Several messages of any messenger; more is a file that was named by mistake.
const CHARACTERS_MAX: usize = 20_000;
/// A character has at most four bytes.
const INPUT_BYTES_MAX: u64 = CHARACTERS_MAX as u64 * 4;

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let id = args.id;
    let text = if args.text == "-" { read_input()? } else { args.text.clone() };
    let text = text.trim();
    anyhow::ensure!(!text.is_empty(), "there is nothing to say: the text is empty");
    anyhow::ensure!(
        text.chars().count() <= CHARACTERS_MAX,
        "the text is longer than {CHARACTERS_MAX} characters"
    );
    let database = Database::open(&common.database()).await?;
    let store = &database.store;
    let Some(thread) = store.read_thread(id).await? else { return no_such_dialogue(id) };
    if let Some(window) = closed_window(&thread) {
        let hours = window.as_secs() / 3600;
        output.error(&format!(
            "the person wrote more than {hours} hours ago, and the provider lets no message pass"
        ));
        output.hint("once the person has written again, you can answer");
        return Ok(ExitStatus::Rejected);
    }
    let parts = match thread.kind {
        Some(kind) => split_for(kind, text),
        None => vec![text.to_owned()],
    };
    let mut said = Vec::new();
    for part in &parts {
        match store.say(id, part, &config::actor()).await? {
            Said::Accepted(message) => said.push(format!("m{message}")),
            Said::Suppressed => {
                output.error("the person is not to be written to");
                output.hint("`nuncio suppress` lists who asked for it, and when");
                return Ok(ExitStatus::Rejected);
            }
            Said::NoSuchDialogue => return no_such_dialogue(id),
        }
    }
    let (noun, verb) = if said.len() == 1 { ("message", "waits") } else { ("messages", "wait") };
    output.note(&format!(
        "{noun} {} {verb} to leave; the dialogue is with an operator now",
        said.join(", ")
    ));
    if let Some(thread) = store.read_thread(id).await? {
        output.note(&why(&thread));
    }
    Ok(ExitStatus::Success)
}

fn read_input() -> anyhow::Result<String> {
    let mut text = String::new();
    let input = std::io::stdin().lock();
    // One byte more than is taken: what is too long is seen as such.
    let read = input.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text);
    read.context("standard input is no text")?;
    Ok(text)
}

/// The provider's window, if the person's last message has left it.
fn closed_window(thread: &Thread) -> Option<Duration> {
    let window = thread.kind?.facts().reply_window?;
    let silence = thread.wrote_last_at.map(|at| (thread.now - at).to_std().unwrap_or_default());
    silence.is_none_or(|silence| silence >= window).then_some(window)
}
