//! A page for people: how fields, texts and audiences are written, in a plan and in the history.

use std::{
    collections::HashSet,
    fmt::{self, Write as _},
};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use similar::{ChangeTag, TextDiff};

use super::{change::FieldChange, recreate::contacts};
use crate::domain::{
    address::Address,
    contact::AudienceChange,
    fields::{FieldValue, Fields},
    hours::WorkingHours,
};

const FIELD_WIDTH: usize = 35;
/// Unchanged lines around a changed one.
const CONTEXT_LINES: usize = 2;

pub(super) const GREEN: &str = "32";
pub(super) const YELLOW: &str = "33";
pub(super) const RED: &str = "31";
pub(super) const DIM: &str = "2";
pub(super) const BOLD: &str = "1";

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

pub(super) struct Page {
    pub(super) text: String,
    pub(super) now: DateTime<Utc>,
    pub(super) color: bool,
}

impl Page {
    pub(super) fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(super) fn fields(&mut self, fields: &Fields) -> fmt::Result {
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

    pub(super) fn field_changes(&mut self, fields: &[FieldChange]) -> fmt::Result {
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

    pub(super) fn new_audience(&mut self, audience: &AudienceChange) -> fmt::Result {
        let path = "outgoing.targetAudience";
        write!(self.text, "      {path:<FIELD_WIDTH$} {}", contacts(audience.total))?;
        self.duplicates(audience)?;
        match audience.written_before {
            0 => Ok(()),
            n => writeln!(
                self.text,
                "        {n} of them written to before, and not written to again"
            ),
        }
    }

    pub(super) fn audience_change(&mut self, audience: &AudienceChange) -> fmt::Result {
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
}

fn list_change(old: &[String], new: &[String]) -> String {
    let (before, after): (HashSet<_>, HashSet<_>) = (old.iter().collect(), new.iter().collect());
    let (added, removed) = (after.difference(&before).count(), before.difference(&after).count());
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
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
