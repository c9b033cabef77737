//! `nuncio dialogue say`: an operator's words.

use std::{io::Read as _, time::Duration};

use anyhow::Context as _;
use serde::Serialize;

use super::{dialogue_id, no_such_dialogue, sentence::why};
use crate::{
    channels::split_for,
    cli::{
        Common, ExitStatus,
        failure::FORMAT_VERSION,
        output::{AnswerForm, Output, columns},
        sentence::wrapped_to,
    },
    config,
    domain::id::{DialogueId, MessageId},
    service::Database,
    store::{Repeat, Said, Thread, Words},
};

/// Below the options: what keeps words from being said twice.
const ABOUT: &str = "\
The same words are not said twice by accident: within a minute, and while nothing
else was said in between, they are refused without --again. A script that tries
again gives each errand a key with --idempotency-key: whatever happens, its words
are said once, and saying them once more ends well.";

#[derive(clap::Args, Debug)]
#[command(after_long_help = ABOUT)]
pub(super) struct Args {
    /// The dialogue, by its number in `nuncio dialogues`
    #[arg(value_parser = dialogue_id)]
    id: DialogueId,
    /// What to say; `-` reads it from standard input
    #[arg(allow_hyphen_values = true)]
    text: String,
    /// Say it, though it is what was said a moment ago
    #[arg(long, conflicts_with = "idempotency_key")]
    again: bool,
    /// Say it once under this key, however often it is tried
    #[arg(long, value_name = "KEY", value_parser = key)]
    idempotency_key: Option<String>,
    /// How it is told what was done
    #[arg(long, value_enum, default_value_t)]
    output: AnswerForm,
}

/// What was said, for programs.
#[derive(Serialize)]
struct SaidJson {
    format_version: &'static str,
    dialogue: i64,
    /// As `nuncio resolve` knows them.
    messages: Vec<String>,
    /// They were said under this key before, and not now.
    repeated: bool,
    /// What happens next.
    why: Option<String>,
}

/// Several messages of any messenger; more is a file that was named by mistake.
const CHARACTERS_MAX: usize = 20_000;
/// A character has at most four bytes.
const INPUT_BYTES_MAX: u64 = CHARACTERS_MAX as u64 * 4;
/// As long as those of the API.
const KEY_LENGTH_MAX: usize = 255;

fn key(text: &str) -> Result<String, String> {
    let is_key = (1..=KEY_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    let wanted =
        || format!("write 1 to {KEY_LENGTH_MAX} letters, digits or signs, as `ticket-17-1`");
    if is_key { Ok(text.to_owned()) } else { Err(wanted()) }
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let id = args.id;
    let text = if args.text == "-" { read_input()? } else { args.text.clone() };
    let text = text.replace("\r\n", "\n");
    let text = text.trim();
    anyhow::ensure!(!text.is_empty(), "there is nothing to say: the text is empty");
    anyhow::ensure!(
        text.chars().count() <= CHARACTERS_MAX,
        "the text is longer than {CHARACTERS_MAX} characters"
    );
    if let Some((n, c)) = control_character(text) {
        let code = u32::from(c);
        output.error(&format!(
            "character {n} of the text is a control character (U+{code:04X}), which no messenger shows"
        ));
        output.hint("take it out; line feeds and tabs may stay");
        return Ok(ExitStatus::Usage);
    }
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
    let repeat = match &args.idempotency_key {
        Some(key) => Repeat::Errand(key),
        None if args.again => Repeat::Meant,
        None => Repeat::Accident,
    };
    let by = config::actor();
    let (said, repeated) = match store.say(id, &Words { parts: &parts, by: &by, repeat }).await? {
        Said::Accepted(said) => (said, false),
        Said::Already(said) => (said, true),
        Said::NoSuchDialogue => return no_such_dialogue(id),
        refused => {
            let (why, hint) = refusal(&refused);
            output.error(&why);
            output.hint(hint);
            return Ok(ExitStatus::Rejected);
        }
    };
    let next = store.read_thread(id).await?.as_ref().map(why);
    if args.output == AnswerForm::Json {
        output.json(&SaidJson {
            format_version: FORMAT_VERSION,
            dialogue: id.0,
            messages: said.iter().map(|message| format!("m{message}")).collect(),
            repeated,
            why: next,
        });
        return Ok(ExitStatus::Success);
    }
    if repeated {
        output.note(&format!("that was said already, as {}", named(&said)));
        return Ok(ExitStatus::Success);
    }
    let verb = if said.len() == 1 { "waits" } else { "wait" };
    output.note(&format!("{} {verb} to leave; the dialogue is with an operator now", named(&said)));
    if let Some(next) = next {
        output.note(wrapped_to(&next, columns(), 2).trim_end());
    }
    Ok(ExitStatus::Success)
}

/// Why nothing was said, and the way out.
fn refusal(said: &Said) -> (String, &'static str) {
    match said {
        Said::OtherWords(messages) => (
            format!("other words were said under this key, as {}", named(messages)),
            "give these a key of their own",
        ),
        Said::Repeated { last, ago } => (
            format!(
                "the same was said {} s ago, as {}, and nothing in between",
                ago.as_secs(),
                named(&[*last])
            ),
            "give --again to say it once more",
        ),
        _ => (
            "the person is not to be written to".to_owned(),
            "`nuncio suppress` lists who asked for it, and when",
        ),
    }
}

fn named(messages: &[MessageId]) -> String {
    let names: Vec<String> = messages.iter().map(|message| format!("m{message}")).collect();
    let noun = if names.len() == 1 { "message" } else { "messages" };
    format!("{noun} {}", names.join(", "))
}

/// The first one, and its place counted from 1.
fn control_character(text: &str) -> Option<(usize, char)> {
    let places = text.chars().enumerate().map(|(n, c)| (n + 1, c));
    places.into_iter().find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\t'))
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
pub(in crate::cli) fn closed_window(thread: &Thread) -> Option<Duration> {
    let window = thread.kind?.facts().reply_window?;
    let silence = thread.wrote_last_at.map(|at| (thread.now - at).to_std().unwrap_or_default());
    silence.is_none_or(|silence| silence >= window).then_some(window)
}
