//! `nuncio forecast`: what will happen to the tasks that were applied.

use chrono::{DateTime, Utc};

use super::{
    Common, ExitStatus,
    failure::{BadArgument, NotFound},
    output::Output,
    values,
};
use crate::{
    domain::{
        forecast::{ForecastFacts, Part},
        id::TaskName,
    },
    plan::forecast::{forecast, render_forecast, render_forecast_json, render_forecast_svg},
    service::Database,
    store::Store,
};

/// What a reader of a terminal takes in at a glance.
const WIDTH: usize = 80;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Only these tasks; one that does not run is forecast as if it were started now. Without a name:
    /// every running task
    names: Vec<TaskName>,
    /// How the forecast is written
    #[arg(long, value_enum, default_value_t)]
    output: Format,
    /// Forecast from this day or time on, as `2027-02-01` or `2027-02-01T09:00:00Z`, as if nothing were
    /// sent until then
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Sentences and small charts
    #[default]
    Human,
    /// One JSON value
    Json,
    /// A picture
    Svg,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let mut facts = database.store.read_forecast_facts().await?;
    for name in &args.names {
        if !facts.tasks.contains_key(name) {
            return Err(no_forecast(&database.store, name).await?);
        }
        facts.assume_started(name);
    }
    let from = args.at.unwrap_or(facts.counted_at);
    if from < facts.counted_at {
        let past =
            format!("--at {} is in the past; a forecast begins now or later", from.to_rfc3339());
        return Err(BadArgument(past).into());
    }
    let foreseen = forecast(&facts, from);
    let shown = foreseen.only(|name| is_asked_for(name, args, &facts));
    if shown.tasks.is_empty() && args.output == Format::Human {
        output.note("No task that writes first is running; name one to see what it would do.");
        return Ok(ExitStatus::Success);
    }
    output.data(&match args.output {
        Format::Human => render_forecast(&shown, output.stdout_color, WIDTH),
        Format::Json => render_forecast_json(&shown),
        Format::Svg => render_forecast_svg(&shown),
    });
    Ok(ExitStatus::Success)
}

fn is_asked_for(name: &TaskName, args: &Args, facts: &ForecastFacts) -> bool {
    if args.names.is_empty() {
        facts.tasks.get(name).is_some_and(|task| task.part == Part::Runs)
    } else {
        args.names.contains(name)
    }
}

/// Why a task that was named has no forecast.
async fn no_forecast(store: &Store, name: &TaskName) -> anyhow::Result<anyhow::Error> {
    let applied = store.read_overview().await?;
    Ok(if applied.iter().any(|task| task.name == *name) {
        anyhow::anyhow!(
            "the task `{name}` only answers: it opens no dialogue that could be forecast"
        )
    } else {
        NotFound::task(name, applied.iter().map(|task| &task.name)).into()
    })
}
