//! The command line: one file a command, one printer, the exit codes.

mod act;
mod adopt;
mod apply;
mod audience;
mod channel;
mod completions;
mod contacts;
mod db;
mod dialogues;
mod doctor;
mod explain;
mod explanations;
mod failure;
mod findings;
mod fmt;
mod forecast;
mod forget;
mod history;
mod import;
mod look;
mod names;
mod online;
mod output;
mod person;
mod plan;
mod progress;
mod rehearse;
mod rehearsed;
mod replace;
mod reports;
mod resolve;
mod reviewed;
mod revision;
mod rollback;
mod schema;
mod show;
mod sentence;
mod signals;
mod spending;
mod status;
mod status_json;
mod suppress;
mod tame;
mod usage;
mod validate;
mod values;
mod watch;

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use self::failure::ErrorCode;
use self::output::{ColorChoice, Output, answer_form};
use crate::{config, domain::phase::Act, service::DatabaseChoice, telemetry};

/// How a command ended, as the program's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    Success,
    /// Invalid manifests, I/O, the database, or our own failure.
    Error,
    /// Only with `--detailed-exitcode`.
    Changes,
    /// A rule forbids it.
    Rejected,
    /// Something changed between the plan and its apply.
    Stale,
    /// The writer's lock was not free in time.
    Locked,
    /// Applied in part, as `--keep-going` asks.
    Partial,
    Usage,
    Interrupted,
    Terminated,
}

impl ExitStatus {
    #[cfg(test)]
    const ALL: &'static [Self] = &[
        Self::Success,
        Self::Error,
        Self::Changes,
        Self::Rejected,
        Self::Stale,
        Self::Locked,
        Self::Partial,
        Self::Usage,
        Self::Interrupted,
        Self::Terminated,
    ];

    fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Error => 1,
            Self::Changes => 2,
            Self::Rejected => 3,
            Self::Stale => 4,
            Self::Locked => 5,
            Self::Partial => 6,
            Self::Usage => 64,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

/// Below the options of `nuncio --help`, and not of every command.
const ENVIRONMENT: &str = "\
Environment:
  NUNCIO_DATABASE_URL  The Postgres server; then DATABASE_URL. A password is put
                       here, never into an argument
  NUNCIO_DATA          The data folder of the private server
  NUNCIO_TASKS         As --tasks
  NUNCIO_GIT_URL       As `watch --git`; it may hold a password
  NUNCIO_NOTIFY_URL    As `watch --notify`; such an address is often a secret
  NUNCIO_LOG           The log's filter, such as `nuncio=debug`
  NUNCIO_ACTOR         Who acts, for the record
  NO_COLOR, CLICOLOR_FORCE

Exit codes: `nuncio explain exit-0` and so on; `nuncio explain` lists all.";

/// Keep the tasks of a virtual sales department as its manifests say, and send their openings
#[derive(Debug, Parser)]
#[command(name = "nuncio", version, max_term_width = 80, after_long_help = ENVIRONMENT)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command has.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Everywhere")]
struct Common {
    /// The folder of the manifests
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "NUNCIO_TASKS",
        hide_env = true,
        default_value = "tasks.d"
    )]
    tasks: PathBuf,
    /// `postgres://user@host/database`; a private server otherwise
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
    /// `auto`, `always` or `never`
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    color: ColorChoice,
    /// Say only what was asked for, and errors
    #[arg(long, short, global = true)]
    quiet: bool,
    /// `human` or `json`
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t)]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    log_format: telemetry::LogFormat,
}

impl Common {
    fn database(&self) -> DatabaseChoice {
        DatabaseChoice::of(self.database.clone(), &self.tasks)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check manifests; needs no database
    Validate(validate::Args),
    /// Show what an apply would do, and what it would refuse
    Plan(plan::Args),
    /// Make the database as the manifests say
    Apply(apply::Args),
    /// Follow the folder, apply what is allowed, and send openings
    Watch(watch::Args),
    /// Show what remains, why nothing moves, and what moves next
    Status(status::Args),
    /// Show what was written, by whom, and from which commit
    History(history::Args),
    /// Show a revision, a saved plan, or a task as it is live
    Show(show::Args),
    /// Show the contacts of a task, and what became of each
    Audience(audience::Args),
    /// List dialogues with people: who waits, and what was said last
    Dialogues(dialogues::ListArgs),
    /// Look into a dialogue, speak in it, take it over or give it back
    Dialogue(dialogues::Args),
    /// Show what the AIs cost, by day, task, AI and model
    Spending(spending::Args),
    /// Show what will happen: when audiences are exhausted, and the cost
    Forecast(forecast::Args),
    /// Try the folder out for real, on built-in providers
    Rehearse(rehearse::Args),
    /// Start a new task, or resume a stopped one
    Start(act::Args),
    /// Stop a task for now, or for a time
    Pause(act::PauseArgs),
    /// Complete a task for good
    Stop(act::Args),
    /// Delete a completed task whose manifest is gone
    Delete(act::Args),
    /// Show how channels stand, and ask providers about their accounts
    Channel(channel::Args),
    /// Let a blocked channel send again
    Unblock(act::UnblockArgs),
    /// Bring a task or a resource back to an earlier revision
    Rollback(rollback::Args),
    /// Write what is live into the manifest
    Adopt(adopt::Args),
    /// List openings and replies in doubt, or say what became of one
    Resolve(resolve::Args),
    /// Never write to a person again, on any task; or list who it is
    Suppress(suppress::Args),
    /// Let a person be written to again who asked for it
    Unsuppress(suppress::UndoArgs),
    /// Erase a person, and never write to them again
    Forget(forget::Args),
    /// List what integrations are told, or tell them again
    Reports(reports::Args),
    /// Print the JSON Schema of the manifests, or of findings
    Schema(schema::Args),
    /// Tell what a code means, and the way out
    Explain(explain::Args),
    /// Check everything that nuncio needs, and say how to mend it
    Doctor(doctor::Args),
    /// Print completions for a shell, or the manual
    Completions(completions::Args),
    /// Write manifests for what is in the database
    Import(import::Args),
    /// Bring manifests into the one layout
    Fmt(fmt::Args),
    /// Migrate the database, look at it, or guard it after a restore
    Db(db::Args),
}

/// Runs the program that the arguments ask for.
pub fn main() -> ExitCode {
    run(std::env::args_os().collect()).into()
}

/// A reader of standard input cannot be interrupted; it must not hold the exit up.
const LEFT_BEHIND_DEADLINE: Duration = Duration::from_millis(200);

fn run(arguments: Vec<OsString>) -> ExitStatus {
    let form = answer_form(&arguments);
    let Cli { common, command } = match parse(arguments) {
        Ok(cli) => cli,
        Err(error) => return Output::new(ColorChoice::Auto, false, form).usage(&error),
    };
    let output = Output::new(common.color, common.quiet, form);
    let ended = start(common, command, output);
    output.finish(ended.unwrap_or_else(|error| output.fail(&error)))
}

fn parse(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut command = usage::with_numbers_below_zero(Cli::command());
    let matches = command.try_get_matches_from_mut(arguments)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

fn start(common: Common, command: Command, output: Output) -> anyhow::Result<ExitStatus> {
    // Before any thread is started: the kernel ties the server to the thread that starts it.
    if let Command::Db(args) = &command
        && let Some(supervision) = args.supervision()
    {
        return supervision.run();
    }
    let (format, color) = (common.log_format, output.stderr_color);
    if let Some(wrong) = telemetry::start(config::log_filter(), format, common.quiet, color) {
        output.note(&format!("NUNCIO_LOG is no filter, such as `nuncio=debug`: {wrong}"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(dispatch(common, command, output));
    runtime.shutdown_timeout(LEFT_BEHIND_DEADLINE);
    ended
}

async fn dispatch(common: Common, command: Command, output: Output) -> anyhow::Result<ExitStatus> {
    match command {
        Command::Validate(args) => validate::run(&common, &args, output).await,
        Command::Plan(args) => plan::run(&common, &args, output).await,
        Command::Apply(args) => apply::run(&common, &args, output).await,
        Command::Watch(args) => watch::run(&common, args, output).await,
        Command::Status(args) => status::run(&common, &args, output).await,
        Command::History(args) => history::run(&common, &args, output).await,
        Command::Show(args) => show::run(&common, &args, output).await,
        Command::Rollback(args) => rollback::run(&common, &args, output).await,
        Command::Adopt(args) => adopt::run(&common, &args, output).await,
        Command::Audience(args) => audience::run(&common, &args, output).await,
        Command::Dialogues(args) => dialogues::list(&common, &args, output).await,
        Command::Dialogue(args) => dialogues::run(&common, &args, output).await,
        Command::Spending(args) => spending::run(&common, &args, output).await,
        Command::Forecast(args) => forecast::run(&common, &args, output).await,
        Command::Rehearse(args) => rehearse::run(&common, &args, output).await,
        Command::Start(args) => act::run(&common, &args, Act::Start, output).await,
        Command::Pause(args) => act::pause(&common, &args, output).await,
        Command::Stop(args) => act::run(&common, &args, Act::Stop, output).await,
        Command::Delete(args) => act::delete(&common, &args, output).await,
        Command::Channel(args) => channel::run(&common, &args, output).await,
        Command::Unblock(args) => act::unblock(&common, &args, output).await,
        Command::Resolve(args) => resolve::run(&common, &args, output).await,
        Command::Suppress(args) => suppress::run(&common, &args, output).await,
        Command::Unsuppress(args) => suppress::undo(&common, &args, output).await,
        Command::Forget(args) => forget::run(&common, &args, output).await,
        Command::Reports(args) => reports::run(&common, &args, output).await,
        Command::Schema(args) => Ok(schema::run(&args, output)),
        Command::Explain(args) => Ok(explain::run(&args, output)),
        Command::Doctor(args) => Ok(doctor::run(&common, &args, output).await),
        Command::Completions(args) => completions::run(&args, output),
        Command::Import(args) => import::run(&common, &args, output).await,
        Command::Fmt(args) => fmt::run(&common, &args, output),
        Command::Db(args) => db::run(&common, args, output).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at the short and the long help of a command and of those below it.
    fn assert_fits(command: &mut clap::Command) {
        let name = command.get_name().to_owned();
        let text = format!("{}\n{}", command.render_help(), command.render_long_help());
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
        command.get_subcommands_mut().for_each(assert_fits);
    }

    #[test]
    fn every_help_fits_a_terminal_of_80_columns() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        assert_fits(&mut command);
    }
}
