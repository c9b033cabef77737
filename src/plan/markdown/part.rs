//! One change, rejection or note of a plan, in each length that a comment may have room for.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{
    code::{code, diff_block, printable, prose, shortened},
    fit::{Form, Part},
};
use crate::plan::{
    consequences::sentences,
    document::{
        BlockedDocument, ChangeDocument, ConsequencesDocument, DriftDocument, FieldDocument,
        HeldDocument, PhaseDocument, RejectionDocument,
    },
    restored::shown_number,
};

/// What of a value or a text is told where the whole of it has no room.
const BRIEF_VALUE_BYTES: usize = 300;
const BRIEF_LINES: usize = 20;
/// A longer specification or difference is folded.
const OPEN_LINES_MAX: usize = 15;
/// People's addresses stand here; a comment tells how many.
const OF_PEOPLE: [&str; 2] = ["entries", "outgoing.targetAudience"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Brief,
    Whole,
}

/// A part by its name, its title, and its body in either length.
fn part<'a>(address: &'a str, title: String, body: impl Fn(Length) -> String + 'a) -> Part<'a> {
    Part::new(move |form| match form {
        Form::Name => format!("- {}\n", code(address)),
        Form::Title => format!("#### {title}\n\n"),
        Form::Brief => format!("#### {title}\n\n{}", body(Length::Brief)),
        Form::Whole => format!("#### {title}\n\n{}", body(Length::Whole)),
    })
}

pub(super) fn of_change(change: &ChangeDocument) -> Part<'_> {
    let actions: Vec<&str> = change.actions.iter().map(String::as_str).collect();
    let (symbol, what) = match actions[..] {
        ["create"] => ("+", "create"),
        ["delete"] => ("-", "delete"),
        ["delete", "create"] => ("-/+", "recreate"),
        _ => ("~", "update"),
    };
    let place = match (&change.file, change.line) {
        (Some(file), Some(line)) => format!(" ({})", code(&format!("{file}:{line}"))),
        _ => String::new(),
    };
    let title = format!("`{symbol}` {} — {what}{place}", code(&change.address));
    part(&change.address, title, move |length| {
        let mut text = consequences(change.consequences.as_ref());
        let mut lines = Vec::new();
        if symbol == "+" {
            let after = Value::Object(change.after.clone().unwrap_or_default());
            specification(&after, "", length, &mut lines);
        }
        for path in &change.changed_paths {
            if !change.text_diffs.contains_key(path) {
                let of = |map: &Option<Map<String, Value>>| at(map.as_ref()?, path).cloned();
                let (before, after) = (of(&change.before), of(&change.after));
                lines.extend(field(path, before.as_ref(), after.as_ref(), length));
            }
        }
        lines.extend(phase(change.phase.as_ref()));
        text.push_str(&block(&lines));
        for (path, diff) in &change.text_diffs {
            write!(text, "{}\n\n{}", code(path), block(&diff_lines(diff, length))).expect(FITS);
        }
        text.push_str(&audience(change));
        text
    })
}

pub(super) fn of_rejection(rejection: &RejectionDocument) -> Part<'_> {
    let RejectionDocument { address, file, line, column, message, .. } = rejection;
    let place = code(&format!("{file}:{line}:{column}"));
    let title = format!("`!` {} — rejected ({place})", code(address));
    part(address, title, move |length| {
        let message = match length {
            Length::Brief => shortened(message, BRIEF_VALUE_BYTES),
            Length::Whole => message.clone(),
        };
        let mut text = format!("{} [{}]\n\n", prose(&message), code(&rejection.code));
        text.push_str(&fields(&rejection.fields, length));
        if !rejection.waiting.is_empty() {
            text.push_str("Also changed, and waiting with it:\n\n");
            text.push_str(&fields(&rejection.waiting, length));
        }
        text.push_str(&consequences(rejection.consequences.as_ref()));
        if !rejection.steps.is_empty() {
            text.push_str("The way there, with your consent:\n\n");
            for (index, step) in rejection.steps.iter().enumerate() {
                writeln!(text, "{}. {}", index + 1, prose(step)).expect(FITS);
            }
            text.push('\n');
        }
        text + &remedies(&rejection.remedies)
    })
}

pub(super) fn of_blocked(blocked: &BlockedDocument) -> Part<'_> {
    let title = format!("`!` {} — blocked, was in {}", code(&blocked.address), code(&blocked.file));
    part(&blocked.address, title, move |_| {
        let consequences = consequences(blocked.consequences.as_ref());
        format!("{}\n\n{consequences}{}", prose(&blocked.message), remedies(&blocked.remedies))
    })
}

pub(super) fn of_drift(drift: &DriftDocument) -> Part<'_> {
    let told = |word: &str, what: &Option<String>| {
        what.as_ref().map(|what| format!(" {word} {}", code(what))).unwrap_or_default()
    };
    let seen = format!("{}{}", told("by", &drift.by), told("at", &drift.at));
    let title = format!("`?` {} — changed{seen}, and put back", code(&drift.address));
    part(&drift.address, title, move |length| {
        let mut lines: Vec<String> =
            drift.fields.iter().flat_map(|one| field_of(one, length)).collect();
        lines.extend(phase(drift.phase.as_ref()));
        block(&lines)
    })
}

pub(super) fn of_held(held: &HeldDocument) -> Part<'_> {
    Part::new(move |form| match form {
        Form::Name => format!("- {}\n", code(&held.address)),
        _ => {
            let HeldDocument { address, file, message } = held;
            format!("- {} ({}): {}\n", code(address), code(file), prose(message))
        }
    })
}

const FITS: &str = "a String takes all text";

fn consequences(of: Option<&ConsequencesDocument>) -> String {
    let sentences = of.map(|of| sentences((*of).into())).unwrap_or_default();
    if sentences.is_empty() { String::new() } else { format!("{}.\n\n", sentences.join("; ")) }
}

fn remedies(all: &[String]) -> String {
    let is_command = |text: &str| text.starts_with("nuncio ") && !text.contains([',', '`']);
    let line = |remedy: &String| {
        let text = if is_command(remedy) { code(remedy) } else { prose(remedy) };
        format!("- {text}\n")
    };
    let lines: String = all.iter().map(line).collect();
    if lines.is_empty() { lines } else { format!("{lines}\n") }
}

fn phase(of: Option<&PhaseDocument>) -> Vec<String> {
    let Some(PhaseDocument { from, to }) = of else { return Vec::new() };
    // A recreated task may begin as it ended.
    if from.as_ref() == Some(to) {
        return Vec::new();
    }
    let from = from.as_ref().map(|from| format!("- phase: {}", printable(from)));
    from.into_iter().chain([format!("+ phase: {}", printable(to))]).collect()
}

/// Numbers alone: whom a task writes to is nothing for a comment.
fn audience(change: &ChangeDocument) -> String {
    let after = change.after.as_ref();
    let of = after.and_then(|after| at(after, "outgoing.targetAudience"));
    let number = |key: &str| of?.get(key)?.as_u64();
    let Some(total) = number("total") else { return String::new() };
    let mut text = format!("Audience: {total} contacts");
    for (key, what) in [
        ("added", "added"),
        ("removed", "removed"),
        ("altered", "with other variables"),
        ("written_before", "written to before, and not written to again"),
    ] {
        if let Some(count) = number(key).filter(|count| *count > 0) {
            write!(text, ", {count} {what}").expect(FITS);
        }
    }
    text + ".\n\n"
}

fn fields(all: &[FieldDocument], length: Length) -> String {
    let lines: Vec<String> = all.iter().flat_map(|one| field_of(one, length)).collect();
    block(&lines)
}

fn field_of(one: &FieldDocument, length: Length) -> Vec<String> {
    let FieldDocument { path, before, after } = one;
    field(path, before.as_ref(), after.as_ref(), length)
}

/// A field before and after, as lines of a difference.
fn field(path: &str, before: Option<&Value>, after: Option<&Value>, length: Length) -> Vec<String> {
    let mut lines = Vec::new();
    for (sign, value) in [('-', before), ('+', after)] {
        if let Some(value) = value {
            value_lines(sign, path, value, length, &mut lines);
        }
    }
    lines
}

/// Every field of a new subject, as lines that are added.
fn specification(value: &Value, path: &str, length: Length, lines: &mut Vec<String>) {
    match value {
        Value::Object(map) if !OF_PEOPLE.contains(&path) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                specification(value, &path, length, lines);
            }
        }
        // Told by numbers, after the fields.
        _ if path == "outgoing.targetAudience" => {}
        value => value_lines('+', path, value, length, lines),
    }
}

fn value_lines(sign: char, path: &str, value: &Value, length: Length, lines: &mut Vec<String>) {
    let path = printable(path);
    let mut line = |text: &str| {
        let text = printable(text);
        let text = match length {
            Length::Brief => shortened(&text, BRIEF_VALUE_BYTES),
            Length::Whole => text,
        };
        lines.push(format!("{sign} {text}"));
    };
    match value {
        value if OF_PEOPLE.contains(&path.as_str()) => {
            let count = value.as_array().map(|all| all.len() as u64);
            let count = count.or_else(|| value.get("count")?.as_u64());
            let count = count.map_or_else(|| "…".to_owned(), |count| format!("{count} entries"));
            line(&format!("{path}: {count}"));
        }
        Value::String(text) if text.trim_end().contains('\n') => {
            line(&format!("{path}: |"));
            let all: Vec<&str> = text.lines().collect();
            let shown = if length == Length::Brief { BRIEF_LINES } else { all.len() };
            for text in all.iter().take(shown) {
                line(&format!("    {text}"));
            }
            if let Some(more) = more(all.len().saturating_sub(shown)) {
                line(&more);
            }
        }
        Value::String(text) => line(&format!("{path}: {}", text.trim_end())),
        Value::Number(number) => line(&format!("{path}: {}", shown_number(number))),
        value => line(&format!("{path}: {value}")),
    }
}

fn diff_lines(diff: &str, length: Length) -> Vec<String> {
    let all: Vec<String> = diff.lines().map(printable).collect();
    match length {
        Length::Whole => all,
        Length::Brief => {
            let cut = all.iter().take(BRIEF_LINES).map(|line| shortened(line, BRIEF_VALUE_BYTES));
            cut.chain(more(all.len().saturating_sub(BRIEF_LINES))).collect()
        }
    }
}

fn more(n_lines: usize) -> Option<String> {
    (n_lines > 0).then(|| format!("… {n_lines} more lines"))
}

/// Lines of a difference, folded where they would hide the rest of the comment.
fn block(lines: &[String]) -> String {
    match lines.len() {
        0 => String::new(),
        n if n > OPEN_LINES_MAX => {
            format!("<details><summary>{n} lines</summary>\n\n{}</details>\n\n", diff_block(lines))
        }
        _ => diff_block(lines),
    }
}

fn at<'a>(map: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.');
    let mut value = map.get(parts.next()?)?;
    for part in parts {
        value = match value {
            Value::Object(map) => map.get(part)?,
            Value::Array(list) => list.get(part.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}
