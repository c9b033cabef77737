//! The command line: one file a command, one printer, the exit codes.

mod act;
mod apply;
mod db;
mod look;
mod output;
mod plan;
mod resolve;
mod sentence;
mod status;
mod status_json;
mod validate;
mod watch;

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

use self::output::{ColorChoice, Output};
use crate::{
    config, domain::phase::Act, manifest::manifest_schema, service::DatabaseChoice, telemetry,
};

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
    Usage,
    Interrupted,
    Terminated,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Success => 0,
            ExitStatus::Error => 1,
            ExitStatus::Changes => 2,
            ExitStatus::Rejected => 3,
            ExitStatus::Stale => 4,
            ExitStatus::Locked => 5,
            ExitStatus::Usage => 64,
            ExitStatus::Interrupted => 130,
            ExitStatus::Terminated => 143,
        })
    }
}

/// Keep the tasks of a virtual sales department as its manifests say, and send their openings
#[derive(Debug, Parser)]
#[command(name = "nuncio", version, max_term_width = 100)]
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
        default_value = "tasks.d"
    )]
    tasks: PathBuf,
    /// The Postgres server, as `postgres://user@host/database`. A password belongs into
    /// `NUNCIO_DATABASE_URL`. Without either, a private server is used
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t)]
    color: ColorChoice,
    /// Say only what was asked for, and errors
    #[arg(long, short, global = true)]
    quiet: bool,
    /// How log lines are written
    #[arg(long, global = true, value_enum, default_value_t)]
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
    /// Show the tasks: what remains, why nothing moves, and what moves next
    Status(status::Args),
    /// Start a new task, or resume a stopped one
    Start(act::Args),
    /// Stop a task for now
    Pause(act::Args),
    /// Complete a task for good
    Stop(act::Args),
    /// Delete a completed task whose manifest is gone
    Delete(act::Args),
    /// Let a blocked channel send again
    Unblock(act::UnblockArgs),
    /// List attempts in doubt, or say what became of one
    Resolve(resolve::Args),
    /// Print the JSON Schema of the manifests
    Schema,
    /// The database's own commands
    #[command(hide = true)]
    Db(db::Args),
}

/// Runs the program that the arguments ask for.
pub fn main() -> ExitCode {
    run(std::env::args_os().collect()).into()
}

/// A reader of standard input cannot be interrupted; it must not hold the exit up.
const LEFT_BEHIND_DEADLINE: Duration = Duration::from_millis(200);

fn run(arguments: Vec<OsString>) -> ExitStatus {
    let Cli { common, command } = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors.
            let is_error = error.use_stderr();
            drop(error.print());
            return if is_error { ExitStatus::Usage } else { ExitStatus::Success };
        }
    };
    let output = Output::new(common.color, common.quiet);
    // Before any thread is started: the kernel ties the server to the thread that starts it.
    if let Command::Db(args) = &command {
        return db::run(args, output).unwrap_or_else(|error| output.fail(&error));
    }
    telemetry::start(config::log_filter(), common.log_format, common.quiet, output.stderr_color);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.fail(&error.into()),
    };
    let ended = runtime.block_on(dispatch(common, command, output));
    runtime.shutdown_timeout(LEFT_BEHIND_DEADLINE);
    ended.unwrap_or_else(|error| output.fail(&error))
}

async fn dispatch(common: Common, command: Command, output: Output) -> anyhow::Result<ExitStatus> {
    match command {
        Command::Validate(args) => validate::run(&common, &args, output),
        Command::Plan(args) => plan::run(&common, &args, output).await,
        Command::Apply(args) => apply::run(&common, &args, output).await,
        Command::Watch(args) => watch::run(&common, args, output).await,
        Command::Status(args) => status::run(&common, &args, output).await,
        Command::Start(args) => act::run(&common, &args, Act::Start, output).await,
        Command::Pause(args) => act::run(&common, &args, Act::Pause, output).await,
        Command::Stop(args) => act::run(&common, &args, Act::Stop, output).await,
        Command::Delete(args) => act::delete(&common, &args, output).await,
        Command::Unblock(args) => act::unblock(&common, &args, output).await,
        Command::Resolve(args) => resolve::run(&common, &args, output).await,
        Command::Schema => {
            output.data(&serde_json::to_string_pretty(&manifest_schema())?);
            Ok(ExitStatus::Success)
        }
        Command::Db(args) => db::run(&args, output),
    }
}
