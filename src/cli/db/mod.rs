//! `nuncio db`: the database's own commands.

mod guard;
mod migrate;
mod psql;
mod status;

pub(super) use self::guard::standing;

use std::path::PathBuf;

use super::{Common, ExitStatus, output::Output};
use crate::store::embedded::{Durability, supervise};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Bring the tables to this version; every command does it anyway
    Migrate(migrate::Args),
    /// Show the server, its size, the migrations and what is inside; changes nothing
    Status(status::Args),
    /// Run `psql` on the database
    Psql(psql::Args),
    /// Show the backup guard, or turn it on or off; while it is on, nothing is sent
    Guard(guard::Args),
    /// Run the private server of a data folder until nobody uses it
    #[command(hide = true)]
    Supervise(Supervision),
}

#[derive(clap::Args, Debug)]
pub(super) struct Supervision {
    #[arg(long)]
    data: PathBuf,
    #[arg(long)]
    programs: PathBuf,
    #[arg(long)]
    fast: bool,
}

impl Args {
    pub(super) fn supervision(&self) -> Option<&Supervision> {
        match &self.command {
            Command::Supervise(supervision) => Some(supervision),
            _ => None,
        }
    }
}

impl Supervision {
    /// Stays on the thread that it is called on.
    pub(super) fn run(&self) -> anyhow::Result<ExitStatus> {
        let Self { data, programs, fast } = self;
        let durability = if *fast { Durability::Fast } else { Durability::Durable };
        supervise(data, programs, durability)?;
        Ok(ExitStatus::Success)
    }
}

pub(super) async fn run(common: &Common, args: Args, output: Output) -> anyhow::Result<ExitStatus> {
    match args.command {
        Command::Migrate(args) => migrate::run(common, &args, output).await,
        Command::Status(args) => status::run(common, &args, output).await,
        Command::Psql(args) => psql::run(common, &args).await,
        Command::Guard(args) => guard::run(common, &args, output).await,
        Command::Supervise(supervision) => supervision.run(),
    }
}
