//! SARIF 2.1.0, for code scanning.

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Finding, Review, fingerprint::fingerprints};
use crate::cli::explanations::{self, Explanation};

/// What a path in a URI may hold as it is (RFC 3986).
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The base that forges replace by the root of the repository.
const ROOT: &str = "%SRCROOT%";

pub(super) fn render(review: &Review) -> String {
    let codes: BTreeSet<&str> = review.findings.iter().map(|finding| finding.code).collect();
    let rules: Vec<Value> = codes.iter().map(|code| rule(code)).collect();
    let results: Vec<Value> = review
        .findings
        .iter()
        .zip(fingerprints(review))
        .map(|(finding, fingerprint)| {
            let index = codes.iter().position(|code| *code == finding.code);
            json!({
                "ruleId": finding.code,
                "ruleIndex": index,
                "level": finding.severity.as_str(),
                "message": {"text": finding.text()},
                "locations": [{"physicalLocation": physical_location(finding, review)}],
                "partialFingerprints": {"nuncio/v1": fingerprint},
            })
        })
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "nuncio",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "automationDetails": {"id": format!("nuncio/{}", review.command)},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the repository."}}},
            "results": results,
        }],
    });
    format!("{log:#}")
}

fn rule(code: &str) -> Value {
    let mut rule = json!({"id": code});
    if let Some(Explanation { summary, body, .. }) = explanations::find(code) {
        rule["shortDescription"] = json!({"text": summary});
        rule["fullDescription"] = json!({"text": summary});
        rule["help"] = json!({"text": body, "markdown": body});
    }
    rule
}

fn physical_location(finding: &Finding, review: &Review) -> Value {
    let Finding { place, length, .. } = finding;
    let path = review.path_of(&place.file);
    let uri = utf8_percent_encode(path, PATH).to_string();
    let artifact = if path.starts_with('/') {
        json!({"uri": format!("file://{uri}")})
    } else {
        json!({"uri": uri, "uriBaseId": ROOT})
    };
    // Forges show only what has a line; a file as a whole is its first.
    let region = match length {
        0 => json!({"startLine": place.line}),
        _ => json!({
            "startLine": place.line,
            "startColumn": place.column,
            "endColumn": finding.end_column(),
        }),
    };
    json!({"artifactLocation": artifact, "region": region})
}
