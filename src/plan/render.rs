//! The plan as an operator reads it.

use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use similar::{ChangeTag, TextDiff};

use super::change::{Blocked, Change, Consequences, Drift, FieldChange, Held, Plan, Rejection};
use super::recreate::contacts;
use crate::domain::{
    address::Address,
    contact::AudienceChange,
    fields::{FieldValue, Fields},
    hours::WorkingHours,
    phase::Phase,
    subject::Subject,
};

const FIELD_WIDTH: usize = 35;
/// Unchanged lines around a changed one.
const CONTEXT_LINES: usize = 2;

const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";
const DIM: &str = "2";
const BOLD: &str = "1";

/// Writes a plan for people, with sentences about what will happen after it. `now` is asked only for the
/// offset of time zones on its day.
pub fn render_human(plan: &Plan, foreseen: &[String], now: DateTime<Utc>, color: bool) -> String {
    let mut page = Page { text: String::new(), now, color };
    // Writing to a string cannot fail.
    let _: fmt::Result = page.plan(plan, foreseen);
    page.text
}

/// Writes how fields differ, as a plan does.
pub fn render_field_changes(changes: &[FieldChange], now: DateTime<Utc>, color: bool) -> String {
    let mut page = Page { text: String::new(), now, color };
    let _: fmt::Result = page.field_changes(changes);
    page.text
}

/// Writes the fields of something new, as a plan does.
pub fn render_fields(fields: &Fields, now: DateTime<Utc>, color: bool) -> String {
    let mut page = Page { text: String::new(), now, color };
    let _: fmt::Result = page.fields(fields);
    page.text
}

struct Page {
    text: String,
    now: DateTime<Utc>,
    color: bool,
}

impl Page {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn plan(&mut self, plan: &Plan, foreseen: &[String]) -> fmt::Result {
        let is_change = |change: &&Change| !change.ends_something() && !change.only_reverts_drift();
        for change in plan.changes.iter().filter(is_change) {
            self.change(change)?;
        }
        let drifted = plan.changes.iter().filter_map(|change| Some((change, change.drift()?)));
        for (index, (change, drift)) in drifted.enumerate() {
            if index == 0 {
                self.heading("Drifted from what was applied, and put back by an apply:")?;
            }
            self.drift(&change.subject(), drift)?;
        }
        if !plan.held.is_empty() {
            self.heading("Held as they were:")?;
            for held in &plan.held {
                self.held(held)?;
            }
        }
        if !plan.rejections.is_empty() {
            self.heading("Rejected by rule:")?;
            for rejection in &plan.rejections {
                self.rejection(rejection)?;
            }
        }
        let endings: Vec<&Change> =
            plan.changes.iter().filter(|change| change.ends_something()).collect();
        if !endings.is_empty() || !plan.blocked.is_empty() {
            self.heading("Deletions and recreations:")?;
            for change in endings {
                self.change(change)?;
            }
            for blocked in &plan.blocked {
                self.blocked(blocked)?;
            }
        }
        if plan.changes.is_empty() && !plan.is_rejected() {
            writeln!(
                self.text,
                "Nothing to do: {} as the manifests say.\n",
                are(plan.n_unchanged)
            )?;
        }
        if !foreseen.is_empty() {
            self.heading("What will happen then:")?;
            for sentence in foreseen {
                writeln!(self.text, "  {}", sentence.replace('\n', "\n  "))?;
            }
            writeln!(self.text)?;
        }
        if plan.n_left_out > 0 {
            let n = plan.n_left_out;
            writeln!(self.text, "Left out beside the targets: {n}. The plan is not complete.\n")?;
        }
        let summary = self.paint(BOLD, &plan.summary().to_string());
        writeln!(self.text, "{summary}")
    }

    fn heading(&mut self, text: &str) -> fmt::Result {
        let text = self.paint(BOLD, text);
        writeln!(self.text, "{text}\n")
    }

    fn title(&mut self, symbol: &str, code: &str, subject: &Subject, place: &str) -> fmt::Result {
        let symbol = self.paint(code, &format!("{symbol:>3}"));
        let place = self.paint(DIM, place);
        writeln!(self.text, "{symbol} {subject}  {place}")
    }

    fn change(&mut self, change: &Change) -> fmt::Result {
        match change {
            Change::CreateResource { key, place, fields } => {
                self.title("+", GREEN, &Subject::Resource(key.clone()), &place.to_string())?;
                self.fields(fields)?;
            }
            Change::UpdateResource { key, place, fields, .. } => {
                self.title("~", YELLOW, &Subject::Resource(key.clone()), &place.to_string())?;
                self.field_changes(fields)?;
            }
            Change::CreateTask { name, place, fields, audience, phase } => {
                self.title("+", GREEN, &Subject::Task(name.clone()), &place.to_string())?;
                self.fields(fields)?;
                if let Some(audience) = audience {
                    self.new_audience(audience)?;
                }
                self.first_phase(*phase)?;
            }
            Change::UpdateTask { name, place, fields, audience, phase, .. } => {
                self.title("~", YELLOW, &Subject::Task(name.clone()), &place.to_string())?;
                self.field_changes(fields)?;
                if let Some(audience) = audience {
                    self.audience_change(audience)?;
                }
                if let Some(step) = phase {
                    let (from, to) = (step.from.shown(), step.to.shown());
                    writeln!(self.text, "      {} {from} → {to}", phase_symbol(step.to))?;
                }
            }
            Change::RecreateTask {
                name,
                place,
                fields,
                audience,
                phase,
                from_phase,
                consequences,
                ..
            } => {
                self.title("-/+", RED, &Subject::Task(name.clone()), &place.to_string())?;
                self.field_changes(fields)?;
                if let Some(audience) = audience {
                    self.new_audience(audience)?;
                }
                if *from_phase != Phase::Completed {
                    writeln!(self.text, "      ■ {} → completed", from_phase.shown())?;
                }
                writeln!(self.text, "      deleted, and created again with a new id")?;
                self.consequences(*consequences)?;
                self.first_phase(*phase)?;
            }
            Change::DeleteTask { name, from_phase, consequences, .. } => {
                self.title("-", RED, &Subject::Task(name.clone()), "its manifest is gone")?;
                if *from_phase != Phase::Completed {
                    writeln!(
                        self.text,
                        "      ■ {} → completed, then deleted",
                        from_phase.shown()
                    )?;
                }
                self.consequences(*consequences)?;
            }
            Change::DeleteResource { key, .. } => {
                let subject = Subject::Resource(key.clone());
                self.title("-", RED, &subject, "its manifest is gone")?;
            }
        }
        writeln!(self.text)
    }

    fn drift(&mut self, subject: &Subject, drift: &Drift) -> fmt::Result {
        let Drift { fields, phase, at, by } = drift;
        let at = at.map(|at| at.format(" at %Y-%m-%d %H:%M:%S UTC").to_string());
        let by = by.as_ref().map(|by| format!(" by {}", printable(by)));
        let seen = format!("changed{}{}", by.unwrap_or_default(), at.unwrap_or_default());
        self.title("?", YELLOW, subject, &seen)?;
        self.field_changes(fields)?;
        if let Some(step) = phase {
            let (from, to) = (step.from.shown(), step.to.shown());
            writeln!(self.text, "      {} {from} → {to}", phase_symbol(step.to))?;
        }
        if let Subject::Task(name) = subject {
            writeln!(
                self.text,
                "      hint: `nuncio adopt {name}` writes the live values into git"
            )?;
        }
        writeln!(self.text)
    }

    fn first_phase(&mut self, phase: Phase) -> fmt::Result {
        match phase {
            Phase::InProgress => writeln!(self.text, "      ▶ starts at once"),
            Phase::Awaiting => writeln!(self.text, "      ‖ awaits its start"),
            other => writeln!(self.text, "      ■ {}", other.shown()),
        }
    }

    fn consequences(&mut self, consequences: Consequences) -> fmt::Result {
        let Consequences { remaining, written } = consequences;
        writeln!(self.text, "      {} not reached yet", contacts(remaining))?;
        writeln!(
            self.text,
            "      {} written to, or in doubt: carried over, and not written to again",
            contacts(written)
        )
    }

    fn fields(&mut self, fields: &Fields) -> fmt::Result {
        for (path, value) in fields.iter() {
            let value = match value {
                FieldValue::Text(text) if text.trim_end().contains('\n') => {
                    writeln!(self.text, "      {path}")?;
                    for line in text.trim_end().lines() {
                        writeln!(self.text, "        | {}", printable(line))?;
                    }
                    continue;
                }
                FieldValue::List(items) if items.len() > 8 => {
                    format!("[{}, … {} in all]", items[..3].join(", "), items.len())
                }
                value => value.to_string(),
            };
            let note = self.utc_note(path, fields);
            writeln!(
                self.text,
                "      {path:<FIELD_WIDTH$} {}{note}",
                printable(value.trim_end())
            )?;
        }
        Ok(())
    }

    /// Hours in another zone are shown in UTC too: mistaking one for the other is the classic mistake.
    fn utc_note(&self, path: &str, fields: &Fields) -> String {
        if path != "outgoing.workingHours" {
            return String::new();
        }
        let of = |path: &str| fields.get(path).map(ToString::to_string).unwrap_or_default();
        hours_in_utc(&of("outgoing.workingHours"), &of("outgoing.timezone"), self.now)
    }

    fn field_changes(&mut self, fields: &[FieldChange]) -> fmt::Result {
        for FieldChange { path, before, after } in fields {
            match (before, after) {
                (Some(FieldValue::Text(old)), Some(FieldValue::Text(new)))
                    if old.contains('\n') || new.contains('\n') =>
                {
                    writeln!(self.text, "      {path}")?;
                    self.text_change(old, new)?;
                }
                (Some(FieldValue::List(old)), Some(FieldValue::List(new)))
                    if old.len().max(new.len()) > 8 =>
                {
                    writeln!(self.text, "      {path:<FIELD_WIDTH$} {}", list_change(old, new))?;
                }
                _ => {
                    let shown = |value: &Option<FieldValue>| match value {
                        Some(value) => printable(value.to_string().trim_end()),
                        None => "(absent)".to_owned(),
                    };
                    let (old, new) = (shown(before), shown(after));
                    writeln!(self.text, "      {path:<FIELD_WIDTH$} {old} → {new}")?;
                }
            }
        }
        Ok(())
    }

    fn text_change(&mut self, old: &str, new: &str) -> fmt::Result {
        let diff = TextDiff::from_lines(old, new);
        for group in diff.grouped_ops(CONTEXT_LINES) {
            for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
                let line = printable(change.value().trim_end_matches('\n'));
                let line = match change.tag() {
                    ChangeTag::Delete => self.paint(RED, &format!("- {line}")),
                    ChangeTag::Insert => self.paint(GREEN, &format!("+ {line}")),
                    ChangeTag::Equal => format!("  {line}"),
                };
                writeln!(self.text, "        {line}")?;
            }
        }
        Ok(())
    }

    fn new_audience(&mut self, audience: &AudienceChange) -> fmt::Result {
        let path = "outgoing.targetAudience";
        write!(self.text, "      {path:<FIELD_WIDTH$} {}", contacts(audience.total))?;
        self.duplicates(audience)
    }

    fn audience_change(&mut self, audience: &AudienceChange) -> fmt::Result {
        let path = "outgoing.targetAudience";
        let before = audience.total + audience.removed - audience.added;
        write!(self.text, "      {path:<FIELD_WIDTH$} {before} → {}", contacts(audience.total))?;
        self.duplicates(audience)?;
        let examples = |all: &[Address], count: u64| {
            let shown: Vec<&str> = all.iter().map(Address::as_str).collect();
            let more = if count > all.len() as u64 { ", …" } else { "" };
            format!("{count} ({}{more})", shown.join(", "))
        };
        if audience.added > 0 {
            let line = format!("+ {}", examples(&audience.added_examples, audience.added));
            let line = self.paint(GREEN, &line);
            writeln!(self.text, "        {line}")?;
        }
        if audience.removed > 0 {
            let line = format!("- {}", examples(&audience.removed_examples, audience.removed));
            let line = self.paint(RED, &line);
            writeln!(self.text, "        {line}")?;
        }
        if audience.altered > 0 {
            writeln!(self.text, "        ~ {} with other variables", audience.altered)?;
        }
        Ok(())
    }

    fn duplicates(&mut self, audience: &AudienceChange) -> fmt::Result {
        match audience.duplicates {
            0 => writeln!(self.text),
            1 => writeln!(self.text, ", 1 repeated line dropped"),
            n => writeln!(self.text, ", {n} repeated lines dropped"),
        }
    }

    fn held(&mut self, held: &Held) -> fmt::Result {
        self.title("‖", YELLOW, &held.subject, &held.file)?;
        writeln!(self.text, "      {}\n", held.message)
    }

    fn rejection(&mut self, rejection: &Rejection) -> fmt::Result {
        let Rejection {
            code,
            subject,
            place,
            message,
            fields,
            waiting,
            steps,
            consequences,
            remedies,
        } = rejection;
        self.title("!", RED, subject, &place.to_string())?;
        writeln!(self.text, "      {message}  [{code}]")?;
        self.field_changes(fields)?;
        if !waiting.is_empty() {
            writeln!(self.text, "      Also changed, and waiting with it:")?;
            self.field_changes(waiting)?;
        }
        if !steps.is_empty() {
            writeln!(self.text, "      The way there, with your consent:")?;
            for (index, step) in steps.iter().enumerate() {
                writeln!(self.text, "        {}. {step}", index + 1)?;
            }
        }
        if let Some(consequences) = consequences {
            self.consequences(*consequences)?;
        }
        self.remedies(remedies)
    }

    fn blocked(&mut self, blocked: &Blocked) -> fmt::Result {
        let Blocked { subject, file, message, consequences, remedies } = blocked;
        self.title("!", RED, subject, &format!("blocked, was in {file}"))?;
        writeln!(self.text, "      {message}")?;
        if let Some(consequences) = consequences {
            self.consequences(*consequences)?;
        }
        self.remedies(remedies)
    }

    fn remedies(&mut self, remedies: &[String]) -> fmt::Result {
        for remedy in remedies {
            writeln!(self.text, "      hint: {remedy}")?;
        }
        writeln!(self.text)
    }
}

fn are(count: usize) -> String {
    if count == 1 { "1 object is".to_owned() } else { format!("all {count} objects are") }
}

fn list_change(old: &[String], new: &[String]) -> String {
    let added = new.iter().filter(|item| !old.contains(item)).count();
    let removed = old.iter().filter(|item| !new.contains(item)).count();
    format!("{} → {} entries: {added} added, {removed} removed", old.len(), new.len())
}

fn hours_in_utc(hours: &str, zone: &str, now: DateTime<Utc>) -> String {
    match (hours.parse::<WorkingHours>(), zone.parse::<Tz>()) {
        (Ok(hours), Ok(zone)) if zone != Tz::UTC => {
            format!(" {zone} = {} UTC today", hours.shown_in(zone, Tz::UTC, now))
        }
        _ => " UTC".to_owned(),
    }
}

/// Control characters of a manifest must not steer the reader's terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn phase_symbol(phase: Phase) -> &'static str {
    match phase {
        Phase::InProgress => "▶",
        Phase::Awaiting | Phase::Stopped => "‖",
        Phase::Completed => "■",
    }
}
