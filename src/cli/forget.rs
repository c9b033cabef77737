//! `nuncio forget`: a person is erased, and never written to again.

use std::{
    io::{IsTerminal as _, stdin},
    time::Duration,
};

use super::{Common, ExitStatus, apply::confirm, output::Output, person::PersonArgs};
use crate::{
    config,
    domain::address::Address,
    service::Database,
    store::{Erased, Forgotten, Patience, Whom},
};

/// Below the options: what stays, and what it protects from.
const ABOUT: &str = "\
Erased are the person's contacts, attempts, dialogues and entries in suppression
lists, in the history too. What stays is that so many messages were sent, and a
keyed hash of the address, by which the person is never written to again, also
if an audience names them anew. The key is in the database: whoever has only the
hashes can tell nobody by them, whoever has the whole database can try addresses.

A person is erased under every address that channels told to be theirs, such as
a hidden id of WhatsApp. Of other addresses nobody knows whose they are: give
each of them. A name that the system behind an `api` channel gives a person is
that channel's own; where it may mean several people, --channel says whom.

Not erased are manifests, backups and logs of your providers.";

#[derive(clap::Args, Debug)]
#[command(after_long_help = ABOUT)]
pub(super) struct Args {
    #[command(flatten)]
    person: PersonArgs,
    /// Do not ask
    #[arg(long)]
    auto_approve: bool,
    /// How long to wait for another writer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    lock_timeout: Duration,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let whom = args.person.find(&database.store).await?;
    if !args.auto_approve {
        if !stdin().is_terminal() {
            output.error("nobody was forgotten: nobody can be asked, as stdin is no terminal");
            output.hint("give --auto-approve");
            return Ok(ExitStatus::Error);
        }
        let named = match &whom {
            Whom::Everywhere(addresses) => {
                let known = database.store.known_addresses(addresses).await?;
                known.iter().map(Address::as_str).collect::<Vec<_>>().join(" and ")
            }
            Whom::On { channel, name } => format!("{name} of channel {channel}"),
        };
        let question = format!("Erase {named} for good, and never write to them again?");
        if let Some(status) = confirm(output, &question).await? {
            output.note("Nobody was forgotten.");
            return Ok(status);
        }
    }
    let by = config::actor();
    let on_wait = |holder: &str| output.note(&format!("waiting for {holder}"));
    let patience = Patience { at_most: args.lock_timeout, on_wait: &on_wait };
    let Forgotten { tasks, lists, erased } = database.store.forget(&whom, &by, patience).await?;
    let named = tasks.iter().map(|task| format!("the audience of task `{task}`"));
    let named: Vec<String> =
        named.chain(lists.iter().map(|list| format!("suppression list `{list}`"))).collect();
    database.store.wake_others().await?;
    output.note("The person is forgotten, and is not written to again.");
    output.note(&told(&erased));
    if !named.is_empty() {
        output.hint(&format!("the manifests still name the person: {}", named.join(", ")));
    }
    Ok(ExitStatus::Success)
}

/// What was erased, and how much of it.
fn told(erased: &Erased) -> String {
    let Erased {
        addresses,
        contacts,
        dialogues,
        messages,
        attempts,
        drafts,
        deliveries,
        reports,
        opt_outs,
    } = erased;
    let counts = [
        (contacts, "contact", "contacts"),
        (dialogues, "dialogue", "dialogues"),
        (messages, "message", "messages"),
        (deliveries, "delivery of a channel", "deliveries of channels"),
        (drafts, "draft of an opening", "drafts of openings"),
        (reports, "report", "reports"),
        (opt_outs, "opt-out", "opt-outs"),
        (attempts, "attempt, which names nobody any more", "attempts, which name nobody any more"),
    ];
    let parts: Vec<String> = counts
        .iter()
        .filter(|(n, ..)| **n > 0)
        .map(|(n, one, many)| format!("{n} {}", if **n == 1 { one } else { many }))
        .collect();
    let under =
        if *addresses > 1 { format!(" under {addresses} addresses") } else { String::new() };
    if parts.is_empty() {
        return format!("Nothing was kept of the person{under}.");
    }
    format!("Erased{under}: {}.", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_erased_is_told_in_numbers() {
        assert_eq!(
            told(&Erased { addresses: 1, ..Erased::default() }),
            "Nothing was kept of the person."
        );
        let erased =
            Erased { addresses: 2, contacts: 1, messages: 14, attempts: 1, ..Erased::default() };
        let wanted = "Erased under 2 addresses: 1 contact, 14 messages, 1 attempt, which names nobody any more.";
        assert_eq!(told(&erased), wanted);
    }
}
