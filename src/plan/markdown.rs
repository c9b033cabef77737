//! The plan as one comment of a pull request, that is updated in place.

use std::fmt::Write as _;

use serde_json::Value;

use super::document::{ChangeDocument, FieldDocument, PlanDocument};

/// Found again by whoever updates the comment.
pub const COMMENT_MARKER: &str = "<!-- nuncio plan -->";
/// Comments on GitHub hold 65,536 characters; what a workflow adds has to fit as well.
const BYTES_MAX: usize = 60_000;
/// What is always there: the head, the summary, and the line that tells how much was left out.
const BYTES_RESERVED: usize = 1_000;
/// A value that is longer is cut: the whole of it is in the JSON plan.
const VALUE_MAX: usize = 300;

/// Never longer than 60,000 bytes. What ends something, and what is rejected, comes first and is left
/// out last; of it only names remain when not even that fits.
pub fn render_markdown(plan: &PlanDocument) -> String {
    let is_ending = |change: &&ChangeDocument| change.actions.iter().any(|a| a == "delete");
    let ending: Vec<String> = plan.changes.iter().filter(is_ending).map(change).collect();
    let rejected = plan.rejections.iter().map(|rejection| {
        let mut text = format!(
            "#### `!` {} — rejected: {} `[{}]`\n\n",
            code(&rejection.address),
            escaped(&rejection.message),
            rejection.code
        );
        text.push_str(&fields(&rejection.fields));
        for (index, step) in rejection.steps.iter().enumerate() {
            writeln!(text, "{}. {}", index + 1, escaped(step)).expect("a String takes all text");
        }
        for remedy in &rejection.remedies {
            writeln!(text, "- {}", code(remedy)).expect("a String takes all text");
        }
        text.push('\n');
        text
    });
    let blocked = plan.blocked.iter().map(|blocked| {
        let mut text = format!(
            "#### `!` {} — blocked: {}\n\n",
            code(&blocked.address),
            escaped(&blocked.message)
        );
        for remedy in &blocked.remedies {
            writeln!(text, "- {}", code(remedy)).expect("a String takes all text");
        }
        text.push('\n');
        text
    });
    let drift = plan.drift.iter().map(|drift| {
        let by = drift.by.as_deref().map(|by| format!(" by {}", code(by))).unwrap_or_default();
        let at = drift.at.as_deref().map(|at| format!(" at {at}")).unwrap_or_default();
        let title =
            format!("#### `?` {} — changed{by}{at}, and put back\n\n", code(&drift.address));
        format!("{title}{}\n", fields(&drift.fields))
    });
    let is_change = |change: &&ChangeDocument| {
        !is_ending(change) && change.action_reason.as_deref() != Some("drift")
    };
    let held = plan
        .held
        .iter()
        .map(|held| format!("- {}: {}\n", code(&held.address), escaped(&held.message)));
    let sections = [
        ("Deletions and recreations", ending),
        ("Rejected by rule", rejected.collect()),
        ("Blocked", blocked.collect()),
        ("Drifted from what was applied", drift.collect()),
        ("Changes", plan.changes.iter().filter(is_change).map(change).collect()),
        ("Held as they were", held.collect()),
    ];
    let mut page = format!("{COMMENT_MARKER}\n### nuncio plan\n\n{}\n\n", summary(plan));
    if let Some(base) = &plan.base {
        let dirty =
            if base.dirty == Some(true) { ", with changes that are not committed" } else { "" };
        writeln!(page, "Of commit {}{dirty}.\n", code(&base.commit))
            .expect("a String takes all text");
    }
    let mut n_left_out = 0;
    for (title, parts) in &sections {
        if parts.is_empty() {
            continue;
        }
        let heading = format!("### {title}\n\n");
        let mut is_told = false;
        for part in parts {
            // Where the whole does not fit, its first line says at least what it is about.
            let line = part.lines().next().unwrap_or_default();
            let short = format!("{line}\n\n");
            let room = BYTES_MAX - BYTES_RESERVED;
            let head = if is_told { 0 } else { heading.len() };
            let fits = |text: &str| page.len() + head + text.len() <= room;
            let Some(text) = [part.as_str(), short.as_str()].into_iter().find(|text| fits(text))
            else {
                n_left_out += 1;
                continue;
            };
            if !is_told {
                page.push_str(&heading);
                is_told = true;
            }
            if text.len() < part.len() {
                n_left_out += 1;
            }
            page.push_str(text);
        }
    }
    if n_left_out > 0 {
        writeln!(page, "… {n_left_out} parts are cut for length; `nuncio plan` shows all of it.\n")
            .expect("a String takes all text");
    }
    page
}

fn summary(plan: &PlanDocument) -> String {
    let s = &plan.summary;
    let text = format!(
        "**{} to create, {} to update, {} to recreate, {} to delete, {} rejected, {} blocked, \
         {} drifted.**",
        s.create, s.update, s.recreate, s.delete, s.rejected, s.blocked, s.drifted
    );
    let is_done = plan.changes.is_empty() && plan.applyable;
    if is_done { format!("{text} Nothing to do.") } else { text }
}

fn change(change: &ChangeDocument) -> String {
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
    let mut text = format!("#### `{symbol}` {} — {what}{place}\n\n", code(&change.address));
    if let Some(consequences) = &change.consequences {
        writeln!(
            text,
            "{} not reached yet; {} written to, carried over and not written to again.\n",
            consequences.remaining, consequences.written
        )
        .expect("a String takes all text");
    }
    if let Some(phase) = &change.phase {
        let from = phase.from.as_deref().unwrap_or("(new)");
        writeln!(text, "Phase: {from} → {}\n", phase.to).expect("a String takes all text");
    }
    let at = |of: &Option<serde_json::Map<String, Value>>, path: &str| {
        let mut value = Value::Object(of.clone()?);
        for part in path.split('.') {
            value = match value {
                Value::Object(mut map) => map.remove(part)?,
                Value::Array(mut list) => {
                    let index = part.parse::<usize>().ok().filter(|index| *index < list.len())?;
                    list.swap_remove(index)
                }
                _ => return None,
            };
        }
        Some(value)
    };
    let changed: Vec<FieldDocument> = change
        .changed_paths
        .iter()
        .filter(|path| !change.text_diffs.contains_key(*path))
        .map(|path| FieldDocument {
            path: path.clone(),
            before: at(&change.before, path),
            after: at(&change.after, path),
        })
        .collect();
    text.push_str(&fields(&changed));
    for (path, diff) in &change.text_diffs {
        writeln!(text, "{}\n\n{}", code(path), fenced("diff", diff))
            .expect("a String takes all text");
    }
    let audience =
        change.after.as_ref().and_then(|after| after.get("outgoing")?.get("targetAudience"));
    if let Some(audience) = audience {
        let number = |key: &str| audience.get(key).and_then(Value::as_u64).unwrap_or(0);
        writeln!(
            text,
            "Audience: {} contacts, {} added, {} removed, {} with other variables.\n",
            number("total"),
            number("added"),
            number("removed"),
            number("altered")
        )
        .expect("a String takes all text");
    }
    text
}

fn fields(fields: &[FieldDocument]) -> String {
    if fields.is_empty() {
        return String::new();
    }
    let mut text = String::from("| field | before | after |\n|---|---|---|\n");
    for FieldDocument { path, before, after } in fields {
        let (before, after) = (cell(before.as_ref()), cell(after.as_ref()));
        writeln!(text, "| {} | {before} | {after} |", code(path)).expect("a String takes all text");
    }
    text.push('\n');
    text
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None => "*absent*".to_owned(),
        Some(Value::String(text)) => code(text).replace('|', "\\|"),
        Some(value) => code(&value.to_string()).replace('|', "\\|"),
    }
}

/// Longer than any run of backticks in it, so that nothing of a manifest becomes markup.
fn fence(text: &str, least: usize) -> String {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    "`".repeat(least.max(longest + 1))
}

fn code(text: &str) -> String {
    let mut text: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(VALUE_MAX + 1).collect();
    if text.chars().count() > VALUE_MAX {
        text = text.chars().take(VALUE_MAX).collect();
        text.push('…');
    }
    let fence = fence(&text, 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

fn fenced(language: &str, text: &str) -> String {
    let fence = fence(text, 3);
    format!("{fence}{language}\n{}\n{fence}\n", text.trim_end())
}

/// Text of ours around names of theirs: backticks stay code, and markup stays text.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    let mut in_code = false;
    for c in text.chars() {
        match c {
            '`' => {
                in_code = !in_code;
                out.push(c);
            }
            c if in_code && !c.is_control() => out.push(c),
            '<' => out.push_str("&lt;"),
            '*' | '_' | '[' | ']' | '|' | '#' | '@' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
