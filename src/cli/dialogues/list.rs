//! `nuncio dialogues`: who is talked to, who waits, and what it costs.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _},
};

use anyhow::Context as _;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use super::{
    rows::{Csv, Form, Json, Rows, Table},
    words::{short, state_counts, wrote_after},
};
use crate::{
    cli::{
        Common, ExitStatus,
        names::{expect_channel, expect_person, expect_task},
        output::{ListForm, Output, columns, unless_reader_left},
        sentence::wrapped_to,
        values,
    },
    clock,
    domain::{
        address::Address,
        dialogue::DialogueState,
        id::{ChannelName, TaskName},
    },
    service::Database,
    store::{DialogueCounts, DialogueFilter, DialogueReader, Store, StoreError},
};

/// Below the options: in which order, who sees addresses, and who counts as waiting.
const ABOUT: &str = "\
The newest message comes first; with --waiting, who waits longest. A person
waits whose last message nobody has answered: for the AI where the dialogue is
open, else for an operator. `nuncio dialogue close` ends the waiting, too. Who
writes after a success mostly says thank you, and waits for nobody: they are
listed by --waiting --state succeeded.

Addresses are shown on a terminal; anywhere else only with --show-addresses,
and without it people read their end, and programs nothing. What was said is
shown as it was said.

The counts come first, of all states. They and each page are of their own
moment. `<` are the person's words, `>` are ours.";

#[derive(clap::Args, Debug)]
#[command(after_long_help = ABOUT)]
pub(in crate::cli) struct Args {
    /// Only dialogues of this task
    #[arg(long, value_name = "NAME")]
    task: Option<TaskName>,
    /// Only dialogues on this channel
    #[arg(long, value_name = "NAME")]
    channel: Option<ChannelName>,
    /// Only dialogues in this state
    #[arg(long, value_parser = state_parser())]
    state: Option<DialogueState>,
    /// Only where the person waits for an answer, the longest first
    #[arg(long)]
    waiting: bool,
    /// Only dialogues with this person: a phone, `@name`, VKontakte id or visitor
    #[arg(long, value_name = "ADDRESS", allow_negative_numbers = true)]
    person: Option<String>,
    /// At most so many dialogues [default: 50, or all for csv and json]
    #[arg(long, value_name = "N", value_parser = values::count)]
    limit: Option<u64>,
    /// Show addresses also where no terminal is
    #[arg(long)]
    show_addresses: bool,
    /// How the dialogues are written
    #[arg(long, value_enum, default_value_t)]
    output: ListForm,
}

/// More than a screen or two is for a file.
const HUMAN_LIMIT: u64 = 50;

fn state_parser() -> impl clap::builder::TypedValueParser<Value = DialogueState> {
    let words = DialogueState::ALL.iter().map(|state| state.as_str());
    PossibleValuesParser::new(words).try_map(|word| word.parse::<DialogueState>())
}

impl Args {
    /// Every name is one that there is, and a person is meant under every address that is known.
    async fn filter(&self, store: &Store) -> anyhow::Result<DialogueFilter> {
        let Self { task, channel, state, waiting, person, .. } = self;
        if let Some(task) = task {
            expect_task(store, task).await?;
        }
        if let Some(channel) = channel {
            expect_channel(store, channel).await?;
        }
        let mut peers = None;
        if let Some(person) = person {
            let known = store.known_addresses(&forms(person)).await?;
            let known: Vec<String> = known.iter().map(Address::to_string).collect();
            expect_person(store, &known).await?;
            peers = Some(known);
        }
        Ok(DialogueFilter {
            task: task.clone(),
            channel: channel.clone(),
            state: *state,
            peers,
            waiting: *waiting,
        })
    }
}

/// Every form that an address may have: a visitor's is as the page gave it out.
fn forms(person: &str) -> Vec<Address> {
    let mut all = Address::parse_any(person).unwrap_or_default();
    all.push(Address::from_stored(person.trim().to_owned()));
    all.sort();
    all.dedup();
    all
}

pub(in crate::cli) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let store = &database.store;
    let filter = args.filter(store).await?;
    let counts = store.count_dialogues(&filter).await?;
    let default = if args.output == ListForm::Human { HUMAN_LIMIT } else { u64::MAX };
    let mut lines = Lines {
        reader: store.read_dialogues(&filter),
        left: args.limit.unwrap_or(default),
        more: false,
    };
    let shows_addresses = args.show_addresses || io::stdout().is_terminal();
    let told = told(&counts);
    match args.output {
        ListForm::Human => {
            output.data(&told);
            let width = columns();
            let after_success =
                args.waiting && args.state.is_some_and(|state| state == DialogueState::Succeeded);
            let form = Form { width, shows_addresses, after_success };
            let mut table = Table { output, form, began: false };
            lines.write(&mut table).await?;
            if lines.more {
                output.note("… and more; --limit N shows them");
            }
        }
        ListForm::Csv => {
            output.note(&told);
            let to = csv::Writer::from_writer(output.stream());
            lines.write(&mut Csv { to, shows_addresses }).await?;
        }
        ListForm::Json => {
            let mut json = Json { to: output.stream(), shows_addresses, is_first: true };
            unless_reader_left(json.begin(&counts))?;
            let written = lines.write(&mut json).await;
            // The value is whole even if the database is not there any more.
            unless_reader_left(json.end(written.is_ok() && !lines.more))?;
            written?;
        }
    }
    if !shows_addresses && counts.states.values().any(|n| *n > 0) {
        output.note("The addresses are masked; --show-addresses shows them.");
    }
    Ok(ExitStatus::Success)
}

fn told(counts: &DialogueCounts) -> String {
    let DialogueCounts { states, successes, waiting_for_operator, longest_since, .. } = counts;
    let total: u64 = states.values().sum();
    let states = state_counts(states, *successes);
    let mut text = match total {
        0 => "No dialogue.".to_owned(),
        1 => format!("1 dialogue: {states}"),
        _ => format!("{total} dialogues: {states}"),
    };
    if let Some(since) = longest_since {
        let verb = if *waiting_for_operator == 1 { "waits" } else { "wait" };
        let longest = short(*since, clock::now());
        write!(text, "\n{waiting_for_operator} {verb} for an operator, the longest for {longest}")
            .expect("a String takes all text");
    }
    if counts.wrote_after_success > 0 {
        text.push('\n');
        text.push_str(&wrote_after(counts.wrote_after_success));
    }
    text.lines()
        .map(|line| wrapped_to(line, columns(), 2))
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// The dialogues that are asked for, as they come.
struct Lines<'s> {
    reader: DialogueReader<'s>,
    left: u64,
    /// There are more than were wanted.
    more: bool,
}

/// Why not everything was written.
enum Stopped {
    Reading(StoreError),
    Writing(io::Error),
}

impl Lines<'_> {
    async fn write(&mut self, form: &mut impl Rows) -> anyhow::Result<()> {
        match self.write_all(form).await {
            Err(Stopped::Writing(error)) => {
                unless_reader_left(Err(error)).context("cannot write the dialogues")
            }
            Err(Stopped::Reading(error)) => Err(error.into()),
            Ok(()) => Ok(()),
        }
    }

    async fn write_all(&mut self, form: &mut impl Rows) -> Result<(), Stopped> {
        while !self.more
            && let Some(mut page) = self.reader.next_page().await.map_err(Stopped::Reading)?
        {
            let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
            self.more = page.len() > wanted;
            page.truncate(wanted);
            self.left -= page.len() as u64;
            form.page(&page).map_err(Stopped::Writing)?;
        }
        form.flush().map_err(Stopped::Writing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_looked_for_in_every_form() {
        let forms = |text| forms(text).iter().map(Address::to_string).collect::<Vec<_>>();
        assert_eq!(forms("8 912 345-67-89"), ["+79123456789", "8 912 345-67-89"]);
        assert_eq!(forms("@Anna_P"), ["@Anna_P", "@anna_p"]);
        assert_eq!(forms("-12345"), ["-12345"]);
        assert_eq!(forms("v-5f1c"), ["v-5f1c"]);
    }
}
