//! What was found in manifests or forbidden in a plan, in the forms that people, editors and review
//! pipelines read.
//!
//! Every form is a plain function of a [`Review`]: the same input gives the same bytes.

mod finding;
mod review;
mod form;
mod concise;
mod fingerprint;
mod github;
mod gitlab;
mod json;
mod junit;
mod markdown;
mod sarif;

pub(super) use finding::Finding;
pub(super) use form::Form;
pub(super) use json::findings_schema;
pub(super) use review::{Review, counted};

#[cfg(test)]
mod tests;
