//! A list of dialogues: as a table, as CSV, and as one JSON value.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::words::{cut, short};
use crate::{
    cli::{audience::shown, failure::FORMAT_VERSION, output::Output},
    domain::dialogue::{Author, DialogueState},
    store::{DialogueCounts, DialogueLine, LastWords},
};

/// How dialogues are written.
pub(super) trait Rows {
    fn page(&mut self, lines: &[DialogueLine]) -> io::Result<()>;
    fn flush(&mut self) -> io::Result<()>;
}

/// For people: one line each, cut to the width.
pub(super) struct Table {
    pub(super) output: Output,
    pub(super) form: Form,
    pub(super) began: bool,
}

/// How the lines of a table are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) width: usize,
    pub(super) shows_addresses: bool,
    /// Who wrote after a success is listed, and since when is what matters.
    pub(super) after_success: bool,
}

/// Columns before the last words, and how wide each may become.
const HEAD: [(&str, usize); 7] = [
    ("ID", 12),
    ("STATE", 9),
    ("WAITS", 5),
    // An amount that is cut is another amount; more than this nobody grants.
    ("SPENT", 12),
    ("TASK", 14),
    ("CHANNEL", 10),
    ("WHO", 13),
];
/// Fewer characters of what was said tell nothing.
const WORDS_MIN: usize = 8;

impl Rows for Table {
    fn page(&mut self, lines: &[DialogueLine]) -> io::Result<()> {
        if !lines.is_empty() {
            let head = !std::mem::replace(&mut self.began, true);
            self.output.data(&table(lines, self.form, head));
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn table(lines: &[DialogueLine], form: Form, head: bool) -> String {
    let width = form.width;
    let rows: Vec<([String; 7], String)> =
        lines.iter().map(|line| (cells(line, form), last_words(line))).collect();
    let mut widths = HEAD.map(|(name, _)| name.len());
    for (row, _) in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let used = |widths: &[usize; 7]| widths.iter().sum::<usize>() + widths.len();
    // Where the line is too long for its last words, the longest names give way.
    while used(&widths) + WORDS_MIN > width {
        let Some(widest) = widths[4..].iter_mut().max().filter(|widest| **widest > 4) else {
            break;
        };
        *widest -= 1;
    }
    let left = width.saturating_sub(used(&widths));
    let line = |row: &[String; 7], words: &str| {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{:<width$}", cut(cell, width)))
            .collect();
        format!("{} {}", cells.join(" "), cut(words, left)).trim_end().to_owned() + "\n"
    };
    let mut text = String::new();
    if head {
        text.push_str(&line(&HEAD.map(|(name, _)| name.to_owned()), "LAST WORDS"));
    }
    for (row, words) in &rows {
        text.push_str(&line(row, words));
    }
    text
}

/// Since when an answer is owed: none is after a success, and none in a dialogue that was closed.
pub(super) fn owed_since(
    state: DialogueState,
    waiting_since: Option<DateTime<Utc>>,
) -> Option<DateTime<Utc>> {
    let is_over = matches!(state, DialogueState::Closed | DialogueState::Succeeded);
    waiting_since.filter(|_| !is_over)
}

fn after_success_since(line: &DialogueLine) -> Option<DateTime<Utc>> {
    line.waiting_since.filter(|_| line.state == DialogueState::Succeeded)
}

fn cells(line: &DialogueLine, form: Form) -> [String; 7] {
    let DialogueLine { id, state, task, channel, peer, spent, now, .. } = line;
    let after = after_success_since(line).filter(|_| form.after_success);
    let waiting = owed_since(line.state, line.waiting_since).or(after);
    let cells = [
        id.to_string(),
        if *state == DialogueState::WithOperator { "operator" } else { state.as_str() }.to_owned(),
        waiting.map(|since| short(since, *now)).unwrap_or_default(),
        format!("${spent}"),
        task.clone(),
        channel.clone(),
        shown(peer.as_str(), form.shows_addresses).into_owned(),
    ];
    let mut widths = HEAD.iter();
    cells.map(|cell| widths.next().map_or_else(String::new, |(_, width)| cut(&cell, *width)))
}

fn last_words(line: &DialogueLine) -> String {
    let Some(LastWords { author, text, .. }) = &line.last else { return String::new() };
    format!("{} {text}", if *author == Author::Person { '<' } else { '>' })
}

/// A dialogue for programs.
#[derive(Serialize)]
struct Row<'a> {
    id: i64,
    state: &'static str,
    task: &'a str,
    channel: &'a str,
    /// Absent unless addresses are shown.
    address: Option<&'a str>,
    manager: &'a str,
    /// The person's first message that nobody has answered.
    waiting_since: Option<String>,
    /// The person's first message after a success.
    wrote_after_success_since: Option<String>,
    spent: String,
    limit: String,
    last_author: Option<&'static str>,
    last_at: Option<String>,
    /// The beginning.
    last_text: Option<&'a str>,
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl<'a> Row<'a> {
    fn of(line: &'a DialogueLine, shows_address: bool) -> Self {
        let DialogueLine { id, state, task, channel, peer, manager, spent, limit, last, .. } = line;
        Self {
            id: id.0,
            state: state.as_str(),
            task,
            channel,
            address: shows_address.then(|| peer.as_str()),
            manager,
            waiting_since: owed_since(line.state, line.waiting_since).map(time),
            wrote_after_success_since: after_success_since(line).map(time),
            spent: spent.to_string(),
            limit: limit.to_string(),
            last_author: last.as_ref().map(|last| last.author.as_str()),
            last_at: last.as_ref().map(|last| time(last.at)),
            last_text: last.as_ref().map(|last| last.text.as_str()),
        }
    }
}

pub(super) struct Csv<W: Write> {
    pub(super) to: csv::Writer<W>,
    pub(super) shows_addresses: bool,
}

impl<W: Write> Rows for Csv<W> {
    fn page(&mut self, lines: &[DialogueLine]) -> io::Result<()> {
        for line in lines {
            // Its first row is the heading.
            self.to.serialize(Row::of(line, self.shows_addresses)).map_err(io::Error::from)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// One value, written as it grows.
pub(super) struct Json<W> {
    pub(super) to: W,
    pub(super) shows_addresses: bool,
    pub(super) is_first: bool,
}

impl<W: Write> Json<W> {
    pub(super) fn begin(&mut self, counts: &DialogueCounts) -> io::Result<()> {
        let DialogueCounts { states, successes, waiting_for_operator, longest_since, .. } = counts;
        let after = counts.wrote_after_success;
        let states: BTreeMap<String, u64> =
            states.iter().map(|(state, n)| (state.as_str().replace('-', "_"), *n)).collect();
        let states = serde_json::to_string(&states)?;
        let longest = serde_json::to_string(&longest_since.map(time))?;
        let to = &mut self.to;
        writeln!(to, "{{\n  \"format_version\": \"{FORMAT_VERSION}\",\n  \"counts\": {states},")?;
        writeln!(to, "  \"successes\": {successes},\n  \"wrote_after_success\": {after},")?;
        writeln!(to, "  \"waiting_for_operator\": {waiting_for_operator},")?;
        write!(to, "  \"longest_waiting_since\": {longest},\n  \"dialogues\": [")?;
        Ok(())
    }

    pub(super) fn end(&mut self, is_complete: bool) -> io::Result<()> {
        writeln!(self.to, "\n  ],\n  \"complete\": {is_complete}\n}}")?;
        self.to.flush()
    }
}

impl<W: Write> Rows for Json<W> {
    fn page(&mut self, lines: &[DialogueLine]) -> io::Result<()> {
        for line in lines {
            let comma = if std::mem::take(&mut self.is_first) { "" } else { "," };
            let row = serde_json::to_string(&Row::of(line, self.shows_addresses))?;
            write!(self.to, "{comma}\n    {row}")?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{address::Address, id::DialogueId, money::MicroUsd};

    #[test]
    fn a_dialogue_is_one_line_of_80_columns_whatever_is_said_in_it() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let form = |shows_addresses| Form { width: 80, shows_addresses, after_success: false };
        let line = |id: i64, name: &str, peer: &str, text: &str| DialogueLine {
            id: DialogueId(id),
            state: DialogueState::WithOperator,
            task: name.to_owned(),
            channel: name.to_owned(),
            peer: Address::from_stored(peer.to_owned()),
            manager: "anna".to_owned(),
            waiting_since: Some(now - chrono::TimeDelta::hours(3)),
            spent: MicroUsd::from_micros(120_034),
            limit: MicroUsd::from_micros(500_000),
            last: Some(LastWords { author: Author::Person, at: now, text: text.to_owned() }),
            now,
        };
        let short = line(7, "spring", "12345678", "Как дела?\nЯ тут");
        let wanted = "\
ID STATE    WAITS SPENT     TASK   CHANNEL WHO   LAST WORDS
7  operator 3h    $0.120034 spring spring  …5678 < Как дела? Я тут
";
        assert_eq!(table(&[short], form(false), true), wanted);
        let long = "x".repeat(63);
        let lines =
            [line(999_999_999_999, &long, &long, &long), line(1, "a", "+79123456789", "hi")];
        for shows in [true, false] {
            let text = table(&lines, form(shows), true);
            assert_eq!(text.lines().count(), 3);
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
    }
}
