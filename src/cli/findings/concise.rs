//! One line a finding, as compilers write and editors read.

use std::fmt::Write as _;

use super::{Finding, Review};
use crate::manifest::clean;

/// `file:line:column: CODE message`
pub(super) fn render(review: &Review) -> String {
    let mut out = String::new();
    for finding in &review.findings {
        writeln!(out, "{}", line(finding)).expect("a String takes all text");
    }
    out
}

/// Always one line: a file's name may have any character, and a message several lines.
pub(super) fn line(finding: &Finding) -> String {
    let Finding { code, place, message, .. } = finding;
    let file = clean(&place.file);
    format!("{file}:{}:{}: {code} {message}", place.line, place.column).replace('\n', " ")
}
