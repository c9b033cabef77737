//! The comment as a whole: its head, its sections in their order, and its last line.

use std::fmt::Write as _;

use super::{
    code::{cell, code, shortened},
    fit::{Part, fit},
    part::{of_blocked, of_change, of_drift, of_held, of_rejection},
};
use crate::plan::document::{ChangeDocument, ForecastDocument, PlanDocument, SummaryDocument};

/// Found again by whoever updates the comment; the same as above the findings of manifests that are invalid.
pub const COMMENT_MARKER: &str = "<!-- nuncio:plan -->";
/// Comments on GitHub hold 65,536 characters; what a workflow adds has to fit as well.
pub(super) const BYTES_MAX: usize = 60_000;
/// What a section may say about what it leaves out.
const LEFT_OUT_BYTES_MAX: usize = 120;
/// What the foot may say about what is cut.
const CUT: &str = "Parts of it are cut for length; `nuncio plan` shows all.\n\n";
/// More new subjects than these are folded as one.
const OPEN_CREATIONS_MAX: usize = 10;
/// Forecasts that a reader takes in; `nuncio forecast` has them all.
const FORECASTS_MAX: usize = 10;
/// A commit is 40 digits, or 64; anything else is none.
const COMMIT_BYTES_MAX: usize = 64;

struct Section<'a> {
    title: &'static str,
    /// Folded as one, under this line.
    folded: Option<String>,
    parts: Vec<Part<'a>>,
}

impl<'a> Section<'a> {
    fn new(title: &'static str, parts: impl IntoIterator<Item = Part<'a>>) -> Self {
        Self { title, folded: None, parts: parts.into_iter().collect() }
    }

    /// What it takes beside its parts.
    fn frame(&self) -> [String; 2] {
        if self.parts.is_empty() {
            return [String::new(), String::new()];
        }
        let heading = format!("### {}\n\n", self.title);
        match &self.folded {
            None => [heading, "\n".to_owned()],
            Some(line) => [
                format!("{heading}<details><summary>{line}</summary>\n\n"),
                "\n</details>\n\n".to_owned(),
            ],
        }
    }

    fn write(&self, page: &mut String) {
        let [open, close] = self.frame();
        page.push_str(&open);
        for part in &self.parts {
            page.push_str(part.text());
        }
        let n_left_out = self.parts.iter().filter(|part| part.is_left_out()).count();
        if n_left_out > 0 {
            writeln!(page, "\n… and {n_left_out} more, left out for length.").expect(FITS);
        }
        // A blank line ends a section, and one is enough.
        page.push_str(if page.ends_with("\n\n") { close.trim_start() } else { &close });
    }
}

const FITS: &str = "a String takes all text";

/// Never longer than 60,000 bytes. What ends something, and what is forbidden, stands at the end, as in
/// every plan, and is the last to be cut: first its names are kept, then as much more as there is room.
pub fn render_markdown(plan: &PlanDocument) -> String {
    let has = |change: &ChangeDocument, action: &str| change.actions.iter().any(|a| a == action);
    let is_ending = |change: &&ChangeDocument| has(change, "delete");
    let is_new = |change: &&ChangeDocument| !has(change, "delete") && has(change, "create");
    let is_update = |change: &&ChangeDocument| {
        !has(change, "delete")
            && !has(change, "create")
            && change.action_reason.as_deref() != Some("drift")
    };
    let changes = |of: &dyn Fn(&&ChangeDocument) -> bool| -> Vec<Part<'_>> {
        plan.changes.iter().filter(of).map(of_change).collect()
    };
    let mut updates = Section::new("Updates", changes(&is_update));
    let mut creations = Section::new("New", changes(&is_new));
    if creations.parts.len() > OPEN_CREATIONS_MAX {
        creations.folded = Some(format!("{} objects are created", creations.parts.len()));
    }
    let drift = plan.drift.iter().map(of_drift);
    let mut drift = Section::new("Drifted from what was applied", drift);
    let mut held = Section::new("Held as they were", plan.held.iter().map(of_held));
    let mut forecast = Section::new("What will happen then", forecast(&plan.forecast));
    let mut rejected = Section::new("Rejected by rule", plan.rejections.iter().map(of_rejection));
    let mut blocked = Section::new("Blocked", plan.blocked.iter().map(of_blocked));
    let mut endings = Section::new("Deletions and recreations", changes(&is_ending));

    let head = head(plan);
    let last = last_line(&plan.summary);
    let sections = [&updates, &creations, &drift, &held, &forecast, &rejected, &blocked, &endings];
    let mut taken = head.len() + CUT.len() + last.len();
    for section in sections {
        let [open, close] = section.frame();
        taken += open.len() + close.len();
        taken += if section.parts.is_empty() { 0 } else { LEFT_OUT_BYTES_MAX };
    }
    let mut room = BYTES_MAX - taken;
    let by_weight = [
        [&mut endings, &mut rejected, &mut blocked],
        [&mut drift, &mut updates, &mut forecast],
        [&mut held, &mut creations, &mut Section::new("", [])],
    ];
    for sections in by_weight {
        fit(sections.into_iter().flat_map(|section| &mut section.parts), &mut room);
    }

    let sections = [&updates, &creations, &drift, &held, &forecast, &rejected, &blocked, &endings];
    let mut page = head;
    for section in sections {
        section.write(&mut page);
    }
    if !sections.iter().all(|section| section.parts.iter().all(Part::is_whole)) {
        page.push_str(CUT);
    }
    page.push_str(&last);
    page
}

fn head(plan: &PlanDocument) -> String {
    let SummaryDocument { create, update, recreate, delete, rejected, blocked, drifted, unchanged } =
        plan.summary;
    let counts = [
        (create, "to create"),
        (update, "to update"),
        (recreate, "to recreate"),
        (delete, "to delete"),
        (rejected, "rejected"),
        (blocked, "blocked"),
        (drifted, "drifted"),
    ];
    let told: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let told = if told.is_empty() { "nothing to do".to_owned() } else { told.join(", ") };
    let mut head = format!("{COMMENT_MARKER}\n## nuncio plan: {told}\n\n");
    if rejected + blocked > 0 {
        head.push_str("**Nothing is applied** while something is rejected or blocked.\n\n");
    } else if !plan.complete {
        head.push_str("**Not complete**: something is left out, held or invalid.\n\n");
    }
    if let Some(base) = &plan.base {
        let dirty =
            if base.dirty == Some(true) { ", with changes that are not committed" } else { "" };
        let commit = code(&shortened(&base.commit, COMMIT_BYTES_MAX));
        write!(head, "Of commit {commit}{dirty}. ").expect(FITS);
    }
    writeln!(head, "{unchanged} unchanged.\n").expect(FITS);
    head
}

/// The last line of every plan.
fn last_line(summary: &SummaryDocument) -> String {
    let SummaryDocument { create, update, recreate, delete, rejected, blocked, drifted, .. } =
        summary;
    format!(
        "Plan: {create} to create, {update} to update, {recreate} to recreate, {delete} to delete, \
         {rejected} rejected, {blocked} blocked, {drifted} drifted.\n"
    )
}

/// A short table, as one part.
fn forecast(all: &[ForecastDocument]) -> Option<Part<'_>> {
    (!all.is_empty()).then(|| Part::new(|_| forecast_table(all)))
}

fn forecast_table(all: &[ForecastDocument]) -> String {
    let mut table = "| task | left | a day | all are written to | US dollars at most |\n\
                     |---|--:|--:|---|--:|\n"
        .to_owned();
    for one in all.iter().take(FORECASTS_MAX) {
        let ForecastDocument { task, remaining, openings_per_day, part, greatest_cost, .. } = one;
        let by = match (&one.exhausted_on, &one.never) {
            (Some(day), _) => format!("by {}", cell(day)),
            (None, Some(why)) => format!("never: {}", cell(why)),
            (None, None) => "never".to_owned(),
        };
        let part = if part == "running" { String::new() } else { format!(", {}", cell(part)) };
        let cost = greatest_cost.as_deref().map_or_else(|| "?".to_owned(), cell);
        let task = cell(task);
        writeln!(table, "| {task} | {remaining} | {openings_per_day} | {by}{part} | {cost} |")
            .expect(FITS);
    }
    if let Some(rest) = all.len().checked_sub(FORECASTS_MAX).filter(|rest| *rest > 0) {
        writeln!(table, "\n{rest} more: `nuncio forecast` tells all.").expect(FITS);
    }
    table
}
