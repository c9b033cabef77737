//! What the AI is asked: its instructions, and the dialogue so far.

use std::mem;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    pub system: String,
    /// Oldest first. May be empty, begin with ours, and have several of one side in a row.
    pub turns: Vec<Turn>,
    /// Offers the tools of a dialogue.
    pub tools: bool,
    /// With the reasoning, where the model reasons.
    pub max_output_tokens: u32,
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    Person(String),
    Ours(String),
}

impl Turn {
    pub fn text(&self) -> &str {
        match self {
            Self::Person(text) | Self::Ours(text) => text,
        }
    }

    fn text_mut(&mut self) -> &mut String {
        match self {
            Self::Person(text) | Self::Ours(text) => text,
        }
    }
}

/// Said for the person where we speak first or last: many models' templates refuse a dialogue that
/// the user does not begin and end.
pub(super) const PERSON_IS_SILENT: &str = "(The person has not written yet. Write to them.)";
const PERSON_WAITS: &str = "(The person has written nothing more. Write the next message.)";

/// The turns as every server takes them: none is blank, the person begins and ends, and the sides
/// alternate.
pub(super) fn alternating(turns: &[Turn]) -> Vec<Turn> {
    let mut all: Vec<Turn> = Vec::with_capacity(turns.len() + 2);
    for turn in turns.iter().filter(|turn| !turn.text().trim().is_empty()) {
        match all.last_mut() {
            Some(last) if mem::discriminant(last) == mem::discriminant(turn) => {
                let text = last.text_mut();
                text.push('\n');
                text.push_str(turn.text());
            }
            _ => all.push(turn.clone()),
        }
    }
    if !matches!(all.first(), Some(Turn::Person(_))) {
        all.insert(0, Turn::Person(PERSON_IS_SILENT.to_owned()));
    }
    if matches!(all.last(), Some(Turn::Ours(_))) {
        all.push(Turn::Person(PERSON_WAITS.to_owned()));
    }
    all
}

/// Splits a history into what fits and the older rest: `(kept, dropped)`, each oldest first. The
/// newest turn is always kept, for without it there is nothing to answer.
pub fn trim_to_budget(mut turns: Vec<Turn>, bytes: usize) -> (Vec<Turn>, Vec<Turn>) {
    let mut left = bytes;
    let fitting = turns
        .iter()
        .rev()
        .take_while(|turn| match left.checked_sub(turn.text().len()) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        })
        .count();
    let first_kept = turns.len() - fitting.max(1).min(turns.len());
    let kept = turns.split_off(first_kept);
    (kept, turns)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn person(text: &str) -> Turn {
        Turn::Person(text.to_owned())
    }

    fn ours(text: &str) -> Turn {
        Turn::Ours(text.to_owned())
    }

    #[test]
    fn the_person_begins_and_ends_and_the_sides_alternate() {
        let silent = || person(PERSON_IS_SILENT);
        for (turns, expected) in [
            (vec![], vec![silent()]),
            (vec![person(" \n")], vec![silent()]),
            (vec![person("a")], vec![person("a")]),
            (vec![person("a"), person("b")], vec![person("a\nb")]),
            (vec![person("a"), ours(""), person("b")], vec![person("a\nb")]),
            (vec![ours("o"), person("a")], vec![silent(), ours("o"), person("a")]),
            (vec![person("a"), ours("o")], vec![person("a"), ours("o"), person(PERSON_WAITS)]),
            (vec![ours("o"), ours("p")], vec![silent(), ours("o\np"), person(PERSON_WAITS)]),
        ] {
            assert_eq!(alternating(&turns), expected, "{turns:?}");
        }
    }

    fn turns() -> impl Strategy<Value = Vec<Turn>> {
        let turn = (any::<bool>(), "[a-zа-я ]{0,12}");
        let turn = turn.prop_map(
            |(is_person, text)| if is_person { Turn::Person(text) } else { Turn::Ours(text) },
        );
        prop::collection::vec(turn, 0..12)
    }

    proptest! {
        #[test]
        fn any_dialogue_alternates(turns in turns()) {
            let all = alternating(&turns);
            for (index, turn) in all.iter().enumerate() {
                prop_assert_eq!(matches!(turn, Turn::Person(_)), index % 2 == 0);
                prop_assert!(!turn.text().trim().is_empty());
            }
            prop_assert_eq!(all.len() % 2, 1);
        }

        #[test]
        fn the_newest_that_fits_is_kept_and_nothing_is_lost(turns in turns(), bytes in 0usize..100) {
            let (kept, dropped) = trim_to_budget(turns.clone(), bytes);
            let size = |turns: &[Turn]| turns.iter().map(|turn| turn.text().len()).sum::<usize>();
            prop_assert!(kept.len() <= 1 || size(&kept) <= bytes);
            prop_assert_eq!(kept.is_empty(), turns.is_empty());
            if let Some(next) = dropped.last() {
                prop_assert!(size(&kept) + next.text().len() > bytes);
            }
            prop_assert_eq!([dropped, kept].concat(), turns);
        }
    }
}
