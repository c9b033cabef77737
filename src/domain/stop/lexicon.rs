//! One language's words and phrases, read from its file.
//!
//! A line is a keyword and what it says; `words/english.txt` begins with what each means.

use std::collections::{HashMap, HashSet};

use super::{
    pattern::{Element, Otherwise, Pattern, Token, WordId},
    text::{Sentence, folded},
};

/// Letters from which on a word may have one wrong: in shorter ones a letter makes another word.
const TYPO_LETTERS_MIN: usize = 7;
/// Letters at a word's end that must be right: endings tell `do not bother` from `does not bother`.
const ENDING_LETTERS: usize = 2;

#[derive(Default)]
pub(super) struct Lexicon {
    ids: HashMap<String, WordId>,
    prefixes: Vec<(String, WordId)>,
    long: Vec<(String, WordId)>,
    fillers: HashSet<String>,
    joints: HashSet<String>,
    firm: HashSet<String>,
    whole: Vec<Pattern>,
    phrases: Vec<Pattern>,
    vetoes: Vec<Pattern>,
    limits: Vec<Pattern>,
}

impl Lexicon {
    pub(super) fn read(text: &str) -> Self {
        let mut lexicon = Self::default();
        let mut classes: HashMap<&str, Vec<&str>> = HashMap::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with("//") {
                continue;
            }
            let (keyword, rest) = line.split_once(' ').expect("a line has a keyword and words");
            let words = || rest.split_whitespace().map(folded);
            match keyword {
                "filler" => lexicon.fillers.extend(words()),
                "joint" => lexicon.joints.extend(words()),
                "firm" => lexicon.firm.extend(words()),
                "class" => {
                    let (name, members) = rest.split_once(" = ").expect("a class has members");
                    classes.insert(name, members.split_whitespace().collect());
                }
                "whole" | "phrase" | "veto" | "limit" => {
                    let pattern = lexicon.pattern(rest, &classes);
                    match keyword {
                        "whole" => lexicon.whole.push(pattern),
                        "phrase" => lexicon.phrases.push(pattern),
                        "veto" => lexicon.vetoes.push(pattern),
                        _ => lexicon.limits.push(pattern),
                    }
                }
                other => unreachable!("`{other}` is no keyword of the files of words"),
            }
        }
        let long = lexicon.ids.iter().filter(|(word, _)| word.chars().count() >= TYPO_LETTERS_MIN);
        lexicon.long = long.map(|(word, id)| (word.clone(), *id)).collect();
        lexicon
    }

    fn pattern(&mut self, text: &str, classes: &HashMap<&str, Vec<&str>>) -> Pattern {
        let element = |element: &str| match element {
            "^" => Element::Start,
            "$" => Element::End,
            ".." => Element::Gap,
            "#" => Element::Number,
            words => {
                let (words, otherwise) = match (words.strip_suffix('?'), words.strip_suffix("|$")) {
                    (Some(words), _) => (words, Otherwise::Missing),
                    (None, Some(words)) => (words, Otherwise::End),
                    (None, None) => (words, Otherwise::Nothing),
                };
                let mut ids = Vec::new();
                for word in words.split('|') {
                    match word.strip_prefix('@') {
                        Some(class) => {
                            let members = classes.get(class).expect("a class is told before");
                            ids.extend(members.iter().map(|member| self.id(member)));
                        }
                        None => ids.push(self.id(word)),
                    }
                }
                Element::Words { ids, otherwise }
            }
        };
        Pattern(text.split_whitespace().map(element).collect())
    }

    /// The number of a word, or of the words that begin so: `word*`.
    fn id(&mut self, word: &str) -> WordId {
        let next = WordId::try_from(self.ids.len() + self.prefixes.len()).unwrap_or(WordId::MAX);
        match word.strip_suffix('*') {
            Some(prefix) => {
                let prefix = folded(prefix);
                let known = self.prefixes.iter().find(|(known, _)| *known == prefix);
                if let Some((_, id)) = known {
                    return *id;
                }
                self.prefixes.push((prefix, next));
                next
            }
            None => *self.ids.entry(folded(word)).or_insert(next),
        }
    }

    /// Whether these sentences ask to stop.
    pub(super) fn is_met_by(&self, sentences: &[Sentence]) -> bool {
        let sentences: Vec<(Vec<Token>, bool)> =
            sentences.iter().map(|sentence| self.tokens(sentence)).collect();
        let all: Vec<Token> =
            sentences.iter().flat_map(|(tokens, _)| tokens.iter().cloned()).collect();
        let is_in = |patterns: &[Pattern], tokens: &[Token]| {
            patterns.iter().any(|pattern| pattern.is_in(tokens))
        };
        self.whole.iter().any(|pattern| pattern.is_all_of(&all))
            || sentences.iter().any(|(tokens, is_firm)| {
                is_in(&self.phrases, tokens)
                    && !is_in(&self.vetoes, tokens)
                    && (*is_firm || !is_in(&self.limits, tokens))
            })
    }

    /// The words that carry meaning, and whether one of them is firm.
    fn tokens(&self, sentence: &Sentence) -> (Vec<Token>, bool) {
        let mut tokens = Vec::with_capacity(sentence.len());
        let mut after_break = false;
        let mut is_firm = false;
        for word in sentence {
            let text = word.text.as_str();
            after_break |= word.after_break;
            is_firm |= self.firm.contains(text);
            if self.joints.contains(text) {
                after_break = true;
                continue;
            }
            if self.fillers.contains(text) {
                continue;
            }
            tokens.push(Token {
                ids: self.ids_of(text),
                is_number: text.starts_with(|c: char| c.is_ascii_digit()),
                after_break: std::mem::take(&mut after_break),
            });
        }
        (tokens, is_firm)
    }

    fn ids_of(&self, text: &str) -> Vec<WordId> {
        let exact = self.ids.get(text).copied();
        let mut ids: Vec<WordId> = exact.into_iter().collect();
        let prefixes = self.prefixes.iter().filter(|(prefix, _)| text.starts_with(prefix.as_str()));
        ids.extend(prefixes.map(|(_, id)| *id));
        if ids.is_empty() && text.chars().nth(TYPO_LETTERS_MIN - 2).is_some() {
            ids.extend(self.long.iter().filter(|(word, _)| is_typo(text, word)).map(|(_, id)| *id));
        }
        ids
    }
}

/// Whether a text is a word with one letter wrong, missing, too many or exchanged with the next.
fn is_typo(text: &str, word: &str) -> bool {
    text.len().abs_diff(word.len()) <= 4
        && text.chars().next() == word.chars().next()
        && text.chars().rev().take(ENDING_LETTERS).eq(word.chars().rev().take(ENDING_LETTERS))
        && strsim::osa_distance(text, word) == 1
}
