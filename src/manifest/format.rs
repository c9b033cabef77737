//! The one layout of manifests: usual order of keys, usual quotes and indentation, comments kept.

use std::sync::Arc;

use pretty_yaml::config::{FormatOptions, LanguageOptions, LayoutOptions};

use super::{
    diagnostic::Diagnostic,
    findings::Findings,
    lists::{break_lists, indent_lists},
    node::{Node, Value},
    sort::sort_keys,
    tree::{comments, is_within_columns, tree},
    values::WIDTH,
    yaml::{self, Parsed},
};

/// A layout that its own output does not change is reached at once, or after what a first pass broke.
const PASSES_MAX: usize = 3;

/// Why a text is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("it is not valid YAML")]
    Invalid(Vec<Diagnostic>),
    /// Better no layout than another meaning.
    #[error("it cannot be laid out so that its meaning and its comments are kept")]
    NotKept,
}

/// A text in the usual layout; it means the same and has the same comments. `file` is how
/// diagnostics name it.
pub fn format_text(file: &str, text: &str) -> Result<String, FormatError> {
    let (mark, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let has_crlf = body.split_once('\n').is_some_and(|(line, _)| line.ends_with('\r'));
    let body = body.replace("\r\n", "\n");
    let before = read(file, &body).map_err(FormatError::Invalid)?;
    let kept_comments = sorted_comments(&body).ok_or(FormatError::NotKept)?;
    let is_kept = |after: &str| {
        after == body
            || (read(file, after).is_ok_and(|after| means_same(&before, &after))
                && sorted_comments(after).as_ref() == Some(&kept_comments))
    };
    let indented = indent_lists(&body).filter(|after| is_kept(after));
    let indented = indented.as_ref().unwrap_or(&body);
    let broken = break_lists(indented).filter(|after| is_kept(after));
    let indented = broken.as_ref().unwrap_or(indented);
    let sorted = sort_keys(indented).filter(|after| is_kept(after));
    // Spaces at the end of a line may be a part of a text; then they stay.
    let ways = [(sorted.as_ref(), true), (sorted.as_ref(), false), (Some(indented), false)];
    let formatted = ways
        .into_iter()
        .filter_map(|(text, trim)| lay_out(text?.clone(), trim))
        .find(|after| is_kept(after))
        .ok_or(FormatError::NotKept)?;
    Ok(mark.to_owned() + &if has_crlf { formatted.replace('\n', "\r\n") } else { formatted })
}

/// Lays a text out until nothing changes any more.
fn lay_out(mut text: String, trim: bool) -> Option<String> {
    let options = FormatOptions {
        layout: LayoutOptions { print_width: WIDTH, ..LayoutOptions::default() },
        language: LanguageOptions {
            trailing_comma: false,
            brace_spacing: false,
            trim_trailing_whitespaces: trim,
            ..LanguageOptions::default()
        },
    };
    for _ in 0..PASSES_MAX {
        let next = is_within_columns(&text).then(|| pretty_yaml::format_text(&text, &options));
        let mut next = next?.ok()?;
        if next.trim().is_empty() {
            next.clear();
        }
        if next == text {
            return Some(text);
        }
        text = next;
    }
    None
}

/// The documents of a text, or what is wrong with it as YAML.
fn read(file: &str, text: &str) -> Result<Vec<Node>, Vec<Diagnostic>> {
    let Parsed { documents, stopped } = yaml::parse(text);
    let mut findings = Findings::of(&Arc::from(file));
    let (roots, problems): (Vec<Node>, Vec<_>) =
        documents.into_iter().map(|document| (document.root, document.problems)).unzip();
    for problem in problems.into_iter().flatten().chain(stopped) {
        findings.problem(problem);
    }
    if findings.list.is_empty() { Ok(roots) } else { Err(findings.list) }
}

pub(super) fn means_same(one: &[Node], other: &[Node]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
}

fn is_same(one: &Node, other: &Node) -> bool {
    match (&one.value, &other.value) {
        (Value::Scalar(one), Value::Scalar(other)) => {
            one.text == other.text && one.meaning() == other.meaning()
        }
        (Value::List(one), Value::List(other)) => means_same(one, other),
        (Value::Map(one), Value::Map(entries)) => {
            one.len() == entries.len()
                && one.iter().all(|(key, value)| {
                    other.get(&key.text).is_some_and(|other| is_same(value, other))
                })
        }
        _ => false,
    }
}

/// Every comment, whatever their order: they stand with their keys.
fn sorted_comments(text: &str) -> Option<Vec<String>> {
    let mut comments = comments(&tree(text)?);
    comments.sort();
    Some(comments)
}
