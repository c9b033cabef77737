//! `nuncio doctor`: everything that nuncio needs, looked at without changing it, and how to mend it.

mod check;
mod credentials;
mod database;
mod folder;
mod machine;

use serde::Serialize;

use self::check::{Check, Verdict};
use super::{
    Common, ExitStatus,
    failure::FORMAT_VERSION,
    output::{AnswerForm, Output},
};
use crate::config;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// How the checks are written
    #[arg(long, value_enum, default_value_t)]
    output: AnswerForm,
}

/// The checks as JSON.
#[derive(Serialize)]
struct Answer {
    format_version: &'static str,
    /// Whether no check failed.
    healthy: bool,
    checks: Vec<Check>,
}

pub(super) async fn run(common: &Common, args: &Args, output: Output) -> ExitStatus {
    let (mut checks, loaded) = folder::look(&common.tasks);
    let zones = loaded.as_ref().map(folder::zones).unwrap_or_default();
    let (of_database, purpose) = database::look(&common.database(), &zones).await;
    if let Some(loaded) = &loaded {
        checks.extend(credentials::look(&loaded.desired.resources, purpose));
        let by_https = config::public_url().is_some_and(|url| url.starts_with("https://"));
        let served = folder::Served { listens: config::listen().is_some(), by_https };
        checks.extend(folder::hosting(loaded, served));
    }
    checks.extend(of_database);
    checks.push(machine::git(&config::search_path()));
    checks.extend(machine::inotify(&common.tasks));
    checks.push(machine::locale(config::locale().as_deref()));
    let healthy = checks.iter().all(|check| check.verdict != Verdict::Fail);
    match args.output {
        AnswerForm::Human => {
            let lines: Vec<String> =
                checks.iter().map(|check| check.shown(output.stdout_color)).collect();
            output.data(&lines.join("\n"));
        }
        AnswerForm::Json => {
            output.json(&Answer { format_version: FORMAT_VERSION, healthy, checks });
        }
    }
    if healthy { ExitStatus::Success } else { ExitStatus::Error }
}
