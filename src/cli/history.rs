//! `nuncio history`: what was written, by whom, and from which commit.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    Common, ExitStatus,
    failure::FORMAT_VERSION,
    output::{AnswerForm, Output},
    revision::{RevisionJson, line},
};
use crate::{
    domain::subject::Subject,
    service::Database,
    store::{Detail, REVISIONS_MAX},
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Only revisions of this task, or of a resource, as `Channel/NAME`
    subject: Option<Subject>,
    /// How many, the newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=REVISIONS_MAX))]
    limit: i64,
    /// How the history is written
    #[arg(long, value_enum, default_value_t)]
    output: AnswerForm,
}

#[derive(Serialize)]
struct HistoryJson<'a> {
    format_version: &'static str,
    revisions: Vec<RevisionJson<'a>>,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let store = &database.store;
    let mut revisions = store.list_revisions(args.subject.as_ref(), args.limit).await?;
    let detail = match args.output {
        AnswerForm::Human => Detail::Actions,
        AnswerForm::Json => Detail::Fields,
    };
    store.read_revision_changes(&mut revisions, args.subject.as_ref(), detail).await?;
    match args.output {
        AnswerForm::Json => output.json(&HistoryJson {
            format_version: FORMAT_VERSION,
            revisions: revisions.iter().map(RevisionJson::of).collect(),
        }),
        AnswerForm::Human if revisions.is_empty() => output.note(&match &args.subject {
            Some(subject) => format!("Nothing was written of {subject} yet."),
            None => "Nothing was applied yet.".to_owned(),
        }),
        AnswerForm::Human => {
            let mut text = String::new();
            for revision in &revisions {
                text.push_str(&line(revision));
                text.push('\n');
                if let Some(message) = &revision.provenance.message {
                    writeln!(text, "       {}", message.replace('\n', " "))
                        .expect("a String takes all text");
                }
            }
            output.data(&text);
        }
    }
    Ok(ExitStatus::Success)
}
