//! `nuncio history`: what was written, by whom, and from which commit.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    Common, ExitStatus,
    failure::FORMAT_VERSION,
    names::no_history,
    output::{AnswerForm, Output},
    revision::{RevisionJson, line},
    sentence::hung,
    values,
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
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = limit)]
    limit: i64,
    /// How the history is written
    #[arg(long, value_enum, default_value_t)]
    output: AnswerForm,
}

fn limit(text: &str) -> Result<i64, String> {
    values::count_within(text, 1..=REVISIONS_MAX)
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
    if let Some(subject) = args.subject.as_ref().filter(|_| revisions.is_empty()) {
        return Err(no_history(store, subject).await?.into());
    }
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
        AnswerForm::Human if revisions.is_empty() => output.note("Nothing was applied yet."),
        AnswerForm::Human => {
            let mut text = String::new();
            for revision in &revisions {
                text.push_str(&line(revision));
                text.push('\n');
                if let Some(message) = &revision.provenance.message {
                    let message = format!("       {}", message.replace('\n', " "));
                    writeln!(text, "{}", hung(&message, 7)).expect("a String takes all text");
                }
            }
            output.data(&text);
        }
    }
    Ok(ExitStatus::Success)
}
