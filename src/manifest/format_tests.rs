//! The layout of samples, and what holds for every text.

use std::{fmt::Write as _, fs, path::Path};

use proptest::prelude::*;

use super::{
    format::{FormatError, format_text},
    order::rank,
    schema::DocumentKind,
};

fn formatted(text: &str) -> String {
    format_text("a.yaml", text).unwrap()
}

#[test]
fn the_samples_have_the_layout_already() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["tasks.d", "tests/manifests/valid"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "yaml") {
                let text = fs::read_to_string(&path).unwrap();
                assert_eq!(formatted(&text), text, "{}", path.display());
            }
        }
    }
}

#[test]
fn keys_are_brought_into_order_with_their_comments() {
    let text = "# yaml-language-server: $schema=x\n# The heading.\n\n\n\nkind:   Task # a kind\n\
        # above the version\napiVersion: nuncio/v1\nspec:\n    # the limits\n    outgoing:\n\
        \x20       # the pause\n        pauseBetweenDialogues: '45s'   # long\n\
        \x20       opening: {writtenBy: ai}\n        workingHours: \"09:00-18:00\"\n\
        \x20       # end of outgoing\n\n\n    type: vkontakte   # for ever\n    # of the channels\n\n\
        \x20   channels:\n    - vk   # the one\n    # before the next\n    - vk-2\n    # end of spec\n\
        # above the metadata\nmetadata: { annotations: {b: c, a: d}, name: one }\n# end\n";
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("formatted", formatted(text));
    });
}

#[test]
fn the_ends_of_texts_are_kept_or_made_usual() {
    for (text, expected) in [
        ("", ""),
        ("\n\n", ""),
        ("# only a comment", "# only a comment\n"),
        ("a: 1", "a: 1\n"),
        ("a: 1\n\n\n", "a: 1\n"),
        ("a: 1\r\nb:   2\r\n", "a: 1\r\nb: 2\r\n"),
        ("\u{feff}a:   1\n", "\u{feff}a: 1\n"),
        ("a: 1\n---\n# between\n---\nb: 1\n", "a: 1\n---\n# between\n---\nb: 1\n"),
        ("a: 'b'\nc: 'it''s'\nd: \"\\u0041\"\n", "a: \"b\"\nc: 'it''s'\nd: \"\\u0041\"\n"),
        ("a: '\\d'\n", "a: '\\d'\n"),
        ("a: NO\nb: 010\nc: +7\nd: 2.50\n", "a: NO\nb: 010\nc: +7\nd: 2.50\n"),
    ] {
        match format_text("a.yaml", text) {
            Ok(formatted) => assert_eq!(formatted, expected, "{text:?}"),
            Err(error) => panic!("{text:?}: {error}"),
        }
    }
}

#[test]
fn what_cannot_be_kept_is_left_as_it_is() {
    // The line breaks at the end of this text are a part of it.
    let ending = "a: |+\n  x\n\n".to_owned();
    // The parser of the layout cannot follow so far.
    let deep = format!("a:\n{}b: 1\n", " ".repeat(70));
    let dashes = "- ".repeat(40) + "1\n";
    // And loses count of its columns here.
    let steps = "---\n  ---\n  -\n- ".to_owned();
    for text in [ending, deep, dashes, steps] {
        let kept = format_text("a.yaml", &text);
        assert!(matches!(kept, Err(FormatError::NotKept)), "{kept:?}");
    }
}

#[test]
fn a_list_that_is_too_long_for_its_line_has_a_line_for_each_item() {
    let numbers: Vec<String> = (0..12).map(|n| format!("\"+791234500{n:02}\"")).collect();
    let pairs: Vec<String> = numbers.iter().map(|one| format!("[{one}, {{a: {one}}}]")).collect();
    let line = |all: &[String]| format!("[{}]", all.join(", "));
    let lines = |all: &[String]| format!("\n    - {}", all.join("\n    - "));
    let (short, long, many) = (line(&numbers[..3]), line(&numbers), lines(&numbers));
    let cases = [
        (format!("a:\n  b: {short}\n"), format!("a:\n  b: {short}\n")),
        (format!("a:\n  b: {long}\n"), format!("a:\n  b:{many}\n")),
        (format!("a:\n  b: {long} # who\n  c: 1\n"), format!("a:\n  b: # who{many}\n  c: 1\n")),
        (format!("a:\n  b: {short}\n  c: {long}\n"), format!("a:\n  b: {short}\n  c:{many}\n")),
        (format!("a:\n  b: {}\n", line(&pairs)), format!("a:\n  b:{}\n", lines(&pairs))),
    ];
    for (text, expected) in cases {
        assert_eq!(formatted(&text), expected);
    }
}

#[test]
fn a_comment_below_a_list_is_about_the_next_key() {
    let text = "a:\n- b: |\n    x\n\n    y\n  c:\n  - d\n# about e\ne: 1\n";
    let expected = "a:\n  - b: |\n      x\n\n      y\n    c:\n      - d\n# about e\ne: 1\n";
    assert_eq!(formatted(text), expected);
}

#[test]
fn an_anchor_stays_above_its_aliases() {
    let text = "kind: Ai\nspec:\n  disclosure: &d x\n  model: *d\napiVersion: nuncio/v1\n";
    assert_eq!(formatted(text), text);
}

#[test]
fn what_is_no_yaml_is_told_and_not_touched() {
    for text in ["a: 'b", "a: 1\na: 2\n", "a: !x b\n", "a: b\n c: d"] {
        let Err(FormatError::Invalid(found)) = format_text("a.yaml", text) else {
            panic!("{text:?} was formatted")
        };
        assert!(!found.is_empty());
    }
}

/// A task in any order of its keys, with comments wherever one may stand.
fn task() -> impl Strategy<Value = String> {
    let spec = vec![
        "title: \"a # b\"",
        "type:   vkontakte",
        "channels:\n  - vk # c\n  # between\n  - 'vk-2'",
        "managers: [ anna,\n    boris ]",
        "ai: 'sales'",
        "protect: { reason: \"x\" }",
        "outgoing:\n      pauseBetweenDialogues: 3s\n      # inside\n      opening:\n        text: |\n          # no comment\n            a\n\n          b\n      workingHours: \"09:00-18:00\"",
        "state: >-\n    running\n    on",
    ];
    let comment = prop_oneof![
        3 => Just(String::new()),
        1 => Just("# above\n".to_owned()),
        1 => Just("\n\n".to_owned()),
        1 => Just("# one\n\n# two\n".to_owned()),
    ];
    let behind = prop_oneof![3 => Just(""), 1 => Just("   # behind")];
    let root = Just(vec!["apiVersion: nuncio/v1", "kind: 'Task'", "metadata: {name: a}", "spec:"]);
    (
        Just(spec).prop_shuffle(),
        root.prop_shuffle(),
        proptest::collection::vec((comment, behind), 12),
        any::<bool>(),
    )
        .prop_map(|(spec, root, comments, crlf)| {
            let mut text = String::new();
            let mut comments = comments.into_iter();
            for line in root {
                let (above, behind) = comments.next().unwrap();
                write!(text, "{above}{line}{behind}").unwrap();
                text.push('\n');
                for entry in spec.iter().filter(|_| line == "spec:") {
                    let (above, behind) = comments.next().unwrap();
                    for line in above.lines() {
                        if !line.is_empty() {
                            text.push_str("  ");
                        }
                        text.push_str(line);
                        text.push('\n');
                    }
                    // A comment behind a block of text would be a part of it.
                    let behind = if entry.contains('\n') { "" } else { behind };
                    writeln!(text, "  {}{behind}", entry.replace('\n', "\n  ")).unwrap();
                }
            }
            if crlf { text.replace('\n', "\r\n") } else { text }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_layout_is_one_whatever_the_order_was(text in task()) {
        let once = formatted(&text);
        prop_assert_eq!(&formatted(&once), &once);
        let keys: Vec<&str> = once.lines().filter(|line| line.starts_with(|c: char| c.is_alphabetic())).collect();
        prop_assert!(keys.is_sorted_by_key(|line| {
            ["apiVersion", "kind", "metadata", "spec"].iter().position(|key| line.starts_with(key))
        }), "{}", once);
        let keys: Vec<usize> = once
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.split_once(':'))
            .filter(|(key, _)| key.chars().all(char::is_alphanumeric))
            .map(|(key, _)| rank(DocumentKind::Task, "spec", key))
            .collect();
        prop_assert!(keys.len() == 8 && keys.is_sorted(), "{:?} {}", keys, once);
    }

    #[test]
    fn no_text_makes_it_panic_or_unsteady(text in "([-:?#|> \n'\"\\[\\]{},&*ab0]|  |\n  |\na: |\n- |---\n){0,30}") {
        if let Ok(once) = format_text("a.yaml", &text) {
            let twice = format_text("a.yaml", &once);
            prop_assert_eq!(twice.ok(), Some(once));
        }
    }
}
