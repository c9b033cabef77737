//! Text for a terminal: what came from manifests, people and databases must not steer it.

use std::borrow::Cow;

/// The colours that we write ourselves; an unlisted one could hide text.
const COLOURS: &[&str] =
    &["0", "1", "2", "31", "32", "33", "34", "35", "36", "1;31", "1;33", "1;36"];

/// The text with nothing in it that moves the cursor, turns the direction of writing or cannot be seen.
pub(super) fn tame(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = colour_length(rest).unwrap_or(c.len_utf8());
        let (piece, after) = rest.split_at(length);
        if length == c.len_utf8() && steers(c) {
            out.push('\u{fffd}');
        } else {
            out.push_str(piece);
        }
        rest = after;
    }
    Cow::Owned(out)
}

/// The length of one of our own colours, if the text begins with it.
fn colour_length(text: &str) -> Option<usize> {
    let code = text.strip_prefix("\u{1b}[")?;
    let is_it =
        |colour: &&&str| code.strip_prefix(**colour).is_some_and(|end| end.starts_with('m'));
    COLOURS.iter().find(is_it).map(|colour| "\u{1b}[m".len() + colour.len())
}

fn steers(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // Joiners (U+200C, U+200D) belong to scripts and to emoji.
        '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_colours_pass() {
        for plain in ["", "Задача «один»\t→ 2\n", "\u{1b}[1;31merror\u{1b}[0m: x", "👩\u{200d}💻"]
        {
            assert_eq!(tame(plain), plain);
        }
        for (sly, tamed) in [
            ("a\u{1b}[2Jb", "a\u{fffd}[2Jb"),
            ("a\u{1b}[8mb", "a\u{fffd}[8mb"),
            ("\u{1b}]0;title\u{7}", "\u{fffd}]0;title\u{fffd}"),
            ("\u{9b}31m\u{1b}[31m", "\u{fffd}31m\u{1b}[31m"),
            ("1\r2\u{8}\u{202e}3\u{1b}", "1\u{fffd}2\u{fffd}\u{fffd}3\u{fffd}"),
        ] {
            assert_eq!(tame(sly), tamed);
        }
    }
}
