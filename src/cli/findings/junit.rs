//! JUnit XML: a test case a manifest file, for the tools that count tests.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Finding, Review, concise::line, review::counted};

/// Errors fail a file's case; its warnings stand in the case's output.
pub(super) fn render(review: &Review) -> String {
    let mut suite = TestSuite::new(format!("nuncio {}", review.command));
    for file in &review.files {
        let (errors, warnings): (Vec<&Finding>, Vec<&Finding>) =
            review.findings_in(file).partition(|finding| finding.is_error());
        let mut status = TestCaseStatus::success();
        if let Some(first) = errors.first() {
            status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(first.code);
            status.set_message(match errors.len() {
                1 => first.message.clone(),
                n => format!("{}, first: {}", counted(n, "error"), first.message),
            });
            status.set_description(lines(&errors));
        }
        let mut case = TestCase::new(review.path_of(file), status);
        case.set_classname(format!("nuncio.{}", review.command));
        if !warnings.is_empty() {
            case.set_system_out(lines(&warnings));
        }
        suite.add_test_case(case);
    }
    let mut report = Report::new("nuncio");
    report.add_test_suite(suite);
    report.to_string().expect("texts are XML")
}

fn lines(findings: &[&Finding]) -> String {
    let shown = findings.iter().map(|finding| match &finding.hint {
        Some(hint) => format!("{}\n  hint: {hint}", line(finding)),
        None => line(finding),
    });
    shown.collect::<Vec<_>>().join("\n")
}
