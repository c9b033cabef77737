//! `nuncio spending`: what the AIs cost, by day, task, AI and model.

use chrono::{Days, NaiveDate};
use serde::Serialize;

use super::{
    Common, ExitStatus,
    failure::FORMAT_VERSION,
    names::expect_task,
    output::{ListForm, Output},
    values,
};
use crate::{
    clock,
    domain::{id::TaskName, money::MicroUsd},
    service::Database,
    store::{SpendingPart, SpendingSum},
};

/// Below the options: what is counted, and where one dialogue's is.
const ABOUT: &str = "\
A day is a UTC day, that of the call. A call that is under way, or was lost in a
crash, counts with the most that it can cost. What one dialogue has spent stands
in `nuncio dialogues` and `nuncio dialogue show`.";

#[derive(clap::Args, Debug)]
#[command(after_long_help = ABOUT)]
pub(super) struct Args {
    /// Only this task, over all of its incarnations
    #[arg(long, value_name = "NAME")]
    task: Option<TaskName>,
    /// Summed by these, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Day, Part::Task, Part::Model])]
    by: Vec<Part>,
    /// Only the last so many days, today included
    #[arg(long, value_name = "N", value_parser = days)]
    days: Option<i64>,
    /// At most so many sums [default: 50, or all for csv and json]
    #[arg(long, value_name = "N", value_parser = values::count)]
    limit: Option<u64>,
    /// How the sums are written
    #[arg(long, value_enum, default_value_t)]
    output: ListForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Day,
    Task,
    Ai,
    Model,
}

/// More than a screen or two is for a file.
const HUMAN_LIMIT: u64 = 50;
/// Years of days, tasks and models; an answer is held whole.
const SUMS_MAX: u64 = 1_000_000;
/// A century.
const DAYS_MAX: i64 = 36_600;

fn days(text: &str) -> Result<i64, String> {
    values::count_within(text, 1..=DAYS_MAX)
}

/// A sum for programs; amounts are exact decimals.
#[derive(Serialize)]
struct Row<'a> {
    day: Option<NaiveDate>,
    task: Option<&'a str>,
    ai: Option<&'a str>,
    model: Option<&'a str>,
    calls: u64,
    spent: String,
    input_tokens: u64,
    cached_input_tokens: u64,
    output_tokens: u64,
}

#[derive(Serialize)]
struct SpendingJson<'a> {
    format_version: &'static str,
    total: Row<'a>,
    sums: Vec<Row<'a>>,
    complete: bool,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let Args { task, by, days, limit, output: form } = args;
    let database = Database::open(&common.database()).await?;
    if let Some(task) = task {
        expect_task(&database.store, task).await?;
    }
    let parts: Vec<SpendingPart> = by.iter().map(|part| part.part()).collect();
    let since = days.and_then(|days| {
        clock::now().date_naive().checked_sub_days(Days::new(days.unsigned_abs().saturating_sub(1)))
    });
    let default = if *form == ListForm::Human { HUMAN_LIMIT } else { SUMS_MAX };
    let limit = limit.unwrap_or(default).min(SUMS_MAX);
    let sum = async |parts: &[SpendingPart], at_most| {
        database.store.sum_spending(task.as_ref(), since, parts, at_most).await
    };
    // One more than is shown says whether there are more.
    let mut sums = sum(&parts, limit + 1).await?;
    let total = sum(&[], 1).await?;
    let complete = sums.len() as u64 <= limit;
    sums.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let total = total.first();
    match form {
        ListForm::Human => {
            output.data(&told(total));
            if !sums.is_empty() {
                output.data(&table(&sums, by));
            }
            if !complete {
                output.note("… and more; --limit N shows them");
            }
        }
        ListForm::Csv => {
            output.note(&told(total));
            let mut csv = csv::Writer::from_writer(output.stream());
            for sum in &sums {
                csv.serialize(row(sum))?;
            }
            csv.flush()?;
        }
        ListForm::Json => output.json(&SpendingJson {
            format_version: FORMAT_VERSION,
            total: total.map_or_else(nothing, row),
            sums: sums.iter().map(row).collect(),
            complete,
        }),
    }
    Ok(ExitStatus::Success)
}

impl Part {
    fn part(self) -> SpendingPart {
        match self {
            Self::Day => SpendingPart::Day,
            Self::Task => SpendingPart::Task,
            Self::Ai => SpendingPart::Ai,
            Self::Model => SpendingPart::Model,
        }
    }

    fn head(self) -> &'static str {
        match self {
            Self::Day => "DAY",
            Self::Task => "TASK",
            Self::Ai => "AI",
            Self::Model => "MODEL",
        }
    }

    fn of(self, sum: &SpendingSum) -> String {
        let text = match self {
            Self::Day => sum.day.map(|day| day.to_string()),
            Self::Task => sum.task.clone(),
            Self::Ai => sum.ai.clone(),
            Self::Model => sum.model.clone(),
        };
        text.unwrap_or_default()
    }
}

fn row(sum: &SpendingSum) -> Row<'_> {
    Row {
        day: sum.day,
        task: sum.task.as_deref(),
        ai: sum.ai.as_deref(),
        model: sum.model.as_deref(),
        calls: sum.calls,
        spent: sum.spent.to_string(),
        input_tokens: sum.input_tokens,
        cached_input_tokens: sum.cached_input_tokens,
        output_tokens: sum.output_tokens,
    }
}

fn nothing<'a>() -> Row<'a> {
    Row {
        day: None,
        task: None,
        ai: None,
        model: None,
        calls: 0,
        spent: MicroUsd::default().to_string(),
        input_tokens: 0,
        cached_input_tokens: 0,
        output_tokens: 0,
    }
}

fn told(total: Option<&SpendingSum>) -> String {
    match total {
        Some(SpendingSum { calls, spent, .. }) if *calls > 0 || spent.micros() > 0 => {
            let noun = if *calls == 1 { "call" } else { "calls" };
            format!("${spent} spent, in {calls} {noun} of AIs")
        }
        _ => "Nothing was spent.".to_owned(),
    }
}

/// Names may have 63 characters, and models more; a line for people has not the room.
const CELL_MAX: usize = 24;

fn table(sums: &[SpendingSum], by: &[Part]) -> String {
    let short = |text: String| {
        if text.chars().count() <= CELL_MAX {
            return text;
        }
        text.chars().take(CELL_MAX - 1).chain(['…']).collect()
    };
    let mut rows = vec![by.iter().map(|part| part.head().to_owned()).collect::<Vec<_>>()];
    rows[0].extend(["CALLS", "SPENT"].map(str::to_owned));
    for sum in sums {
        let mut row: Vec<String> = by.iter().map(|part| short(part.of(sum))).collect();
        row.extend([sum.calls.to_string(), format!("${}", sum.spent)]);
        rows.push(row);
    }
    let columns = by.len() + 2;
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
