//! The long form of every code: read from one file of texts, which is part of the program.

use std::sync::LazyLock;

/// What a code means, why its rule exists, what fails, and the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Explanation {
    pub(super) code: &'static str,
    /// One line.
    pub(super) summary: &'static str,
    /// Everything, the summary as well: paragraphs, and examples that are indented.
    pub(super) body: &'static str,
}

static ALL: LazyLock<Vec<Explanation>> = LazyLock::new(|| {
    let texts = include_str!("explanations.md");
    texts.split("\n## ").skip(1).map(Explanation::read).collect()
});

impl Explanation {
    fn read(text: &'static str) -> Self {
        let (code, rest) = text.split_once('\n').unwrap_or((text, ""));
        let body = rest.trim();
        Self { code: code.trim(), summary: body.lines().next().unwrap_or_default(), body }
    }
}

/// Every explanation, in the order of its chapters.
pub(super) fn all() -> &'static [Explanation] {
    &ALL
}

pub(super) fn find(code: &str) -> Option<&'static Explanation> {
    ALL.iter().find(|explanation| explanation.code == code)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        cli::{ExitStatus, failure::ErrorCode},
        manifest::Code,
        plan::{BLOCKED, RejectionCode},
    };

    fn known() -> BTreeSet<String> {
        let codes = Code::ALL.iter().map(|code| code.as_str().to_owned());
        let rejections = RejectionCode::ALL.iter().map(|code| code.as_str().to_owned());
        let errors = ErrorCode::ALL.iter().map(|code| code.as_str().to_owned());
        let exits = ExitStatus::ALL.iter().map(|status| format!("exit-{}", status.code()));
        let blocked = std::iter::once(BLOCKED.to_owned());
        codes.chain(rejections).chain(blocked).chain(errors).chain(exits).collect()
    }

    #[test]
    fn every_code_has_its_text_and_no_text_lacks_its_code() {
        let told: BTreeSet<String> = all().iter().map(|told| told.code.to_owned()).collect();
        let known = known();
        let missing: Vec<_> = known.difference(&told).collect();
        let left_over: Vec<_> = told.difference(&known).collect();
        assert!(missing.is_empty(), "explanations.md has no text for {missing:?}");
        assert!(left_over.is_empty(), "explanations.md tells of {left_over:?}, which nothing says");
        assert_eq!(told.len(), all().len(), "a code has two texts");
    }

    #[test]
    fn every_text_says_what_why_an_example_and_the_way_out_in_80_columns() {
        for Explanation { code, summary, body } in all() {
            assert!(summary.ends_with('.') && summary.chars().count() <= 58, "{code}: {summary}");
            assert!(body.lines().all(|line| line.chars().count() <= 78), "{code} is too wide");
            let parts: &[&str] = match code.strip_prefix("exit-") {
                Some(_) => &["\nWay out: "],
                None => &["\nWhy: ", "\nFails:\n\n    ", "\nWay out: "],
            };
            let mut rest = *body;
            for part in parts {
                let at = rest.find(part).unwrap_or_else(|| panic!("{code} has no {part:?} here"));
                rest = &rest[at + part.len()..];
            }
        }
    }
}
