//! `nuncio forget`: a person is erased, and never written to again.

use std::{
    io::{IsTerminal as _, stdin},
    time::Duration,
};

use super::{Common, ExitStatus, apply::confirm, output::Output};
use crate::{
    config,
    domain::address::Address,
    service::Database,
    store::{Forgotten, Patience},
};

/// Below the options: what stays, and what it protects from.
const ABOUT: &str = "\
Erased are the person's contacts, attempts, dialogues and entries in suppression
lists, in the history too. What stays is that so many messages were sent, and a
keyed hash of the address, by which the person is never written to again, also
if an audience names them anew. The key is in the database: whoever has only the
hashes can tell nobody by them, whoever has the whole database can try addresses.

Not erased are manifests, backups, logs of your providers, and other addresses
of the same person: give each of them.";

#[derive(clap::Args, Debug)]
#[command(after_long_help = ABOUT)]
pub(super) struct Args {
    /// The person: a phone, `@name`, VKontakte id, or the id of a visitor of your page
    // An id of a community begins with a minus.
    #[arg(allow_negative_numbers = true)]
    person: String,
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
    let addresses = Address::parse_person(&args.person)?;
    if !args.auto_approve {
        if !stdin().is_terminal() {
            output.error("nobody was forgotten: nobody can be asked, as stdin is no terminal");
            output.hint("give --auto-approve");
            return Ok(ExitStatus::Error);
        }
        let named: Vec<&str> = addresses.iter().map(Address::as_str).collect();
        let question =
            format!("Erase {} for good, and never write to them again?", named.join(" and "));
        if let Some(status) = confirm(output, &question).await? {
            output.note("Nobody was forgotten.");
            return Ok(status);
        }
    }
    let database = Database::open(&common.database()).await?;
    let by = config::actor();
    let on_wait = |holder: &str| output.note(&format!("waiting for {holder}"));
    let mut named = Vec::new();
    let mut n_attempts = 0;
    for address in &addresses {
        let patience = Patience { at_most: args.lock_timeout, on_wait: &on_wait };
        let Forgotten { tasks, lists, attempts } =
            database.store.forget(address, &by, patience).await?;
        named.extend(tasks.iter().map(|task| format!("the audience of task `{task}`")));
        named.extend(lists.iter().map(|list| format!("suppression list `{list}`")));
        n_attempts += attempts;
    }
    database.store.wake_others().await?;
    output.note(&format!(
        "The person is forgotten, with {n_attempts} attempts at writing to them, and is not written to again."
    ));
    if !named.is_empty() {
        output.hint(&format!("the manifests still name the person: {}", named.join(", ")));
    }
    Ok(ExitStatus::Success)
}
