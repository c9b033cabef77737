//! `nuncio channel`: what connects us, and how it stands.

mod json;
mod login;
mod status;

use super::{Common, ExitStatus, output::Output};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(clap::Subcommand, Debug)]
enum Act {
    /// Show what stops a channel, and ask its provider about the account
    Status(status::Args),
    /// Sign in to the account of a `telegram-cloud` channel: asks for the code, and for the password
    Login(login::Args),
    /// End the session of the account of a `telegram-cloud` channel
    Logout(login::Args),
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    match &args.act {
        Act::Status(args) => status::run(common, args, output).await,
        Act::Login(args) => login::run(common, args, output).await,
        Act::Logout(args) => login::out(common, args, output).await,
    }
}
