//! Three-way truth: what git says, what was last applied, what is live.

use std::collections::BTreeSet;

use super::change::{Drift, FieldChange};
use crate::domain::{
    actual::Drifted,
    fields::{FieldValue, Fields},
};

/// Of a value in a sentence.
const SHOWN_MAX: usize = 60;

/// Two ways: how one specification differs from another.
pub fn compare(before: &Fields, after: &Fields) -> Vec<FieldChange> {
    let paths: BTreeSet<&str> = before.iter().chain(after.iter()).map(|(path, _)| path).collect();
    paths
        .into_iter()
        .filter(|path| before.get(path) != after.get(path))
        .map(|path| FieldChange {
            path: path.to_owned(),
            before: before.get(path).cloned(),
            after: after.get(path).cloned(),
        })
        .collect()
}

/// What leads from what is live to what is desired: apart what the manifest changed, and what somebody
/// changed who did not use it.
pub(super) fn three_way(
    applied: &Fields,
    drifted: Option<&Drifted>,
    desired: &Fields,
) -> (Vec<FieldChange>, Option<Drift>) {
    let Some(Drifted { live, at, by }) = drifted else {
        return (compare(applied, desired), None);
    };
    let is_wanted_still =
        |change: &FieldChange| applied.get(&change.path) == desired.get(&change.path);
    let (put_back, changed): (Vec<_>, Vec<_>) =
        compare(live, desired).into_iter().partition(is_wanted_still);
    let drift = (!put_back.is_empty()).then(|| Drift {
        fields: put_back,
        phase: None,
        at: *at,
        by: by.clone(),
    });
    (changed, drift)
}

/// A drift in one sentence: for where something else keeps it from being put back.
pub(super) fn besides(applied: &Fields, drifted: Option<&Drifted>) -> Option<String> {
    let Drifted { live, at: _, by } = drifted?;
    let changes = compare(applied, live);
    let shown = |value: &Option<FieldValue>| match value {
        None => "absent".to_owned(),
        Some(value) => value.to_string().chars().take(SHOWN_MAX).collect(),
    };
    let changes: Vec<String> = changes
        .iter()
        .map(|FieldChange { path, before, after }| {
            format!("`{path}` from {} to {}", shown(before), shown(after))
        })
        .collect();
    let by = by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    (!changes.is_empty()).then(|| format!("changed by other means{by}: {}", changes.join(", ")))
}
