//! Saved plans: read back, and held against a fresh plan of the same folder and database.
//!
//! A saved plan is bound subject by subject to the generation it saw and to the manifest it read.
//! What happens to other subjects does not make it stale.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    change::{Plan, Wishes},
    document::{ChangeDocument, FORMAT_VERSION, PlanDocument, WishesDocument},
    documenting::address,
};
use crate::domain::id::TaskName;

/// Why a file is no plan that could be applied.
#[derive(Debug, thiserror::Error)]
pub enum UnusablePlan {
    #[error("it is no plan of `nuncio plan --out`")]
    NoPlan(#[source] serde_json::Error),
    #[error("its format is version {0}, and this program reads version {FORMAT_VERSION}")]
    UnknownFormat(String),
    #[error("it was changed after it was saved, or is incomplete")]
    Damaged,
    #[error("it names the task `{0}`, which is no name")]
    BadName(String),
}

/// Why a subject of a saved plan cannot be applied as it was reviewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    pub address: String,
    pub why: WhyStale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyStale {
    /// Its manifest, or its audience, is not the reviewed one.
    ManifestChanged,
    /// It was written to since.
    Changed,
    /// It would be changed, and the review did not see it.
    NotReviewed,
    /// Its manifest and its generation are the same, but what would be done is not: what it depends on
    /// is different.
    Different,
}

/// Reads a saved plan.
pub fn read_plan(text: &str) -> Result<PlanDocument, UnusablePlan> {
    #[derive(serde::Deserialize)]
    struct Head {
        format_version: String,
    }
    let head: Head = serde_json::from_str(text).map_err(UnusablePlan::NoPlan)?;
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if major(&head.format_version) != major(FORMAT_VERSION) {
        return Err(UnusablePlan::UnknownFormat(head.format_version));
    }
    let document: PlanDocument = serde_json::from_str(text).map_err(UnusablePlan::NoPlan)?;
    if document.digest.as_ref() != Some(&document.own_digest()) {
        return Err(UnusablePlan::Damaged);
    }
    Ok(document)
}

impl PlanDocument {
    /// What was allowed when the plan was made.
    pub fn wishes(&self) -> Result<Wishes, UnusablePlan> {
        let WishesDocument { recreate, stop_first, allow_shrink, max_delete, target } =
            &self.wishes;
        let names = |names: &[String]| -> Result<BTreeSet<TaskName>, UnusablePlan> {
            let parse =
                |name: &String| name.parse().map_err(|_| UnusablePlan::BadName(name.clone()));
            names.iter().map(parse).collect()
        };
        Ok(Wishes {
            recreate: names(recreate)?,
            stop_first: *stop_first,
            shrink: names(allow_shrink)?,
            max_delete: *max_delete,
            target: names(target)?,
        })
    }

    /// Holds the reviewed plan against a fresh one. Everything reviewed must be there, exactly; what
    /// else the fresh plan holds is not looked at.
    pub fn find_stale(&self, fresh: &Self) -> Vec<Stale> {
        let now = by_address(fresh);
        let mut stale = Vec::new();
        for reviewed in &self.changes {
            let why = match now.get(reviewed.address.as_str()) {
                Some(change) if bound(change) == bound(reviewed) => continue,
                Some(change) if change.manifest_digest != reviewed.manifest_digest => {
                    WhyStale::ManifestChanged
                }
                Some(change) if change.from_generation != reviewed.from_generation => {
                    WhyStale::Changed
                }
                Some(_) => WhyStale::Different,
                None => WhyStale::Changed,
            };
            stale.push(Stale { address: reviewed.address.clone(), why });
        }
        stale
    }

    /// Holds a fresh plan against a reviewed one that bounds it: it may do less, and nothing else.
    pub fn find_unreviewed(&self, fresh: &Self) -> Vec<Stale> {
        let reviewed = by_address(self);
        let mut unreviewed = Vec::new();
        for change in &fresh.changes {
            let why = match reviewed.get(change.address.as_str()) {
                Some(seen) if unbound(seen) == unbound(change) => continue,
                Some(seen) if seen.manifest_digest != change.manifest_digest => {
                    WhyStale::ManifestChanged
                }
                Some(_) => WhyStale::Different,
                None => WhyStale::NotReviewed,
            };
            unreviewed.push(Stale { address: change.address.clone(), why });
        }
        unreviewed
    }
}

impl Plan {
    /// Leaves only what a reviewed plan does; what is held is told all the same.
    pub fn only(mut self, reviewed: &PlanDocument) -> Self {
        let kept = by_address(reviewed);
        self.changes.retain(|change| kept.contains_key(address(&change.subject()).as_str()));
        self.rejections.clear();
        self.blocked.clear();
        self.refreshes.clear();
        self
    }
}

fn by_address(document: &PlanDocument) -> BTreeMap<&str, &ChangeDocument> {
    document.changes.iter().map(|change| (change.address.as_str(), change)).collect()
}

/// What a saved plan is bound to: not the line, which other documents move, and not the counts of people,
/// which sending moves.
fn bound(change: &ChangeDocument) -> ChangeDocument {
    ChangeDocument { line: None, file: None, consequences: None, ..change.clone() }
}

/// What a change does, whatever generation it starts from.
fn unbound(change: &ChangeDocument) -> ChangeDocument {
    ChangeDocument { from_generation: None, ..bound(change) }
}
