//! `nuncio audience`: the contacts of a task, with what became of each.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, IsTerminal as _, Write},
};

use anyhow::Context as _;
use serde::Serialize;

use super::{
    Common, ExitStatus,
    failure::{FORMAT_VERSION, NotFound},
    output::{ListForm, Output, unless_reader_left},
    sentence::hung,
    values,
};
use crate::{
    domain::{contact::ContactState, id::TaskName},
    service::Database,
    store::{ContactFate, FateReader, StoreError},
};

/// Below the options: who sees addresses, and how the numbers are to be read.
const ABOUT: &str = "\
Addresses are personal data. They are shown on a terminal; anywhere else only
with --show-addresses, and without it only their last characters. The position
finds a contact again.

The counts come first. `remaining` is who was not reached yet, also where an
opening is under way or will be tried again. `written` has those of an earlier
incarnation of the task too. Whoever is suppressed counts as `suppressed` here
at once; `nuncio status` counts him as remaining until his turn has come.";

#[derive(clap::Args, Debug)]
#[command(after_long_help = ABOUT)]
pub(super) struct Args {
    /// The task
    name: TaskName,
    /// Only contacts in this state
    #[arg(long, value_enum, default_value_t)]
    state: Wanted,
    /// At most so many contacts [default: 100, or all for csv and json]
    #[arg(long, value_name = "N", value_parser = values::count)]
    limit: Option<u64>,
    /// Show addresses also where no terminal is
    #[arg(long)]
    show_addresses: bool,
    /// How the contacts are written
    #[arg(long, value_enum, default_value_t)]
    output: ListForm,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Wanted {
    #[default]
    All,
    Remaining,
    Written,
    Suppressed,
    Failed,
    InDoubt,
}

/// More than a screen or two is for a file.
const HUMAN_LIMIT: u64 = 100;

impl Wanted {
    fn state(self) -> Option<ContactState> {
        Some(match self {
            Self::All => return None,
            Self::Remaining => ContactState::Remaining,
            Self::Written => ContactState::Written,
            Self::Suppressed => ContactState::Suppressed,
            Self::Failed => ContactState::Failed,
            Self::InDoubt => ContactState::InDoubt,
        })
    }
}

type Counts = BTreeMap<ContactState, u64>;

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let name = &args.name;
    let database = Database::open(&common.database()).await?;
    let store = &database.store;
    let tasks = store.read_overview().await?;
    let task = tasks.iter().find(|task| task.name == *name);
    let task = task.ok_or_else(|| NotFound::task(name, tasks.iter().map(|task| &task.name)))?;
    anyhow::ensure!(task.outgoing, "task `{name}` only answers: it has no audience");
    let counts = store.count_fates(task.id, name).await?;
    let of_state = |state| counts.get(&state).copied().unwrap_or(0);
    let n_wanted = args.state.state().map_or_else(|| counts.values().sum(), of_state);
    let default = if args.output == ListForm::Human { HUMAN_LIMIT } else { u64::MAX };
    let limit = args.limit.unwrap_or(default);
    let shows_addresses = args.show_addresses || io::stdout().is_terminal();
    let mut fates = Fates {
        reader: store.read_fates(task.id, name),
        wanted: args.state.state(),
        left: limit,
        shows_addresses,
    };
    let told = told(name, &counts);
    match args.output {
        ListForm::Human => {
            output.data(&told);
            fates.write(&mut Table(output.stream())).await?;
            let more = n_wanted.saturating_sub(limit);
            if more > 0 {
                output.note(&format!("… and {more} more; --limit N shows them"));
            }
        }
        ListForm::Csv => {
            output.note(&told);
            fates.write(&mut Csv(csv::Writer::from_writer(output.stream()))).await?;
        }
        ListForm::Json => {
            let mut json = Json { to: output.stream(), is_first: true };
            unless_reader_left(json.begin(name, &counts))?;
            let written = fates.write(&mut json).await;
            // The value is whole even if the database is not there any more.
            unless_reader_left(json.end(written.is_ok() && n_wanted <= limit))?;
            written?;
        }
    }
    if !shows_addresses && n_wanted > 0 {
        output.note("The addresses are masked; --show-addresses shows them.");
    }
    Ok(ExitStatus::Success)
}

fn told(name: &TaskName, counts: &Counts) -> String {
    let total: u64 = counts.values().sum();
    let noun = if total == 1 { "contact" } else { "contacts" };
    let states: Vec<String> = counts
        .iter()
        .map(|(state, n)| format!("{n} {}", state.as_str().replace('-', " ")))
        .collect();
    hung(&format!("{name}: {total} {noun}: {}", states.join(", ")), 2)
}

/// The contacts that are asked for, as they come.
struct Fates<'s> {
    reader: FateReader<'s>,
    wanted: Option<ContactState>,
    left: u64,
    shows_addresses: bool,
}

impl Fates<'_> {
    async fn write(&mut self, form: &mut impl Rows) -> anyhow::Result<()> {
        match self.write_all(form).await {
            Err(Stopped::Writing(error)) => {
                unless_reader_left(Err(error)).context("cannot write the contacts")
            }
            Err(Stopped::Reading(error)) => Err(error.into()),
            Ok(()) => Ok(()),
        }
    }

    async fn write_all(&mut self, form: &mut impl Rows) -> Result<(), Stopped> {
        while self.left > 0
            && let Some(page) = self.reader.next_page().await.map_err(Stopped::Reading)?
        {
            for fate in page {
                if self.left == 0 {
                    break;
                }
                if self.wanted.is_none_or(|wanted| wanted == fate.state) {
                    form.row(&fate, self.shows_addresses).map_err(Stopped::Writing)?;
                    self.left -= 1;
                }
            }
        }
        form.flush().map_err(Stopped::Writing)
    }
}

/// Why not everything was written.
enum Stopped {
    Reading(StoreError),
    Writing(io::Error),
}

/// How a contact is written.
trait Rows {
    fn row(&mut self, fate: &ContactFate, shows_address: bool) -> io::Result<()>;
    fn flush(&mut self) -> io::Result<()>;
}

struct Table<W>(W);

/// Enough to know one's own contact by, too little for anybody else.
const MASKED_END: usize = 4;

/// An address as it is shown: of one that is not, at most half.
pub(super) fn shown(address: &str, shows_address: bool) -> Cow<'_, str> {
    if shows_address {
        return Cow::Borrowed(address);
    }
    let n = address.chars().count();
    let hidden = n - MASKED_END.min(n / 2);
    Cow::Owned(format!("…{}", address.chars().skip(hidden).collect::<String>()))
}

impl<W: Write> Rows for Table<W> {
    fn row(&mut self, fate: &ContactFate, shows_address: bool) -> io::Result<()> {
        let ContactFate { position, address, state, channel, at, reason } = fate;
        let address = shown(address.as_str(), shows_address);
        let at = at.map(|at| at.format("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default();
        let channel = channel.as_deref().unwrap_or_default();
        let reason = reason.as_deref().unwrap_or_default();
        let line =
            format!("{position:>8}  {address:<16}  {state:<10}  {at:<20}  {channel}  {reason}");
        writeln!(self.0, "{}", line.trim_end())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A contact for programs.
#[derive(Serialize)]
struct Row<'a> {
    position: i64,
    /// Its last characters after `…`, unless addresses are shown.
    address: Cow<'a, str>,
    state: &'static str,
    channel: Option<&'a str>,
    at: Option<String>,
    reason: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn of(fate: &'a ContactFate, shows_address: bool) -> Self {
        let ContactFate { position, address, state, channel, at, reason } = fate;
        Self {
            position: *position,
            address: shown(address.as_str(), shows_address),
            state: state.as_str(),
            channel: channel.as_deref(),
            at: at.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
            reason: reason.as_deref(),
        }
    }
}

struct Csv<W: Write>(csv::Writer<W>);

impl<W: Write> Rows for Csv<W> {
    fn row(&mut self, fate: &ContactFate, shows_address: bool) -> io::Result<()> {
        // Its first row is the heading.
        self.0.serialize(Row::of(fate, shows_address)).map_err(io::Error::from)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// One value, written as it grows.
struct Json<W> {
    to: W,
    is_first: bool,
}

impl<W: Write> Json<W> {
    fn begin(&mut self, name: &TaskName, counts: &Counts) -> io::Result<()> {
        let counts: BTreeMap<String, u64> =
            counts.iter().map(|(state, n)| (state.as_str().replace('-', "_"), *n)).collect();
        let counts = serde_json::to_string(&counts)?;
        let to = &mut self.to;
        write!(to, "{{\n  \"format_version\": \"{FORMAT_VERSION}\",\n  \"task\": \"{name}\",\n")?;
        write!(to, "  \"counts\": {counts},\n  \"contacts\": [")?;
        Ok(())
    }

    fn end(&mut self, is_complete: bool) -> io::Result<()> {
        writeln!(self.to, "\n  ],\n  \"complete\": {is_complete}\n}}")?;
        self.to.flush()
    }
}

impl<W: Write> Rows for Json<W> {
    fn row(&mut self, fate: &ContactFate, shows_address: bool) -> io::Result<()> {
        let comma = if std::mem::take(&mut self.is_first) { "" } else { "," };
        let row = serde_json::to_string(&Row::of(fate, shows_address))?;
        write!(self.to, "{comma}\n    {row}")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
