//! What a finding is recognised by in the next run, also when lines above it came or went.

use std::collections::HashMap;

use super::{Finding, Review};
use crate::domain::fields::Digest;

/// A fingerprint a finding, in their order: unique in the review, and free of lines and columns.
pub(super) fn fingerprints(review: &Review) -> Vec<String> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    let mut of = |finding: &Finding| {
        let Finding { code, place, message, .. } = finding;
        let file = review.path_of(&place.file);
        let identity = format!("{code}\0{file}\0{}", without_places(message));
        let nth = seen.entry(identity.clone()).or_default();
        *nth += 1;
        Digest::of_bytes(format!("{identity}\0{nth}").as_bytes()).to_string()
    };
    review.findings.iter().map(&mut of).collect()
}

/// A message may name another line. Its numbers do not count, but those of values, which stand in
/// backticks, do.
fn without_places(message: &str) -> String {
    let parts = message.split('`').enumerate().map(|(index, part)| {
        if index % 2 == 1 {
            return part.to_owned();
        }
        part.chars().filter(|c| !c.is_ascii_digit()).collect()
    });
    parts.collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_do_not_count_and_values_do() {
        let of = |message| without_places(message);
        assert_eq!(
            of("`a` exists: first at t/a.yaml:3:18"),
            of("`a` exists: first at t/a.yaml:40:7")
        );
        assert_ne!(of("`12` is no name"), of("`13` is no name"));
    }
}
