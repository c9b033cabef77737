//! A revision as people and programs read it.

use std::fmt::Write as _;

use serde::Serialize;

use super::sentence::hung;
use crate::{
    clock,
    domain::{
        contact::AudienceChange,
        fields::Fields,
        phase::Phase,
        revision::{Action, PhaseMove, Provenance, Revision, RevisionChange},
    },
    plan::{FieldChange, compare, render_field_changes, render_fields},
};

/// Characters of a commit that tell it apart.
const COMMIT_SHOWN: usize = 10;

/// A revision as data. New fields may come; none of these changes or goes within the format's major.
#[derive(Serialize)]
pub(super) struct RevisionJson<'a> {
    number: i64,
    /// RFC 3339.
    at: String,
    /// `apply`, `rollback`, `start`, `pause`, `stop`, `delete` or `resume`.
    cause: &'static str,
    by: &'a str,
    commit: Option<&'a str>,
    /// Whether the manifests differed from the commit; null where nobody could say.
    dirty: Option<bool>,
    message: Option<&'a str>,
    changes: Vec<ChangeJson>,
}

#[derive(Serialize)]
struct ChangeJson {
    /// `Kind/name`.
    address: String,
    /// `create`, `update`, `recreate` or `delete`.
    action: &'static str,
    fields: Vec<FieldJson>,
    phase: Option<PhaseJson>,
    audience: Option<AudienceJson>,
}

#[derive(Serialize)]
struct FieldJson {
    path: String,
    before: Option<String>,
    after: Option<String>,
}

#[derive(Serialize)]
struct PhaseJson {
    from: Option<&'static str>,
    to: &'static str,
}

#[derive(Serialize)]
struct AudienceJson {
    total: u64,
    added: u64,
    removed: u64,
    altered: u64,
}

impl<'a> RevisionJson<'a> {
    pub(super) fn of(revision: &'a Revision) -> Self {
        let Revision { number, at, provenance, changes } = revision;
        let Provenance { cause, by, commit, dirty, message } = provenance;
        Self {
            number: number.0,
            at: at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            cause: cause.as_str(),
            by,
            commit: commit.as_deref(),
            dirty: *dirty,
            message: message.as_deref(),
            changes: changes.iter().map(change_json).collect(),
        }
    }
}

fn change_json(change: &RevisionChange) -> ChangeJson {
    let shown = |change: FieldChange| FieldJson {
        path: change.path,
        before: change.before.map(|value| value.to_string()),
        after: change.after.map(|value| value.to_string()),
    };
    let RevisionChange { subject, action, phase, audience, .. } = change;
    ChangeJson {
        address: format!("{}/{}", subject.kind(), subject.name()),
        action: action.as_str(),
        fields: differences(change).into_iter().map(shown).collect(),
        phase: phase.map(|PhaseMove { from, to }| PhaseJson {
            from: from.map(Phase::as_str),
            to: to.as_str(),
        }),
        audience: audience.as_ref().map(|audience| {
            let AudienceChange { total, added, removed, altered, .. } = *audience;
            AudienceJson { total, added, removed, altered }
        }),
    }
}

/// The fields that a revision changed; all of them of a subject that is new or gone.
fn differences(change: &RevisionChange) -> Vec<FieldChange> {
    let none = Fields::default();
    match (&change.before, &change.after, change.action) {
        (None, None, _) => Vec::new(),
        // Only the phase changed.
        (Some(_), None, action) if action != Action::Delete => Vec::new(),
        (before, after, _) => {
            compare(before.as_ref().unwrap_or(&none), after.as_ref().unwrap_or(&none))
        }
    }
}

/// One line: number, time, who, what, and the commit.
pub(super) fn line(revision: &Revision) -> String {
    let Revision { number, at, provenance, changes } = revision;
    let Provenance { cause, by, commit, dirty, message: _ } = provenance;
    let mut text = format!("{number:>5}  {}  {cause} by {by}", at.format("%Y-%m-%d %H:%M:%S UTC"));
    let count = |action| changes.iter().filter(|change| change.action == action).count();
    let counts: Vec<String> = Action::ALL
        .iter()
        .map(|action| (count(*action), action))
        .filter(|(n, _)| *n > 0)
        .map(|(n, action)| format!("{n} {}", past(*action)))
        .collect();
    if !counts.is_empty() {
        write!(text, ": {}", counts.join(", ")).expect("a String takes all text");
    }
    if let Some(commit) = commit {
        let short: String = commit.chars().take(COMMIT_SHOWN).collect();
        let dirty = if *dirty == Some(true) { ", with changes that are not committed" } else { "" };
        write!(text, "  [{short}{dirty}]").expect("a String takes all text");
    }
    hung(&text, HANG)
}

/// Below the time, beside the numbers.
const HANG: usize = 7;

fn past(action: Action) -> &'static str {
    match action {
        Action::Create => "created",
        Action::Update => "updated",
        Action::Recreate => "recreated",
        Action::Delete => "deleted",
    }
}

/// All that a revision changed.
pub(super) fn render(revision: &Revision, color: bool) -> String {
    let mut text = format!("Revision {}\n", line(revision).trim_start());
    if let Some(message) = &revision.provenance.message {
        writeln!(text, "  {}", message.replace('\n', "\n  ")).expect("a String takes all text");
    }
    for change in &revision.changes {
        let symbol = match change.action {
            Action::Create => "+",
            Action::Update => "~",
            Action::Recreate => "-/+",
            Action::Delete => "-",
        };
        writeln!(text, "\n{symbol:>3} {}", change.subject).expect("a String takes all text");
        let now = clock::now();
        text.push_str(&match (change.action, &change.before, &change.after) {
            // What is gone is told by its name; its fields are in the revisions before.
            (Action::Delete, ..) => String::new(),
            (_, None, Some(after)) => render_fields(after, now, color),
            _ => render_field_changes(&differences(change), now, color),
        });
        if let Some(AudienceChange { total, added, removed, altered, .. }) = change.audience {
            writeln!(
                text,
                "      audience: {total} contacts, {added} added, {removed} removed, {altered} altered"
            )
            .expect("a String takes all text");
        }
        if let Some(PhaseMove { from, to }) = change.phase {
            let from = from.map_or("new", Phase::shown);
            writeln!(text, "      {from} → {}", to.shown()).expect("a String takes all text");
        }
    }
    text
}
