//! A message as words that can be compared: without case, diacritics, decoration and disguise.

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// Words of a message that are looked at, from its beginning and from its end: whoever asks to be left
/// alone does not hide it in the middle of a novel, and the work stays bounded.
const WORDS_FIRST_MAX: usize = 600;
const WORDS_LAST_MAX: usize = 200;
/// No word of a language is longer; what is, is no word.
const WORD_CHARACTERS_MAX: usize = 40;

/// A word, and whether a comma or something like it stands before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) after_break: bool,
}

/// The words of one sentence.
pub(super) type Sentence = Vec<Word>;

/// A word as it is compared.
pub(super) fn folded(word: &str) -> String {
    fold_word(&decomposed(word))
}

/// The sentences of a message. What it quotes is not what it says, unless it says nothing else.
pub(super) fn sentences(message: &str) -> Vec<Sentence> {
    let without = split(&unquoted(message));
    if without.is_empty() { split(message) } else { without }
}

fn split(message: &str) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    let mut sentence = Sentence::new();
    let mut after_break = false;
    let mut raw = String::new();
    let end_word = |raw: &mut String, sentence: &mut Sentence, after_break: &mut bool| {
        if raw.is_empty() {
            return;
        }
        let text = fold_word(raw);
        raw.clear();
        sentence.push(Word { text, after_break: std::mem::take(after_break) });
    };
    for character in decomposed_characters(message) {
        match character {
            c if c.is_alphanumeric() => {
                if raw.chars().nth(WORD_CHARACTERS_MAX).is_none() {
                    raw.push(c);
                }
            }
            // Within a word, as in `don't`; a `*` hides letters of an oath.
            '\'' | '’' | 'ʼ' | '`' | '´' | '‘' | '*' => {}
            '.' | '!' | '?' | ';' | '\n' | '…' => {
                end_word(&mut raw, &mut sentence, &mut after_break);
                after_break = false;
                if !sentence.is_empty() {
                    sentences.push(std::mem::take(&mut sentence));
                }
            }
            c => {
                end_word(&mut raw, &mut sentence, &mut after_break);
                // A hyphen joins what belongs together.
                after_break |= matches!(c, ',' | ':' | '(' | ')' | '—' | '–' | '/');
            }
        }
    }
    end_word(&mut raw, &mut sentence, &mut after_break);
    if !sentence.is_empty() {
        sentences.push(sentence);
    }
    join_letters(&mut sentences);
    bounded(sentences)
}

/// `S T O P` and `s.t.o.p.` are one word.
fn join_letters(sentences: &mut Vec<Sentence>) {
    let words = || sentences.iter().flatten();
    if words().count() >= 3 && words().all(|word| word.text.chars().count() == 1) {
        let text = words().map(|word| word.text.as_str()).collect();
        *sentences = vec![vec![Word { text, after_break: false }]];
    }
}

fn bounded(sentences: Vec<Sentence>) -> Vec<Sentence> {
    let total: usize = sentences.iter().map(Vec::len).sum();
    let from_last = total.saturating_sub(WORDS_LAST_MAX);
    let mut before = 0;
    let mut kept = Vec::new();
    for mut sentence in sentences {
        let mut index = before;
        before += sentence.len();
        sentence.retain(|_| {
            index += 1;
            index <= WORDS_FIRST_MAX || index > from_last
        });
        if !sentence.is_empty() {
            kept.push(sentence);
        }
    }
    kept
}

/// Without what stands in quotation marks, in lines that quote an earlier message, and in those that name in
/// brackets what is no text.
fn unquoted(message: &str) -> String {
    let mut kept = String::with_capacity(message.len());
    let said = |line: &&str| {
        let line = line.trim();
        !(line.starts_with('>') || line.starts_with('[') && line.ends_with(']'))
    };
    for line in message.lines().filter(said) {
        let mut rest = line;
        while let Some(from) = rest.find(QUOTES) {
            let (before, quoted) = rest.split_at(from);
            let mut inside = quoted.chars();
            inside.next();
            let Some(to) = inside.as_str().find(QUOTES) else { break };
            kept.push_str(before);
            kept.push(' ');
            let mut after = inside.as_str()[to..].chars();
            after.next();
            rest = after.as_str();
        }
        kept.push_str(rest);
        kept.push('\n');
    }
    kept
}

const QUOTES: [char; 6] = ['"', '«', '»', '“', '”', '„'];

fn decomposed(text: &str) -> String {
    decomposed_characters(text).filter(|c| c.is_alphanumeric()).collect()
}

/// Compatible forms, in lower case, without marks, and without characters that take no room.
fn decomposed_characters(text: &str) -> impl Iterator<Item = char> + '_ {
    let unseen = |c: &char| {
        matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}' | '\u{feff}')
    };
    let marked = |c: &char| is_combining_mark(*c);
    text.nfkd()
        .filter(move |c| !unseen(c) && !marked(c))
        .flat_map(char::to_lowercase)
        .filter(move |c| !marked(c))
}

/// Letters of one script that look like letters of the other.
const LOOKALIKES: [(char, char); 13] = [
    ('a', 'а'),
    ('b', 'в'),
    ('c', 'с'),
    ('e', 'е'),
    ('h', 'н'),
    ('i', 'і'),
    ('k', 'к'),
    ('m', 'м'),
    ('o', 'о'),
    ('p', 'р'),
    ('t', 'т'),
    ('x', 'х'),
    ('y', 'у'),
];

fn is_cyrillic(c: char) -> bool {
    matches!(c, '\u{400}'..='\u{52f}')
}

/// One spelling for what people write in several.
fn fold_word(word: &str) -> String {
    let letters: Vec<char> = word.chars().collect();
    let latin = letters.iter().any(char::is_ascii_alphabetic);
    let cyrillic = letters.iter().copied().any(is_cyrillic);
    // A word of two scripts is in the one that has all of its letters.
    let to_latin = latin
        && cyrillic
        && letters.iter().all(|c| !is_cyrillic(*c) || LOOKALIKES.iter().any(|(_, own)| own == c))
        && letters
            .iter()
            .any(|c| c.is_ascii_alphabetic() && LOOKALIKES.iter().all(|(own, _)| own != c));
    let mut folded: Vec<char> = Vec::with_capacity(letters.len());
    for (index, letter) in letters.iter().copied().enumerate() {
        let near = |step: usize| letters.get(step).is_some_and(|c| c.is_alphabetic());
        let letter = match letter {
            c if latin && cyrillic && to_latin => {
                LOOKALIKES.iter().find(|(_, own)| *own == c).map_or(c, |(other, _)| *other)
            }
            c if latin && cyrillic => {
                LOOKALIKES.iter().find(|(own, _)| *own == c).map_or(c, |(_, other)| *other)
            }
            '0' if index > 0 && near(index - 1) && near(index + 1) => {
                if cyrillic {
                    'о'
                } else {
                    'o'
                }
            }
            c => c,
        };
        match letter {
            'ß' => folded.extend(['s', 's']),
            letter => folded.push(plain(letter)),
        }
    }
    // A letter that is held down: `stooop`.
    let mut kept: Vec<char> = Vec::with_capacity(folded.len());
    let mut index = 0;
    while index < folded.len() {
        let run = folded[index..].iter().take_while(|c| **c == folded[index]).count();
        let is_held = run >= 3 && folded[index].is_alphabetic();
        kept.extend(std::iter::repeat_n(folded[index], if is_held { 1 } else { run }));
        index += run;
    }
    kept.into_iter().collect()
}

/// Letters that do not decompose, as they are typed on a keyboard that lacks them.
fn plain(letter: char) -> char {
    match letter {
        'ı' => 'i',
        'і' | 'ї' => 'и',
        'є' => 'е',
        'ґ' | 'ғ' => 'г',
        'қ' => 'к',
        'ң' => 'н',
        'ә' => 'а',
        'ө' => 'о',
        'ү' | 'ұ' => 'у',
        'һ' => 'х',
        other => other,
    }
}
