//! `nuncio db migrate`: brings the tables to this version, and says what it did.

use serde::Serialize;

use crate::{
    cli::{
        Common, ExitStatus,
        failure::FORMAT_VERSION,
        output::{AnswerForm, Output},
    },
    service::Server,
    store::{Examination, Pending},
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    output: AnswerForm,
}

#[derive(Serialize)]
struct Answer {
    format_version: &'static str,
    /// What was done, in its order; empty if the tables were this version's already.
    migrated: Vec<Migration>,
}

#[derive(Serialize)]
struct Migration {
    version: i64,
    description: String,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let server = Server::open(&common.database()).await?;
    let mut examination = Examination::connect(server.options.clone()).await?;
    examination.version().await?;
    let pending = examination.pending().await?;
    examination.close().await?;
    let database = server.connect().await?;
    database.store.close().await;
    match args.output {
        AnswerForm::Human => output.data(&told(&pending)),
        AnswerForm::Json => {
            let migration = |Pending { version, description }| Migration { version, description };
            let migrated = pending.into_iter().map(migration).collect();
            output.json(&Answer { format_version: FORMAT_VERSION, migrated });
        }
    }
    Ok(ExitStatus::Success)
}

fn told(pending: &[Pending]) -> String {
    let mut lines: Vec<String> = pending
        .iter()
        .map(|Pending { version, description }| format!("{version:04} {description}"))
        .collect();
    lines.push(match pending.len() {
        0 => "Nothing to do: the tables are this version's already.".to_owned(),
        1 => "Migrated: 1 migration was done.".to_owned(),
        n => format!("Migrated: {n} migrations were done."),
    });
    lines.join("\n")
}
