//! `nuncio schema`: the JSON Schemas that editors and pipelines check with.

use super::{ExitStatus, findings::findings_schema, output::Output};
use crate::{manifest::manifest_schema, plan::plan_schema};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Of what
    #[arg(value_enum, default_value_t)]
    subject: Subject,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Subject {
    /// The manifests of a tasks folder
    #[default]
    Manifest,
    /// What `--output json` prints for findings, and for errors
    Findings,
    /// What `nuncio plan --output json` prints, and what a saved plan is
    Plan,
}

pub(super) fn run(args: &Args, output: Output) -> ExitStatus {
    let schema = match args.subject {
        Subject::Manifest => manifest_schema(),
        Subject::Findings => findings_schema(),
        Subject::Plan => plan_schema(),
    };
    output.data(&format!("{schema:#}"));
    ExitStatus::Success
}
