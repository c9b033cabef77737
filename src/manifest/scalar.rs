//! Writes a text as a YAML scalar that is read back as the same text, by this loader and by others.

use std::fmt::Write as _;

use super::node::{Meaning, Scalar, Style};

/// What stands around a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Around {
    /// A value of a block map or list, whose content is indented by so many spaces.
    Block { indent: usize },
    /// Between brackets or braces, or as a key: one line.
    Flow,
}

/// How a scalar is written best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Without quotes where nothing mistakes it, as a block where it has several lines.
    Plainest,
    /// In double quotes, as it was before.
    DoubleQuoted,
    /// In single quotes where they can hold it.
    SingleQuoted,
}

/// A text, as a scalar. A block begins in the line of its key and ends without a line break.
pub(super) fn write_text(text: &str, around: Around, wish: Wish) -> String {
    match (wish, around) {
        (Wish::SingleQuoted, _) if fits_one_line(text) => {
            format!("'{}'", text.replace('\'', "''"))
        }
        (Wish::Plainest, _) if is_plain(text, around) => text.to_owned(),
        (_, Around::Block { indent }) if fits_block(text) => block(text, indent),
        _ => double_quoted(text),
    }
}

/// A number keeps its digits; what YAML would not take for a number is quoted.
pub(super) fn write_number(text: &str) -> String {
    let scalar = Scalar { text: text.to_owned(), style: Style::Plain };
    match scalar.meaning() {
        Meaning::Integer(_) | Meaning::Float(_) => text.to_owned(),
        _ => double_quoted(text),
    }
}

fn block(text: &str, indent: usize) -> String {
    let content = text.strip_suffix('\n');
    let mut written = if content.is_some() { "|" } else { "|-" }.to_owned();
    for line in content.unwrap_or(text).split('\n') {
        written.push('\n');
        if !line.is_empty() {
            written.push_str(&" ".repeat(indent));
            written.push_str(line);
        }
    }
    written
}

/// What a block keeps without indicators that few readers know.
fn fits_block(text: &str) -> bool {
    let content = text.strip_suffix('\n').unwrap_or(text);
    text.contains('\n')
        && !content.is_empty()
        && !content.ends_with('\n')
        && !content.starts_with(['\n', ' ', '\t'])
        && content.split('\n').all(|line| line.is_empty() || !line.trim().is_empty())
        && text.chars().all(|c| c == '\n' || c == '\t' || is_printable(c))
}

fn fits_one_line(text: &str) -> bool {
    text.chars().all(is_printable)
}

/// What every YAML reader takes for itself. Line separators and byte order marks are not.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Words that a reader of YAML 1.1 takes for something else than text.
const WORDS: &[&str] = &["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];

fn is_plain(text: &str, around: Around) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let is_word = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    let is_numeric = first.is_ascii_digit() || matches!(first, '+' | '.');
    let is_number =
        is_numeric && text.chars().all(|c| c.is_ascii_hexdigit() || "+-.:_xXoOtTzZ ,".contains(c));
    let is_indicator = "-?:,[]{}#&*!|>'\"%@`=<~".contains(first);
    let is_broken = text.trim() != text
        || text.ends_with(':')
        || text.contains(": ")
        || text.contains(" #")
        || !fits_one_line(text)
        || text.chars().any(|c| c.is_whitespace() && c != ' ');
    let is_torn = around == Around::Flow && text.contains([',', '[', ']', '{', '}', ':', '#']);
    !(is_word || is_number || is_indicator || is_broken || is_torn)
}

fn double_quoted(text: &str) -> String {
    let mut written = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\t' => written.push_str("\\t"),
            '\r' => written.push_str("\\r"),
            c if is_printable(c) => written.push(c),
            // Everything that is not printable stands in the first 65536 characters.
            c => write!(written, "\\u{:04x}", u32::from(c)).expect("a String takes all text"),
        }
    }
    written.push('"');
    written
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::manifest::yaml::parse;

    /// Texts in which everything that YAML minds is frequent.
    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ \t\n\r#:,'\"\\[\\]{}&*!|>%@`a0~=<?.+-]{0,12}",
            "(\n| |  |\t|a|b: c|# d|---|\\.\\.\\.|- e|\u{85}|\u{2028}|\u{feff}|ё|😀){0,8}",
            "[0-9+.:_xeE-]{1,8}",
            "\\PC{0,20}",
            any::<String>().prop_map(|text| text.replace('\0', "")),
        ]
    }

    fn read_back(written: &str, around: Around) -> Option<String> {
        let text = match around {
            Around::Block { .. } => format!("a:\n  b: {written}\n  c: d\n"),
            Around::Flow => format!("a:\n  b: {{b: {written}, c: [{written}]}}\n  c: d\n"),
        };
        let parsed = parse(&text);
        let root = &parsed.documents.first()?.root;
        assert_eq!(root.at("a.c")?.text(), Some("d"));
        match around {
            Around::Block { .. } => Some(root.at("a.b")?.text()?.to_owned()),
            Around::Flow => {
                let value = root.at("a.b.b")?.text()?;
                (root.at("a.b.c.0")?.text() == Some(value)).then(|| value.to_owned())
            }
        }
    }

    proptest! {
        #[test]
        fn every_text_is_read_back_however_it_is_written(text in texts()) {
            for around in [Around::Block { indent: 4 }, Around::Flow] {
                for wish in [Wish::Plainest, Wish::DoubleQuoted, Wish::SingleQuoted] {
                    let written = write_text(&text, around, wish);
                    prop_assert_eq!(read_back(&written, around), Some(text.clone()), "{}", written);
                    let scalar = parse(&format!("a: {written}")).documents.remove(0).root;
                    let scalar = scalar.get("a").unwrap().to_json();
                    prop_assert!(scalar.is_string(), "{}", written);
                }
            }
        }
    }

    #[test]
    fn what_yaml_would_change_is_quoted() {
        let write = |text| write_text(text, Around::Block { indent: 2 }, Wish::Plainest);
        for text in [
            "",
            "no",
            "NO",
            "Yes",
            "true",
            "null",
            "~",
            "010",
            "0x1F",
            "1",
            "-1",
            "1.5",
            "1e3",
            "+79123456789",
            "09:00-18:00",
            "12:30",
            "2026-01-01",
            "a: b",
            "a #b",
            "{{name}}",
            " a",
            "a ",
            "- a",
            "@anna",
            "a:",
            "1_000",
        ] {
            assert_eq!(write(text), format!("\"{text}\""));
        }
        for text in ["45s", "1m 30s", "gpt-5-mini", "https://a.test/b", "Hello, you!", "a'b", "ё"]
        {
            assert_eq!(write(text), text);
        }
        assert_eq!(write("a\n\n b\n"), "|\n  a\n\n   b");
        assert_eq!(write("a\nb"), "|-\n  a\n  b");
        assert_eq!(write_number("0.000001"), "0.000001");
        assert_eq!(write_number("1e-7x"), "\"1e-7x\"");
    }
}
