//! Saved plans: reading one, and saying why it cannot be applied as it was reviewed.

use std::{fs::File, io::Read as _, path::Path};

use anyhow::Context as _;

use super::{output::Output, plan::Made};
use crate::{
    domain::subject::Subject,
    plan::{PlanDocument, Stale, WhyStale, read_plan},
    store::Store,
};

/// A plan of ten thousand tasks is far below it.
const PLAN_BYTES_MAX: u64 = 256 * 1024 * 1024;

pub(super) fn read_reviewed(path: &Path) -> anyhow::Result<PlanDocument> {
    let unusable = || format!("the saved plan `{}` cannot be used", path.display());
    let mut text = String::new();
    let file = File::open(path).with_context(unusable)?;
    file.take(PLAN_BYTES_MAX).read_to_string(&mut text).with_context(unusable)?;
    read_plan(&text).with_context(unusable)
}

/// Whether all that was reviewed can still be done as it was; says what cannot.
pub(super) async fn is_current(
    reviewed: &PlanDocument,
    made: &Made,
    require_unchanged: bool,
    store: &Store,
    output: Output,
) -> anyhow::Result<bool> {
    let fresh = made.document();
    let mut problems = Vec::new();
    for stale in reviewed.find_stale(&fresh) {
        let last = match stale.address.parse::<Subject>() {
            Ok(subject) if stale.why == WhyStale::Changed => store.last_writer(&subject).await?,
            _ => None,
        };
        problems.push(told(&stale, last.as_deref()));
    }
    if require_unchanged {
        if fresh.manifests_digest != reviewed.manifests_digest {
            problems.push("the folder: its manifests changed since the review".to_owned());
        }
        problems.extend(reviewed.find_unreviewed(&fresh).iter().map(|stale| told(stale, None)));
    }
    Ok(report(problems, output))
}

/// Whether a fresh plan does nothing that was not reviewed; says what does.
pub(super) fn is_within(reviewed: &PlanDocument, made: &Made, output: Output) -> bool {
    let unreviewed = reviewed.find_unreviewed(&made.document());
    report(unreviewed.iter().map(|stale| told(stale, None)).collect(), output)
}

fn report(mut problems: Vec<String>, output: Output) -> bool {
    problems.dedup();
    if problems.is_empty() {
        return true;
    }
    output.error("nothing was applied: it is not what was reviewed any more");
    for problem in problems {
        output.note(&format!("  {problem}"));
    }
    output.hint("run `nuncio plan` again, and have it reviewed");
    false
}

fn told(stale: &Stale, last: Option<&str>) -> String {
    let why = match stale.why {
        WhyStale::ManifestChanged => "its manifest or its audience changed since the review",
        WhyStale::Changed => "it was changed since the plan was made",
        WhyStale::NotReviewed => "the reviewed plan does not change it",
        WhyStale::Different => "what would be done to it is not what was reviewed",
    };
    let last = last.map(|last| format!(" ({last})")).unwrap_or_default();
    format!("{}: {why}{last}", stale.address)
}
