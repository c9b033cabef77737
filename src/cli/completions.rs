//! `nuncio completions`: what shells complete with, and the manual pages.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::{Shell, generate};
use clap_mangen::{Man, generate_to};

use super::{Cli, ENVIRONMENT, ExitStatus, output::Output};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Where shells look for them:
  bash   ~/.local/share/bash-completion/completions/nuncio
  zsh    _nuncio in a folder of $fpath
  fish   ~/.config/fish/completions/nuncio.fish

For example:
  nuncio completions fish > ~/.config/fish/completions/nuncio.fish
  nuncio completions man --into ~/.local/share/man/man1")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Completions for bash
    Bash,
    /// Completions for elvish
    Elvish,
    /// Completions for fish
    Fish,
    /// Completions for PowerShell
    Powershell,
    /// Completions for zsh
    Zsh,
    /// The manual page, or all of them as files
    Man {
        /// Write a page a command into this folder
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
    },
}

pub(super) fn run(args: &Args, output: Output) -> anyhow::Result<ExitStatus> {
    let shell = match &args.command {
        Command::Bash => Shell::Bash,
        Command::Elvish => Shell::Elvish,
        Command::Fish => Shell::Fish,
        Command::Powershell => Shell::PowerShell,
        Command::Zsh => Shell::Zsh,
        Command::Man { into: None } => {
            let mut page = Vec::new();
            Man::new(documented()).render(&mut page)?;
            output.data(&String::from_utf8(page)?);
            return Ok(ExitStatus::Success);
        }
        Command::Man { into: Some(folder) } => {
            write_pages(folder)?;
            output.note(&format!("The manual is in {}.", folder.display()));
            return Ok(ExitStatus::Success);
        }
    };
    let mut script = Vec::new();
    generate(shell, &mut documented(), "nuncio", &mut script);
    output.data(&String::from_utf8(script)?);
    Ok(ExitStatus::Success)
}

fn write_pages(folder: &Path) -> anyhow::Result<()> {
    let written = std::fs::create_dir_all(folder).and_then(|()| generate_to(documented(), folder));
    written.with_context(|| format!("the manual cannot be written into `{}`", folder.display()))
}

/// The commands that people use. Hidden ones are our own, and would be completed as well.
fn documented() -> clap::Command {
    let whole = Cli::command();
    without_hidden(&whole, "nuncio")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .after_long_help(ENVIRONMENT)
}

/// clap can add commands, and take none away.
fn without_hidden(command: &clap::Command, name: &'static str) -> clap::Command {
    let shown = command.get_subcommands().filter(|below| !below.is_hide_set());
    let shown: Vec<clap::Command> = shown
        .map(|below| {
            if !below.get_subcommands().any(clap::Command::is_hide_set) {
                return below.clone();
            }
            // clap wants a name for ever, and so few of them for one run are no loss.
            without_hidden(below, below.get_name().to_owned().leak())
        })
        .collect();
    let options = command.get_arguments().cloned().collect::<Vec<_>>();
    let bare = clap::Command::new(name).args(options).subcommands(shown);
    match command.get_about() {
        Some(about) => bare.about(about.clone()),
        None => bare,
    }
}
