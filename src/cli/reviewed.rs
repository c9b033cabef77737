//! Saved plans: reading one, and saying why it cannot be applied as it was reviewed.

use std::{collections::BTreeSet, fs::File, io::Read as _, path::Path};

use anyhow::Context as _;

use super::{output::Output, plan::Made};
use crate::{
    domain::{desired::DesiredTask, revision::Cause, subject::Subject},
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
    if let Some(applied) = applied_already(reviewed, &fresh, made, store).await? {
        output.error(&format!("nothing was applied: this plan was applied already{applied}"));
        return Ok(false);
    }
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

/// Whether all that was reviewed is live already, and as which revision: `, as revision 3`.
async fn applied_already(
    reviewed: &PlanDocument,
    fresh: &PlanDocument,
    made: &Made,
    store: &Store,
) -> anyhow::Result<Option<String>> {
    let mut revisions = BTreeSet::new();
    for change in &reviewed.changes {
        let subject: Subject = change.address.parse()?;
        let wanted = match &subject {
            Subject::Task(name) => {
                made.survey.desired.tasks.get(name).map(DesiredTask::manifest_digest)
            }
            Subject::Resource(key) => made.survey.desired.resources.get(key).map(|r| r.digest),
        };
        let is_wanted = change.manifest_digest == wanted.map(|digest| digest.to_string());
        let mut now = fresh.changes.iter().map(|change| &change.address);
        let mut refused = fresh.rejections.iter().map(|rejection| &rejection.address);
        let mut blocked = fresh.blocked.iter().map(|blocked| &blocked.address);
        let mut held = fresh.held.iter().map(|held| &held.address);
        let is_it = |address: &String| *address == change.address;
        if !is_wanted
            || now.any(is_it)
            || refused.any(is_it)
            || blocked.any(is_it)
            || held.any(is_it)
        {
            return Ok(None);
        }
        let newest = store.list_revisions(Some(&subject), REVISIONS_SEEN_MAX).await?;
        let applied = newest.iter().find(|revision| revision.provenance.cause == Cause::Apply);
        revisions.insert(applied.map(|revision| revision.number));
    }
    let one = revisions.first().copied().flatten().filter(|_| revisions.len() == 1);
    let told = one.map(|number| format!(", as revision {number}")).unwrap_or_default();
    Ok((!revisions.is_empty()).then_some(told))
}

/// Acts since the apply are passed over; after more of them than this its number is not told.
const REVISIONS_SEEN_MAX: i64 = 20;

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
