//! `nuncio db`: the database's own commands.

use std::path::PathBuf;

use super::{ExitStatus, output::Output};
use crate::store::embedded::{Durability, supervise};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the private server of a data folder until nobody uses it
    #[command(hide = true)]
    Supervise {
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        programs: PathBuf,
        #[arg(long)]
        fast: bool,
    },
}

pub(super) fn run(args: &Args, _output: Output) -> anyhow::Result<ExitStatus> {
    match &args.command {
        Command::Supervise { data, programs, fast } => {
            let durability = if *fast { Durability::Fast } else { Durability::Durable };
            supervise(data, programs, durability)?;
            Ok(ExitStatus::Success)
        }
    }
}
