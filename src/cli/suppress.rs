//! `nuncio suppress` and `unsuppress`: who must not be written to, by a person's or an operator's word.

use std::io::{self, IsTerminal as _};

use clap::builder::NonEmptyStringValueParser;

use super::{
    Common, ExitStatus,
    audience::shown,
    output::Output,
    person::{self, PersonArgs},
};
use crate::{
    config,
    domain::{address::Address, id::ChannelName},
    service::Database,
    store::{OptOut, OptOutBy, StandingOptOut, Undone, Whom},
};

/// Below the options: how it differs from a list.
const ABOUT: &str = "\
A person who is suppressed is not written to by any task and through any
channel, from the next permit on. Whoever says STOP is suppressed so at once.
A SuppressionList does the same from a manifest; its people leave it only there.

A name that the system behind an `api` channel gives a person is that channel's
own; where it may mean several people, --channel says whom. A list shows it as
CHANNEL/NAME.

Addresses are shown on a terminal; anywhere else only with --show-addresses.";

/// Below the options: when it may be done.
const ABOUT_UNDOING: &str = "\
Do this only for a person who asked to be written to again: the reason stays on
record. It lifts what STOP, `nuncio suppress` and `nuncio forget` forbid, and
takes nobody off a SuppressionList.";

/// Further than this nobody reads, and history need not keep it.
const REASON_MAX: usize = 500;

#[derive(clap::Args, Debug)]
#[command(after_long_help = ABOUT)]
pub(super) struct Args {
    /// The person: a phone, `@name`, VKontakte id, or an id as `nuncio dialogues` shows it; without one, a list
    // An id of a community begins with a minus.
    #[arg(allow_negative_numbers = true)]
    person: Option<String>,
    /// The `api` channel whose system gave the person this name, where it may mean another
    #[arg(long, value_name = "NAME", requires = "person")]
    channel: Option<ChannelName>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", requires = "person", value_parser = reason())]
    reason: Option<String>,
    /// Show addresses also where no terminal is
    #[arg(long, conflicts_with = "person")]
    show_addresses: bool,
}

#[derive(clap::Args, Debug)]
#[command(after_long_help = ABOUT_UNDOING)]
pub(super) struct UndoArgs {
    #[command(flatten)]
    person: PersonArgs,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", value_parser = reason())]
    reason: String,
}

fn reason() -> NonEmptyStringValueParser {
    NonEmptyStringValueParser::new()
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let Some(text) = &args.person else { return list(common, args.show_addresses, output).await };
    let database = Database::open(&common.database()).await?;
    let whom = person::find(&database.store, text, args.channel.as_ref()).await?;
    let (addresses, channel) = match whom {
        Whom::Everywhere(addresses) => (addresses, None),
        Whom::On { channel, name } => (vec![name.on(&channel)], Some(channel)),
    };
    let by = config::actor();
    let why: Option<String> =
        args.reason.as_ref().map(|reason| reason.chars().take(REASON_MAX).collect());
    let mut is_news = false;
    for address in &addresses {
        is_news |= database
            .store
            .suppress(&OptOut {
                address,
                by: OptOutBy::Operator(&by),
                task: None,
                channel: channel.as_ref(),
                dialogue: None,
                reason: why.as_deref(),
            })
            .await?;
    }
    database.store.wake_others().await?;
    let who = named(&addresses);
    output.note(&if is_news {
        format!("Suppressed: {who}. No task writes to them any more.")
    } else {
        format!("Suppressed already: {who}.")
    });
    Ok(ExitStatus::Success)
}

/// Who was meant, for whoever meant somebody else.
fn named(addresses: &[Address]) -> String {
    let shows = io::stderr().is_terminal();
    let named: Vec<String> = addresses
        .iter()
        .map(|address| {
            let is_id = address.as_str().bytes().all(|b| b.is_ascii_digit());
            let what = if is_id { " (a VKontakte id)" } else { "" };
            format!("{}{what}", shown(address.as_str(), shows))
        })
        .collect();
    named.join(" and ")
}

async fn list(
    common: &Common,
    shows_addresses: bool,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let (opt_outs, total) = database.store.list_opt_outs().await?;
    let shows_addresses = shows_addresses || io::stdout().is_terminal();
    if opt_outs.is_empty() {
        output.note("Nobody is suppressed but by the lists of the manifests.");
    }
    let n_shown = opt_outs.len() as u64;
    for StandingOptOut { address, at, by, language, task, channel, reason } in opt_outs {
        let address = shown(address.as_str(), shows_addresses);
        let by = match language {
            Some(language) => format!("said STOP ({language})"),
            None => format!("by {by}"),
        };
        let told = [
            task.map(|task| format!("task {task}")),
            channel.map(|channel| format!("channel {channel}")),
            reason,
        ];
        let told: Vec<String> = told.into_iter().flatten().collect();
        let line = format!(
            "{}  {address:<16}  {by}  {}",
            at.format("%Y-%m-%d %H:%M UTC"),
            told.join("  ")
        );
        output.data(line.trim_end());
    }
    if total > n_shown {
        output.note(&format!("… and {} more, which are older", total - n_shown));
    }
    Ok(ExitStatus::Success)
}

pub(super) async fn undo(
    common: &Common,
    args: &UndoArgs,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let whom = args.person.find(&database.store).await?;
    let by = config::actor();
    let why: String = args.reason.chars().take(REASON_MAX).collect();
    let Undone { was_opted_out, was_forgotten, lists } =
        database.store.unsuppress(&whom, &by, &why).await?;
    let is_undone = was_opted_out || was_forgotten;
    database.store.wake_others().await?;
    if is_undone {
        output.note("The person is not suppressed any more.");
        if lists.is_empty() {
            output.note("Tasks that passed them over meanwhile write to them in a few minutes.");
        }
    }
    if was_forgotten {
        output.hint(
            "what was sent to them is not remembered: a task that has them in its audience writes its opening, also \
             if they had it before",
        );
    }
    if !lists.is_empty() {
        output.error(&format!(
            "the person stays on a list of the manifests, and is not written to: {}",
            lists.join(", ")
        ));
        output.hint("take them off there, and apply it");
        return Ok(ExitStatus::Rejected);
    }
    if !is_undone {
        output.error("the person is not suppressed");
        return Ok(ExitStatus::Rejected);
    }
    Ok(ExitStatus::Success)
}
