//! Workflow commands of GitHub Actions: each becomes an annotation in the files of a pull request.

use std::fmt::Write as _;

use super::{Finding, Review};

/// `::error file=…,line=…,col=…,endColumn=…,title=…::message`, a line each.
pub(super) fn render(review: &Review) -> String {
    let mut out = String::new();
    for finding in &review.findings {
        let Finding { severity, code, place, length, .. } = finding;
        let file = property(review.path_of(&place.file));
        write!(out, "::{severity} file={file}").expect("a String takes all text");
        if *length > 0 {
            let (line, column, end) = (place.line, place.column, finding.end_column());
            write!(out, ",line={line},endLine={line},col={column},endColumn={end}")
                .expect("a String takes all text");
        }
        writeln!(out, ",title={}::{}", property(code), data(&finding.text()))
            .expect("a String takes all text");
    }
    out
}

/// The runner's own escapes for what stands behind `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// In a property `:` and `,` would end it.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
