//! Text of manifests inside a comment: as code, and as nothing else.

/// Signs that mean nothing to a Markdown reader within a sentence.
const PLAIN_SIGNS: &str = " .,;:()'\"-–—→…/%+=?";
/// The least that opens a block.
const FENCE_LEAST: usize = 3;

/// A code span, whatever the text holds.
pub(super) fn code(text: &str) -> String {
    let text = printable(text);
    if text.trim().is_empty() {
        // Spaces alone are no code span to every reader.
        return "` `".to_owned();
    }
    let ticks = "`".repeat(longest_run(&text) + 1);
    let is_edge = |c: Option<char>| c.is_none_or(|c| c == '`' || c == ' ');
    let pad = if is_edge(text.chars().next()) || is_edge(text.chars().last()) { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// A code span in a cell of a table, where a `|` would end the cell even within code.
pub(super) fn cell(text: &str) -> String {
    code(&text.replace('|', "¦").replace('\\', "⧵"))
}

/// A block of differences; its lines are printable already.
pub(super) fn diff_block(lines: &[String]) -> String {
    let longest = lines.iter().map(|line| longest_run(line)).max().unwrap_or(0);
    let fence = "`".repeat(FENCE_LEAST.max(longest + 1));
    format!("{fence}diff\n{}\n{fence}\n\n", lines.join("\n"))
}

/// A sentence of ours with their names in it. What stands in backticks stays code; where anything else
/// could be markup, a link or a mention of somebody, all of it is code.
pub(super) fn prose(text: &str) -> String {
    let text = printable(text);
    let is_paired = text.matches('`').count().is_multiple_of(2) && !text.contains("``");
    let is_plain = |part: &str| {
        let part = part.to_ascii_lowercase();
        let is_link = part.contains("://") || part.contains("www.");
        !is_link && part.chars().all(|c| c.is_alphanumeric() || PLAIN_SIGNS.contains(c))
    };
    // At its start a sign would make a list, a rule or a block of the sentence.
    let after_number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_listed = after_number.len() < text.len() && after_number.starts_with(['.', ')']);
    let begins = text.starts_with(|c: char| c.is_alphanumeric() || c == '`') && !is_listed;
    let is_sentence = begins && is_paired && text.split('`').step_by(2).all(is_plain);
    if is_sentence { text } else { code(&text) }
}

/// One line, in which nothing is hidden: control characters, and those that turn the direction of
/// writing or have no width, are replaced.
pub(super) fn printable(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().map(|c| if is_hidden(c) { '\u{fffd}' } else { c }).collect()
}

/// At most `bytes` of it and a sign that there was more, cut between two characters.
pub(super) fn shortened(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}
