//! Findings as one JSON value, and the schema that promises its shape.

use schemars::{JsonSchema, generate::SchemaSettings, transform::RecursiveTransform};
use serde::Serialize;
use serde_json::Value;

use super::{Finding, Review};
use crate::{
    cli::failure::{FORMAT_VERSION, FailureJson},
    plan::without_integer_format,
};

/// What `--output json` prints: a review, or the error that kept it from being made.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "nuncio findings")]
#[expect(dead_code, reason = "it is only described; each side prints its own")]
enum Answer {
    Review(ReviewJson<'static>),
    Failure(FailureJson),
}

/// What was looked at, and what was found.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Review")]
struct ReviewJson<'a> {
    /// The minor number grows with additions, the major one with anything else.
    #[schemars(regex(pattern = r"^1\.\d+$"))]
    format_version: &'static str,
    /// Whether no finding is an error.
    valid: bool,
    /// Sorted by file, line and column.
    findings: Vec<FindingJson<'a>>,
    counts: CountsJson,
}

/// What is wrong, where, and the way out.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Finding")]
struct FindingJson<'a> {
    /// `error` or `warning`.
    #[schemars(extend("enum" = ["error", "warning"]))]
    severity: &'static str,
    /// What `nuncio explain` knows it by.
    code: &'a str,
    /// The file as the caller of the program names it.
    file: &'a str,
    /// From 1.
    #[schemars(range(min = 1))]
    line: u32,
    /// From 1, in characters (Unicode code points).
    #[schemars(range(min = 1))]
    column: u32,
    /// Characters from the column on; 0 where the file as a whole is meant.
    length: u32,
    message: &'a str,
    /// The way out, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    hint: Option<&'a str>,
}

/// How much was looked at, and found.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Counts")]
struct CountsJson {
    files: usize,
    documents: usize,
    tasks: usize,
    errors: usize,
    warnings: usize,
}

pub(super) fn render(review: &Review) -> String {
    let value = ReviewJson {
        format_version: FORMAT_VERSION,
        valid: review.n_errors() == 0,
        findings: review.findings.iter().map(FindingJson::of).collect(),
        counts: CountsJson {
            files: review.files.len(),
            documents: review.n_documents,
            tasks: review.n_tasks,
            errors: review.n_errors(),
            warnings: review.n_warnings(),
        },
    };
    serde_json::to_string_pretty(&value).expect("texts and numbers are JSON")
}

impl<'a> FindingJson<'a> {
    fn of(finding: &'a Finding) -> Self {
        let Finding { severity, code, place, length, message, hint } = finding;
        Self {
            severity: severity.as_str(),
            code,
            file: &place.file,
            line: place.line,
            column: place.column,
            length: *length,
            message,
            hint: hint.as_deref(),
        }
    }
}

/// The schema of what `--output json` prints for findings.
pub(in crate::cli) fn findings_schema() -> Value {
    let mut settings = SchemaSettings::draft07().for_serialize();
    settings.transforms.push(Box::new(RecursiveTransform(without_integer_format)));
    settings.into_generator().into_root_schema_for::<Answer>().to_value()
}
