//! A comment for a pull request: a table a file, short enough for every forge.

use std::fmt::Write as _;

use super::{Finding, Review, review::counted};

/// GitHub takes 65,536 characters a comment, and a pipeline may add words of its own.
pub(super) const BYTES_MAX: usize = 60_000;
/// What the closing line may take.
const CLOSING_BYTES_MAX: usize = 200;
const TABLE_HEAD: &str = "| Place | | Code | What is wrong |\n|---|---|---|---|\n";

/// The first line never changes: by it a pipeline finds its comment again, and updates it.
pub(super) fn render(review: &Review) -> String {
    let verdict = if review.n_errors() > 0 { "invalid" } else { "valid" };
    let command = review.command;
    let mut out = format!(
        "<!-- nuncio:{command} -->\n**nuncio {command}: {verdict}**: {}\n",
        review.summary()
    );
    let mut file = "";
    for (shown, finding) in review.findings.iter().enumerate() {
        let mut part = String::new();
        if file != &*finding.place.file {
            file = &finding.place.file;
            write!(part, "\n**{}**\n\n{TABLE_HEAD}", escaped(review.path_of(file)))
                .expect("a String takes all text");
        }
        part.push_str(&row(finding));
        if out.len() + part.len() + CLOSING_BYTES_MAX > BYTES_MAX {
            let rest = review.findings.len() - shown;
            writeln!(out, "\n… and {rest} more; `nuncio {command}` shows all of them.")
                .expect("a String takes all text");
            return out;
        }
        out.push_str(&part);
    }
    if let Some(Finding { code, .. }) = review.findings.first() {
        let about = counted(review.findings.len(), "problem");
        writeln!(out, "\n{about}. For more: `nuncio explain {code}`.")
            .expect("a String takes all text");
    }
    out
}

fn row(finding: &Finding) -> String {
    let Finding { severity, code, place, length, message, hint } = finding;
    let place = match length {
        0 => "file".to_owned(),
        _ => format!("{}:{}", place.line, place.column),
    };
    let hint = hint.as_ref().map(|hint| format!("<br>→ {}", escaped(hint))).unwrap_or_default();
    format!("| {place} | {severity} | `{code}` | {}{hint} |\n", escaped(message))
}

/// Text of a manifest must not become markup: no links, no mentions of people, no cell of its own.
/// What stands in backticks stays code.
fn escaped(text: &str) -> String {
    // Within code a backslash cannot be escaped, and one before a `|` would end the cell.
    let paired =
        text.matches('`').count().is_multiple_of(2) && !text.contains('\\') && !text.contains("``");
    let mut out = String::new();
    let mut in_code = false;
    for c in text.chars() {
        match c {
            '`' if paired => {
                in_code = !in_code;
                out.push('`');
            }
            '|' => out.push_str("\\|"),
            '\n' | '\r' => out.push(' '),
            c if in_code => out.push(c),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A mention would write to somebody; an entity is shown the same and means nobody.
            '@' => out.push_str("&#64;"),
            '#' => out.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}
