//! What the table of kinds promises, and that the README says the same.

use super::kind::{ChannelKind, DailyLimit, KINDS, KindFacts, Opens};

#[test]
fn the_table_has_one_row_a_kind() {
    for kind in ChannelKind::ALL {
        assert_eq!(KINDS.iter().filter(|facts| facts.kind == *kind).count(), 1, "{kind}");
    }
}

#[test]
fn only_what_opens_has_a_daily_limit_and_its_default_is_no_risk() {
    for KindFacts { kind, daily_limit, .. } in KINDS {
        assert_eq!(daily_limit.is_some(), kind.can_open(), "{kind}");
        let Some(DailyLimit { default, risky_above, reason, source }) = daily_limit else {
            continue;
        };
        assert!(*default > 0 && default <= risky_above, "{kind}");
        assert!(!reason.is_empty() && !source.is_empty(), "{kind}");
    }
}

#[test]
fn the_readme_has_a_row_for_every_kind_that_says_the_same() {
    let readme = include_str!("../../README.md");
    let table = readme.split_once("| Kind of channel |").expect("the README has the table").1;
    let table = table.split("\n\n").next().unwrap_or_default();
    for facts in KINDS {
        let kind = facts.kind;
        let begin = format!("| `{kind}`");
        let mut rows = table.lines().filter(|line| line.starts_with(&begin));
        let row = rows.next().unwrap_or_else(|| panic!("the README has no row for `{kind}`"));
        assert_eq!(rows.next(), None, "{kind} has two rows");
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, sends, receives, proven, limits, repeats, tried] = cells[..] else {
            panic!("{kind} has {} cells: {row}", cells.len());
        };
        for cell in [sends, receives, proven, limits, repeats, tried] {
            assert!(!cell.is_empty(), "{row}");
        }
        let opens = match facts.opens {
            Opens::No(_) => "only answers",
            Opens::WithText => "opens with a text",
            Opens::WithTemplate => "opens with an approved template",
        };
        assert!(sends.starts_with(opens), "{kind}: {opens}: {sends}");
        let dropped = if facts.drops_repeats { "yes" } else { "no" };
        assert!(repeats.starts_with(dropped), "{kind}: {dropped}: {repeats}");
        match facts.daily_limit {
            None => assert!(!limits.contains(" a day"), "{kind}: {limits}"),
            Some(DailyLimit { default, risky_above, reason, source }) => {
                let source = if source.starts_with("https:") {
                    format!("<{source}>")
                } else {
                    source.to_owned()
                };
                let told =
                    format!("{default} a day; above {risky_above} risky: {reason} ({source})");
                assert!(limits.starts_with(&told), "{kind} should have: {told}");
            }
        }
        let window = facts.reply_window.is_some();
        assert_eq!(limits.contains("replies for 24 hours"), window, "{kind}: {limits}");
    }
}
