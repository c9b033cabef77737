//! Words, times and amounts of dialogues, as people read them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::dialogue::{Author, DialogueState};

/// The state as it is said in a sentence.
pub(super) fn shown_state(state: DialogueState) -> &'static str {
    match state {
        DialogueState::WithOperator => "with operator",
        other => other.as_str(),
    }
}

/// How many are in each state, those that there are, and how many have succeeded where these are more.
pub(in crate::cli) fn state_counts(
    states: &BTreeMap<DialogueState, u64>,
    successes: u64,
) -> String {
    let some = states.iter().filter(|(_, n)| **n > 0);
    let mut parts: Vec<String> =
        some.map(|(state, n)| format!("{n} {}", shown_state(*state))).collect();
    // Whoever takes a success over does not take it away.
    if states.get(&DialogueState::Succeeded).copied().unwrap_or_default() < successes {
        let noun = if successes == 1 { "success" } else { "successes" };
        parts.push(format!("{successes} {noun} in all"));
    }
    parts.join(", ")
}

/// Whoever wrote on after a success says thank you, mostly: it is told, and is no alarm.
pub(in crate::cli) fn wrote_after(n: u64) -> String {
    let noun = if n == 1 { "person" } else { "people" };
    format!("{n} {noun} wrote after a success: nuncio dialogues --waiting --state succeeded")
}

pub(in crate::cli) fn shown_author(author: Author) -> &'static str {
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
pub(in crate::cli) fn due(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (at - now).num_seconds();
    match seconds {
        ..=0 => "any moment".to_owned(),
        1..=120 => format!("in {seconds} s"),
        _ if at.date_naive() == now.date_naive() => at.format("at %H:%M UTC").to_string(),
        _ => at.format("on %Y-%m-%d at %H:%M UTC").to_string(),
    }
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
    fn times_and_words_fit_their_column() {
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
        for (text, wanted) in
            [("", ""), ("a\nb", "a b"), ("Привет, мир", "Привет,…"), ("12345678", "12345678")]
        {
            assert_eq!(cut(text, 8), wanted);
        }
    }
}
