//! `nuncio resolve`: what became of attempts in doubt, by an operator's word.

use super::{Common, ExitStatus, output::Output};
use crate::{config, domain::id::AttemptId, service::Database, store::Resolution};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The attempt, by its number; without one, those in doubt are listed
    attempt: Option<i64>,
    /// What became of it
    #[arg(value_enum, requires = "attempt")]
    resolution: Option<Word>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Word {
    /// It arrived
    Sent,
    /// It did not arrive: write to the contact again
    Retry,
    /// Nobody knows: do not write to the contact again
    Drop,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let store = &database.store;
    let (Some(attempt), Some(word)) = (args.attempt, args.resolution) else {
        anyhow::ensure!(args.attempt.is_none(), "say what became of it: sent, retry or drop");
        let doubtful = store.list_doubtful().await?;
        if doubtful.is_empty() {
            output.note("No attempt is in doubt.");
        }
        for one in doubtful {
            output.data(&format!(
                "{}  {}  task {}  channel {}  {}  {}",
                one.attempt,
                one.granted_at.format("%Y-%m-%d %H:%M:%S UTC"),
                one.task,
                one.channel,
                one.address,
                one.reason
            ));
        }
        return Ok(ExitStatus::Success);
    };
    let resolution = match word {
        Word::Sent => Resolution::Sent,
        Word::Retry => Resolution::Retry,
        Word::Drop => Resolution::Drop,
    };
    if store.resolve(AttemptId(attempt), resolution, &config::actor()).await? {
        store.wake_others().await?;
        output.note(&format!("attempt {attempt} is resolved"));
        return Ok(ExitStatus::Success);
    }
    output.error(&format!(
        "attempt {attempt} is not in doubt, or its contact is not in the audience any more"
    ));
    output.hint("`nuncio resolve` lists those that are");
    Ok(ExitStatus::Rejected)
}
