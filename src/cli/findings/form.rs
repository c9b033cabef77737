//! The forms of a review, as `--output` names them.

use super::{Review, concise, github, gitlab, json, junit, markdown, sarif};

/// How findings are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Form {
    /// For people: with the marked source line, on stderr
    #[default]
    Human,
    /// One JSON value, whose schema `nuncio schema` prints
    Json,
    /// A comment of a pull request
    Markdown,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of GitHub Actions
    Github,
    /// A Code Quality report of GitLab
    Gitlab,
    /// JUnit XML, a test case a file
    Junit,
    /// One line a problem: `file:line:column: CODE message`
    Concise,
}

impl Form {
    /// The review as data for stdout; `None` where people read it, with its sources, on stderr.
    pub(in crate::cli) fn render(self, review: &Review) -> Option<String> {
        Some(match self {
            Self::Human => return None,
            Self::Json => json::render(review),
            Self::Markdown => markdown::render(review),
            Self::Sarif => sarif::render(review),
            Self::Github => github::render(review),
            Self::Gitlab => gitlab::render(review),
            Self::Junit => junit::render(review),
            Self::Concise => concise::render(review),
        })
    }
}
