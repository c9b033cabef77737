//! A text in parts that a provider takes: cut where a reader would pause.

use unicode_segmentation::UnicodeSegmentation as _;

/// A part is at least this share of the limit, unless only a cut in a word would make it longer:
/// a heading alone in a message reads worse than a paragraph in two.
const LEAST_SHARE: usize = 3;

/// Parts whose `length` is within `limit`, in order, none of them blank.
///
/// Only white space at the cuts is lost. A grapheme longer than the limit, which nobody writes in
/// good faith, is the one thing that is cut inside.
pub(super) fn split(text: &str, limit: usize, length: fn(&str) -> usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = trim(text);
    while !rest.is_empty() {
        let (part, after) = rest.split_at(cut(rest, limit, length));
        let part = trim(part);
        if !part.is_empty() {
            parts.push(part.to_owned());
        }
        rest = trim(after);
    }
    parts
}

/// Where the next part ends: never 0.
fn cut(text: &str, limit: usize, length: fn(&str) -> usize) -> usize {
    let mut ends = Vec::new();
    let mut used = 0;
    for (start, grapheme) in text.grapheme_indices(true) {
        used += length(grapheme);
        if used > limit {
            break;
        }
        ends.push(start + grapheme.len());
    }
    let Some(&window) = ends.last() else { return cut_in_grapheme(text, limit, length) };
    if window == text.len() {
        return window;
    }
    let least = ends[ends.len() / LEAST_SHARE];
    let fits = |at: &usize| *at <= window && ends.binary_search(at).is_ok();
    let last = |found: &mut dyn Iterator<Item = usize>| {
        found.take_while(|at| *at <= window).filter(fits).last()
    };
    let before = |pattern: &'static str| {
        text[..window].match_indices(pattern).map(|(at, _)| at).filter(fits).last()
    };
    let sentence = last(&mut text.split_sentence_bound_indices().map(|(at, _)| at));
    let pauses = [before("\n\n"), before("\n"), sentence];
    if let Some(at) = pauses.into_iter().flatten().find(|at| *at >= least) {
        return at;
    }
    let space =
        last(&mut text.char_indices().filter(|(_, char)| char.is_whitespace()).map(|(at, _)| at));
    let word = last(&mut text.split_word_bound_indices().map(|(at, _)| at));
    space.or(word).unwrap_or(window)
}

fn cut_in_grapheme(text: &str, limit: usize, length: fn(&str) -> usize) -> usize {
    let mut ends = text.char_indices().map(|(start, char)| start + char.len_utf8());
    let first = ends.next().expect("`split` stops at an empty text");
    ends.take_while(|end| length(&text[..*end]) <= limit).last().unwrap_or(first)
}

/// Without graphemes of white space at both ends. A mark that stands on a space is kept with it.
fn trim(text: &str) -> &str {
    let blank = |grapheme: &&str| grapheme.chars().all(char::is_whitespace);
    let leading: usize = text.graphemes(true).take_while(blank).map(str::len).sum();
    let text = &text[leading..];
    let trailing: usize = text.graphemes(true).rev().take_while(blank).map(str::len).sum();
    &text[..text.len() - trailing]
}

pub(super) fn characters(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn graphemes<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let all = texts.into_iter().flat_map(|text| text.graphemes(true));
        all.filter(|grapheme| !grapheme.chars().all(char::is_whitespace)).collect()
    }

    #[test]
    fn a_text_is_cut_where_a_reader_pauses() {
        for (text, limit, parts) in [
            ("", 10, &[][..]),
            (" \n ", 10, &[]),
            (" whole ", 5, &["whole"]),
            ("One two.\n\nThree four five", 20, &["One two.", "Three four five"]),
            ("One two\nthree. Four five", 17, &["One two", "three. Four five"]),
            ("One two. Three four five", 18, &["One two.", "Three four five"]),
            ("A. Three four five", 12, &["A. Three", "four five"]),
            ("Привет, мир и всем", 12, &["Привет, мир", "и всем"]),
            ("aaaaaaaaaa", 4, &["aaaa", "aaaa", "aa"]),
            ("👩‍👩‍👧👩‍👩‍👧", 7, &["👩‍👩‍👧", "👩‍👩‍👧"]),
            ("🇩🇪🇫🇷🇪🇸", 5, &["🇩🇪🇫🇷", "🇪🇸"]),
            ("e\u{301}\u{301}\u{301}", 2, &["e\u{301}", "\u{301}\u{301}"]),
        ] {
            assert_eq!(split(text, limit, characters), parts, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_grapheme_is_kept_and_every_part_fits(
            text in "([a-zа-я]{1,9}[ .,!?\n]{0,3}|👩‍👩‍👧|🇩🇪|e\u{301}|한|\r\n|\\PC){0,60}",
            limit in 8..40_usize,
        ) {
            prop_assume!(text.graphemes(true).all(|grapheme| characters(grapheme) <= limit));
            for length in [characters, str::len as fn(&str) -> usize] {
                let limit = if length("é") == 2 { limit * 4 } else { limit };
                prop_assume!(text.graphemes(true).all(|grapheme| length(grapheme) <= limit));
                let parts = split(&text, limit, length);
                for part in &parts {
                    prop_assert!(length(part) <= limit && !part.trim().is_empty(), "{part:?}");
                }
                let kept = graphemes(parts.iter().map(String::as_str));
                prop_assert_eq!(kept, graphemes([text.as_str()]));
            }
        }

        #[test]
        fn marks_without_end_still_fit(marks in 0..50_usize, limit in 1..9_usize) {
            let text = format!("a{}b", "\u{301}".repeat(marks));
            let parts = split(&text, limit, characters);
            prop_assert!(parts.iter().all(|part| characters(part) <= limit));
            prop_assert_eq!(parts.concat(), text);
        }
    }
}
