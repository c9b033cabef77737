//! The findings of one file, while it is read.

use std::sync::Arc;

use super::{
    diagnostic::{Code, Diagnostic, Severity},
    node::Span,
    yaml::Problem,
};
use crate::domain::place::Place;

#[derive(Debug)]
pub(super) struct Findings {
    pub(super) file: Arc<str>,
    pub(super) list: Vec<Diagnostic>,
}

impl Findings {
    pub(super) fn of(file: &Arc<str>) -> Self {
        Self { file: Arc::clone(file), list: Vec::new() }
    }

    pub(super) fn place(&self, span: Span) -> Place {
        Place { file: Arc::clone(&self.file), line: span.line, column: span.column }
    }

    pub(super) fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.error_with(code, span, message, None);
    }

    pub(super) fn error_with(
        &mut self,
        code: Code,
        span: Span,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let found = Diagnostic::error(code, self.place(span), span.length(), message);
        self.list.push(found.hint_if(hint));
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        let Problem { code, span, message, hint } = problem;
        self.error_with(code, span, message, hint);
    }

    /// What is wrong in it was taken out of it.
    pub(super) fn has_errors_in(&self, span: Span) -> bool {
        let Span { line, column, end_line, end_column } = span;
        self.list.iter().any(|found| {
            let place = (found.place.line, found.place.column);
            found.severity == Severity::Error
                && ((line, column)..=(end_line, end_column)).contains(&place)
        })
    }

    pub(super) fn has_errors(&self) -> bool {
        self.list.iter().any(|found| found.severity == Severity::Error)
    }
}
