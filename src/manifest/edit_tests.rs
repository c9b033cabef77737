//! What an edit touches, what it refuses, and that it means what was asked for.

use proptest::{prelude::*, sample};

use super::{
    edit::{EditError, Reading, set_fields},
    schema::DocumentKind,
};
use crate::domain::fields::FieldValue;

const TASK: &str = "# head
apiVersion: nuncio/v1
kind: Task # a task
metadata: {name: one, labels: {a: b}}
spec:
  # for ever
  type:   vkontakte   # really
  format: 'incoming-and-outgoing'
  channels:
    - vk-2 # second
    # the first
    - \"vk-1\"
  # who
  managers: [ boris, anna ]

  ai: sales
  spendingLimitPerDialogue: 0.50
  outgoing:
      # Moscow
      workingHours: \"09:00-18:00\"   # daily
      dailyLimitPerChannel: 20
      pauseBetweenDialogues: 45s
      opening: {text: 'Hello, you!'}
      targetAudience: |
        # two
        1

        -5
      # end of outgoing
  # end of spec
---
# another
apiVersion: nuncio/v1
kind: Manager
metadata:
  name: one
spec: {fullName: \"One\", persona: x}
# end
";

type Change = (&'static str, Option<FieldValue>);

#[expect(clippy::unnecessary_wraps, reason = "a change may also remove")]
fn text(value: &str) -> Option<FieldValue> {
    Some(FieldValue::Text(value.to_owned()))
}

#[expect(clippy::unnecessary_wraps, reason = "as above")]
fn number(value: &str) -> Option<FieldValue> {
    Some(FieldValue::Number(value.to_owned()))
}

#[expect(clippy::unnecessary_wraps, reason = "as above")]
fn list(items: &[&str]) -> Option<FieldValue> {
    Some(FieldValue::List(items.iter().map(|item| (*item).to_owned()).collect()))
}

fn edit(source: &str, kind: DocumentKind, changes: &[Change]) -> Result<String, EditError> {
    let changes: Vec<_> =
        changes.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect();
    set_fields(source, kind, "one", &changes)
}

/// Each case: the changes, and the lines of the text that they turn into others.
#[track_caller]
fn assert_edits(source: &str, kind: DocumentKind, changes: &[Change], from: &str, to: &str) {
    assert_eq!(source.matches(from).count(), 1, "{from:?} does not stand once in the text");
    for (line_break, mark) in [("\n", ""), ("\r\n", "\u{feff}")] {
        let write = |text: &str| mark.to_owned() + &text.replace('\n', line_break);
        let edited = edit(&write(source), kind, changes).unwrap();
        assert_eq!(edited, write(&source.replace(from, to)));
    }
}

#[test]
fn only_the_key_that_is_named_is_touched() {
    let protect = ("protect.reason", text("the budget: mine"));
    let cases: Vec<(Vec<Change>, &str, &str)> = vec![
        (vec![("format", text("incoming-and-outgoing"))], "# head", "# head"),
        (vec![("ai", text("no"))], "ai: sales", "ai: \"no\""),
        (
            vec![("outgoing.workingHours", text("10:00-18:00"))],
            "\"09:00-18:00\"   # daily",
            "\"10:00-18:00\"   # daily",
        ),
        (vec![("spendingLimitPerDialogue", number("1.25"))], "0.50", "1.25"),
        (vec![("outgoing.pauseBetweenDialogues", text("1day 30s"))], "45s", "24h 30s"),
        (vec![("outgoing.opening.text", text("It's me"))], "'Hello, you!'", "'It''s me'"),
        (vec![("outgoing.opening.text", text("a\nb\n"))], "'Hello, you!'", "\"a\\nb\\n\""),
        // Added at its place.
        (vec![("state", text("paused"))], "0.50\n", "0.50\n  state: paused\n"),
        (vec![("title", text("One"))], "spec:\n  # for", "spec:\n  title: One\n  # for"),
        (
            vec![("outgoing.timezone", text("Europe/Moscow"))],
            "# daily\n",
            "# daily\n      timezone: Europe/Moscow\n",
        ),
        (vec![protect], "0.50\n", "0.50\n  protect: {reason: \"the budget: mine\"}\n"),
        (vec![("integration", text("crm"))], "ai: sales\n", "ai: sales\n  integration: crm\n"),
        // Lists keep the looks of what stays.
        (vec![("managers", list(&["anna", "carl"]))], "[ boris, anna ]", "[anna, carl]"),
        (
            vec![("channels", list(&["vk-1", "vk-2", "vk-3"]))],
            "- \"vk-1\"\n",
            "- \"vk-1\"\n    - vk-3\n",
        ),
        (vec![("channels", list(&["vk-1"]))], "    - vk-2 # second\n", ""),
        (vec![("channels", list(&["vk-2"]))], "    - \"vk-1\"\n", ""),
        // From one opening to another.
        (
            vec![
                ("outgoing.opening.text", None),
                ("outgoing.opening.template.name", text("hello")),
                ("outgoing.opening.template.language", text("en")),
                ("outgoing.opening.template.variables", list(&["{{a}}"])),
            ],
            "{text: 'Hello, you!'}",
            "{template: {name: hello, language: en, variables: [\"{{a}}\"]}}",
        ),
    ];
    for (changes, from, to) in cases {
        assert_edits(TASK, DocumentKind::Task, &changes, from, to);
    }
    // Anchors elsewhere are nobody's concern.
    let anchored = TASK.replace("ai: sales", "ai: &ai sales\n  integration: *ai");
    let state = [("state", text("paused"))];
    assert_edits(&anchored, DocumentKind::Task, &state, "0.50\n", "0.50\n  state: paused\n");
    let manager = [("role", text("Sales")), ("persona", text("a\nb\n"))];
    assert_edits(
        TASK,
        DocumentKind::Manager,
        &manager,
        "{fullName: \"One\", persona: x}",
        "{fullName: \"One\", role: Sales, persona: \"a\\nb\\n\"}",
    );
}

#[test]
fn a_removed_key_takes_its_line_and_an_empty_map_along() {
    let protected = TASK.replace(
        "  ai: sales",
        "  title: |\n    a\n    b\n  protect:\n    reason: x # why\n  state: paused\n  ai: sales",
    );
    for (path, line) in [
        ("title", "  title: |\n    a\n    b\n"),
        ("state", "  state: paused\n"),
        ("outgoing.timezone", ""),
    ] {
        let edited = edit(&protected, DocumentKind::Task, &[(path, None)]).unwrap();
        assert_eq!(edited, protected.replace(line, ""), "{path}");
    }
    // Its parent would be empty.
    let edited = edit(&protected, DocumentKind::Task, &[("protect.reason", None)]).unwrap();
    assert_eq!(edited, protected.replace("  protect:\n    reason: x # why\n", ""));
    // Somebody wrote this for a reason that is not ours.
    let explained = protected.replace("reason: x # why", "# since May\n    reason: x");
    let refused = edit(&explained, DocumentKind::Task, &[("protect.reason", None)]);
    assert_eq!(refused, Err(EditError::Commented { path: "protect.reason".to_owned() }));
}

#[test]
fn credentials_and_reminders_are_fields_as_well() {
    let channel = "apiVersion: nuncio/v1\nkind: Channel\nmetadata: {name: one}\nspec:\n  kind: vk-user\n  \
        credentials:\n    token: {env: A} # from the vault";
    assert_edits(
        channel,
        DocumentKind::Channel,
        &[("credentials.token", text("file:/b"))],
        "{env: A}",
        "{file: /b}",
    );
    assert_edits(
        channel,
        DocumentKind::Channel,
        &[("dailyLimit", number("5"))],
        "vk-user\n",
        "vk-user\n  dailyLimit: 5\n",
    );
    let ai = "apiVersion: nuncio/v1\nkind: Ai\nmetadata: {name: one}\nspec:\n  model: m\n  instructions: |\n    a\n  \
        prices: {inputPerMillionTokens: 1, outputPerMillionTokens: 2}\n  reminders:\n  - after: 24h\n    text: Hello\n";
    assert_edits(ai, DocumentKind::Ai, &[("reminders.0.after", text("12h"))], "24h", "12h");
    assert_edits(
        ai,
        DocumentKind::Ai,
        &[("instructions", text("b\n\nc\n"))],
        "|\n    a\n",
        "|\n    b\n\n    c\n",
    );
    assert_edits(
        ai,
        DocumentKind::Ai,
        &[("apiKey", text("env:K"))],
        "model: m\n",
        "model: m\n  apiKey: {env: K}\n",
    );
    // A default that follows another field stays what it was.
    assert_edits(
        ai,
        DocumentKind::Ai,
        &[("prices.inputPerMillionTokens", number("3.00"))],
        "{inputPerMillionTokens: 1, ",
        "{inputPerMillionTokens: 3.00, cachedInputPerMillionTokens: 1.00, ",
    );
}

#[test]
fn what_cannot_be_changed_alone_is_refused() {
    let at = |path: &str| path.to_owned();
    let cases: Vec<(String, Change, EditError)> = vec![
        (
            TASK.replace("ai: sales", "ai: &ai sales\n  integration: *ai"),
            ("ai", text("other")),
            EditError::Shared { path: at("ai") },
        ),
        (
            TASK.replace("ai: sales", "ai: &ai sales\n  integration: *ai"),
            ("integration", text("other")),
            EditError::Shared { path: at("integration") },
        ),
        (
            TASK.replace("outgoing:\n", "outgoing: &out\n"),
            ("outgoing.timezone", text("Europe/Moscow")),
            EditError::Shared { path: at("outgoing.timezone") },
        ),
        (
            TASK.replace("[ boris, anna ]", "[ boris, # b\n    anna ]"),
            ("managers", list(&["carl"])),
            EditError::Commented { path: at("managers") },
        ),
        (
            TASK.to_owned(),
            ("outgoing.workingHours", text("9-18")),
            EditError::Invalid("`outgoing.workingHours`: `9-18` are no working hours: write them like `09:00-18:00`".to_owned()),
        ),
        (TASK.replace("one", "two"), ("ai", text("x")), EditError::NotFound { kind: DocumentKind::Task, name: at("one") }),
        (TASK.to_owned(), ("nothing.here", text("x")), EditError::Invalid("`nothing` is no field of `spec`".to_owned())),
        (TASK.to_owned(), ("ai", None), EditError::Invalid("`ai` is missing in `spec`".to_owned())),
    ];
    for (source, change, expected) in cases {
        assert_eq!(
            edit(&source, DocumentKind::Task, std::slice::from_ref(&change)),
            Err(expected),
            "{change:?}"
        );
    }
    let broken = edit("a: 'b", DocumentKind::Task, &[]);
    assert!(matches!(broken, Err(EditError::Invalid(_))), "{broken:?}");
}

fn change() -> impl Strategy<Value = Change> {
    let texts = prop_oneof![
        "[ \t#:,'\"\\[\\]{}&*!|>%@`a0~=<?.-]{0,8}[a-z]",
        "([a-z: #]{1,9}\n){1,3}[a-z]",
        "[a-z]{1,9}"
    ];
    let hours =
        (0..24u8, 0..60u8).prop_map(|(hour, minute)| format!("{hour:02}:{minute:02}-24:00"));
    let names = sample::subsequence(vec!["anna", "boris", "carl", "dora", "no"], 1..5);
    let channels = sample::subsequence(vec!["vk-1", "vk-2", "vk-3", "vk-4"], 1..4);
    prop_oneof![
        (sample::select(&["title", "protect.reason"][..]), texts.prop_map(|value| text(&value))),
        hours.prop_map(|value| ("outgoing.workingHours", text(&value))),
        (1..999u32).prop_map(|value| ("outgoing.dailyLimitPerChannel", number(&value.to_string()))),
        sample::select(&["Europe/Moscow", "Asia/Tokyo"][..])
            .prop_map(|zone| ("outgoing.timezone", text(zone))),
        names.prop_map(|names| ("managers", list(&names))),
        channels.prop_map(|names| ("channels", list(&names))),
        sample::select(&["running", "paused", "completed"][..])
            .prop_map(|state| ("state", text(state))),
        sample::select(&["title", "state", "protect.reason", "integration"][..])
            .prop_map(|path| (path, None)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_changes_one_after_the_other_are_what_is_read(changes in proptest::collection::vec(change(), 1..6), crlf in any::<bool>()) {
        let mut source = if crlf { TASK.replace('\n', "\r\n") } else { TASK.to_owned() };
        for change in changes {
            let before = Reading::of(&source, DocumentKind::Task, "one").unwrap();
            let edited = match edit(&source, DocumentKind::Task, std::slice::from_ref(&change)) {
                Ok(edited) => edited,
                // Its own comments would be lost.
                Err(EditError::Commented { .. }) => continue,
                Err(error) => return Err(TestCaseError::fail(format!("{change:?}: {error}\n{source}"))),
            };
            let after = Reading::of(&edited, DocumentKind::Task, "one").unwrap();
            let (path, value) = &change;
            for (other, was) in before.fields.iter() {
                prop_assert!(other == *path || after.fields.get(other) == Some(was), "{}", other);
            }
            prop_assert_eq!(after.fields.get(path), value.as_ref());
            // Lines that do not belong to the key stay as they are.
            let key = path.rsplit('.').next().unwrap();
            let kept: Vec<&str> = edited.split('\n').collect();
            let mut rest = kept.iter();
            let lists = ["channels", "managers"].contains(&key);
            for line in source.split('\n').filter(|line| TASK.lines().any(|own| own == line.trim_end_matches('\r'))) {
                let is_own = line.contains(key) || (lists && line.contains("vk-"));
                if !is_own {
                    prop_assert!(rest.any(|kept| *kept == line), "{:?} is lost in\n{}", line, edited);
                }
            }
            source = edited;
        }
    }
}
