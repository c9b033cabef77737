//! Words, times and amounts of dialogues, as people read them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::{
    dialogue::{Author, DialogueState},
    money::MicroUsd,
};

/// The state as it is said in a sentence.
pub(super) fn shown_state(state: DialogueState) -> &'static str {
    match state {
        DialogueState::WithOperator => "with operator",
        other => other.as_str(),
    }
}

/// How many are in each state, those that there are.
pub(in crate::cli) fn state_counts(states: &BTreeMap<DialogueState, u64>) -> String {
    let some = states.iter().filter(|(_, n)| **n > 0);
    let parts: Vec<String> =
        some.map(|(state, n)| format!("{n} {}", shown_state(*state))).collect();
    parts.join(", ")
}

pub(super) fn shown_author(author: Author) -> &'static str {
    match author {
        Author::Ai => "AI",
        other => other.as_str(),
    }
}

/// A time that has passed, in the largest unit that says enough: `45s`, `12m`, `3h`, `14d`.
pub(super) fn short(since: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - since).num_seconds().max(0);
    match seconds {
        0..=99 => format!("{seconds}s"),
        100..=5999 => format!("{}m", seconds / 60),
        6000..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// When something is due: in seconds while that is soon, else by the clock.
pub(super) fn due(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (at - now).num_seconds();
    match seconds {
        ..=0 => "any moment".to_owned(),
        1..=120 => format!("in {seconds} s"),
        _ if at.date_naive() == now.date_naive() => at.format("at %H:%M UTC").to_string(),
        _ => at.format("on %Y-%m-%d at %H:%M UTC").to_string(),
    }
}

/// In cents, as a line of a list has room for; what is spent never looks like less than it is.
pub(super) fn cents(amount: MicroUsd) -> String {
    const MICROS: i64 = 10_000;
    let cents = amount.micros().div_euclid(MICROS) + i64::from(amount.micros() % MICROS != 0);
    format!("${}.{:02}", cents / 100, cents % 100)
}

/// At most so many characters, in one line.
pub(super) fn cut(text: &str, at_most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= at_most {
        return line;
    }
    line.chars().take(at_most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn times_amounts_and_words_fit_their_column() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for (seconds, wanted) in [
            (-5, "0s"),
            (99, "99s"),
            (100, "1m"),
            (5999, "99m"),
            (6000, "1h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (86_400 * 400, "400d"),
        ] {
            assert_eq!(short(now - TimeDelta::seconds(seconds), now), wanted);
        }
        for (micros, wanted) in [
            (0, "$0.00"),
            (1, "$0.01"),
            (10_000, "$0.01"),
            (10_001, "$0.02"),
            (12_340_000, "$12.34"),
        ] {
            assert_eq!(cents(MicroUsd::from_micros(micros)), wanted);
        }
        for (text, wanted) in
            [("", ""), ("a\nb", "a b"), ("Привет, мир", "Привет,…"), ("12345678", "12345678")]
        {
            assert_eq!(cut(text, 8), wanted);
        }
    }
}
