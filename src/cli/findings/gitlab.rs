//! GitLab's Code Quality report: a subset of Code Climate's issues.

use serde::Serialize;

use super::{Finding, Review, fingerprint::fingerprints};

#[derive(Serialize)]
struct Issue<'a> {
    description: String,
    check_name: &'a str,
    fingerprint: String,
    severity: &'static str,
    location: Location<'a>,
}

#[derive(Serialize)]
struct Location<'a> {
    path: &'a str,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: u32,
}

pub(super) fn render(review: &Review) -> String {
    let issues: Vec<Issue<'_>> = review
        .findings
        .iter()
        .zip(fingerprints(review))
        .map(|(finding, fingerprint)| {
            let Finding { code, place, .. } = finding;
            Issue {
                description: finding.text().replace('\n', " "),
                check_name: code,
                fingerprint,
                severity: if finding.is_error() { "major" } else { "minor" },
                location: Location {
                    path: review.path_of(&place.file),
                    lines: Lines { begin: place.line },
                },
            }
        })
        .collect();
    serde_json::to_string_pretty(&issues).expect("texts and numbers are JSON")
}
