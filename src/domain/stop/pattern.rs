//! A phrase as the files of words write it, and finding it in a sentence.

/// Words that a gap may hold: a phrase that is torn further apart says something else.
const GAP_MAX: usize = 3;

/// A word of a pattern, by its number in the lexicon.
pub(super) type WordId = u32;

/// A word of a sentence: every word of the lexicon that it may be.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) ids: Vec<WordId>,
    pub(super) is_number: bool,
    pub(super) after_break: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// `a|b`: one of some words.
    Words { ids: Vec<WordId>, otherwise: Otherwise },
    /// `#`: a word that begins with a digit.
    Number,
    /// `..`: up to three words.
    Gap,
    /// `^`: the beginning of a part of a sentence.
    Start,
    /// `$`: the end of one.
    End,
}

/// What will do where none of the words stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Otherwise {
    Nothing,
    /// `a?`: they may be missing.
    Missing,
    /// `a|$`: the end of a part of a sentence.
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Pattern(pub(super) Vec<Element>);

impl Pattern {
    /// Whether the pattern stands anywhere in a sentence.
    pub(super) fn is_in(&self, sentence: &[Token]) -> bool {
        (0..sentence.len()).any(|at| matches(&self.0, sentence, at, |_| true))
    }

    /// Whether a message is this pattern and nothing else.
    pub(super) fn is_all_of(&self, message: &[Token]) -> bool {
        !message.is_empty() && matches(&self.0, message, 0, |end| end == message.len())
    }
}

fn matches(
    pattern: &[Element],
    words: &[Token],
    at: usize,
    is_end: impl Fn(usize) -> bool + Copy,
) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return is_end(at) };
    let word = words.get(at);
    match first {
        Element::Words { ids, otherwise } => {
            let is_hit = word.is_some_and(|word| word.ids.iter().any(|id| ids.contains(id)));
            let will_do = match otherwise {
                Otherwise::Nothing => false,
                Otherwise::Missing => true,
                Otherwise::End => word.is_none_or(|word| word.after_break),
            };
            is_hit && matches(rest, words, at + 1, is_end)
                || will_do && matches(rest, words, at, is_end)
        }
        Element::Number => {
            word.is_some_and(|word| word.is_number) && matches(rest, words, at + 1, is_end)
        }
        Element::Gap => {
            (at..=words.len().min(at + GAP_MAX)).any(|next| matches(rest, words, next, is_end))
        }
        Element::Start => {
            (at == 0 || word.is_some_and(|word| word.after_break))
                && matches(rest, words, at, is_end)
        }
        Element::End => {
            word.is_none_or(|word| word.after_break) && matches(rest, words, at, is_end)
        }
    }
}
