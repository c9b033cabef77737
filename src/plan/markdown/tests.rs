//! What a reviewer reads, whatever stands in the manifests.

use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag};
use serde_json::{Value, json};

use super::{COMMENT_MARKER, page::BYTES_MAX, render_markdown};
use crate::plan::document::PlanDocument;

fn change(name: &str, actions: &[&str], more: Value) -> Value {
    let mut change = json!({
        "address": format!("Task/{name}"), "kind": "Task", "name": name, "id": null,
        "file": format!("tasks.d/{name}.yaml"), "line": 1, "actions": actions,
        "action_reason": null, "before": null, "after": null, "before_sensitive": {},
        "after_sensitive": {}, "replace_paths": [], "changed_paths": [], "text_diffs": {},
        "phase": null, "consequences": null, "from_generation": null, "manifest_digest": null,
    });
    merge(&mut change, more);
    change
}

fn rejection(name: &str, message: &str) -> Value {
    json!({
        "code": "forbidden-edit", "address": format!("Task/{name}"),
        "file": format!("tasks.d/{name}.yaml"), "line": 5, "column": 3, "path": "channels",
        "message": message, "fields": [{"path": "channels", "before": [name], "after": ["other"]}],
        "waiting": [{"path": "title", "before": message, "after": name}],
        "steps": ["stop: in progress → completed", message],
        "consequences": {"remaining": 3, "written": 2},
        "remedies": [message, "run `nuncio plan --recreate one` and have it reviewed"],
    })
}

fn merge(into: &mut Value, more: Value) {
    let Value::Object(more) = more else { return };
    more.into_iter().for_each(|(key, value)| into[key] = value);
}

/// A plan of these parts; what its summary counts is counted here.
fn plan(parts: Value) -> PlanDocument {
    let mut plan = json!({
        "format_version": "1.0", "applyable": true, "complete": true, "base": null,
        "schema_digest": "0", "manifests_digest": "0",
        "wishes": {"recreate": [], "stop_first": false, "allow_shrink": [], "max_delete": null,
                   "target": []},
        "changes": [], "rejections": [], "blocked": [], "held": [], "drift": [], "forecast": [],
    });
    merge(&mut plan, parts);
    let of = |actions: &[&str]| {
        let changes = plan["changes"].as_array().unwrap().iter();
        changes.filter(|change| change["actions"] == json!(actions)).count()
    };
    let n = |key: &str| plan[key].as_array().unwrap().len();
    plan["summary"] = json!({
        "create": of(&["create"]), "update": of(&["update"]), "delete": of(&["delete"]),
        "recreate": of(&["delete", "create"]), "rejected": n("rejections"),
        "blocked": n("blocked"), "drifted": n("drift"), "unchanged": 7,
    });
    serde_json::from_value(plan).unwrap()
}

/// A plan with something in every section, in which every text of a manifest is `text`.
fn everywhere(text: &str) -> PlanDocument {
    let spec = json!({
        "title": text, "channels": [text], text: text,
        "outgoing": {"opening": {"text": format!("{text}\n{text}")},
                     "targetAudience": {"total": 4, "added": 3, "removed": 1, "altered": 0,
                                        "added_examples": ["@somebody"]}},
    });
    let diff = json!({text: format!("@@ -1 +1 @@\n-{text}\n+{text}\n")});
    let both = json!({"before": spec, "after": spec, "changed_paths": ["title", text],
                      "text_diffs": diff, "phase": {"from": text, "to": text}});
    let mut ending = both.clone();
    merge(&mut ending, json!({"consequences": {"remaining": 1, "written": 2}}));
    plan(json!({
        "base": {"commit": text, "dirty": true},
        "changes": [
            change(text, &["create"], json!({"after": spec})),
            change(text, &["update"], both),
            change(text, &["delete", "create"], ending.clone()),
            change(text, &["delete"], ending),
        ],
        "rejections": [rejection(text, text)],
        "blocked": [{"address": text, "file": text, "message": text, "consequences": null,
                     "remedies": [text]}],
        "held": [{"address": text, "file": text, "message": text}],
        "drift": [{"address": text, "fields": [{"path": text, "before": text, "after": null}],
                   "phase": null, "at": text, "by": text}],
        "forecast": [{"task": text, "remaining": 3, "exhausted_on": text, "never": null,
                      "part": text, "openings_per_day": 2, "greatest_cost": text, "binds": []}],
    }))
}

/// What a Markdown reader makes of a comment that has no text of a manifest outside code: its events
/// without the texts of code, and the texts outside code.
fn read(page: &str) -> (Vec<String>, Vec<String>) {
    let options = Options::all() - Options::ENABLE_SMART_PUNCTUATION;
    let (mut shape, mut texts) = (Vec::new(), Vec::new());
    let mut in_code = false;
    for event in Parser::new_ext(page, options) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(pulldown_cmark::TagEnd::CodeBlock) => {
                in_code = false;
                shape.push("block".to_owned());
            }
            Event::Code(_) => shape.push("code".to_owned()),
            Event::Text(_) if in_code => {}
            Event::Text(text) => texts.push(text.into_string()),
            Event::SoftBreak => {}
            other => shape.push(format!("{other:?}")),
        }
    }
    (shape, texts)
}

/// The two lines that fold a long text.
fn is_fold(event: &str) -> bool {
    let line = event.strip_prefix("Html(Borrowed(\"<details><summary>");
    let n_lines = line.and_then(|line| line.strip_suffix(" lines</summary>\\n\"))"));
    n_lines.is_some_and(|n| n.parse::<usize>().is_ok())
        || event == "Html(Borrowed(\"</details>\\n\"))"
        || event.ends_with("(HtmlBlock)")
}

/// Texts that would like to be more than text.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "`{1,40}",
        "\\PC{0,20}",
        "[ \n\r\t\\\\|<>&*_#~\\[\\]()!@$-]{1,12}",
        prop::sample::select(vec![
            "</details>",
            "<!--",
            "-->",
            "<script>x</script>",
            "@everybody",
            "![x](http://x.test)",
            "[x](http://x.test)",
            "\n\n# x\n\n",
            "\n```\n\n",
            "\n---\n",
            "www.x.test",
            "$(rm -rf /)",
            "::error::x",
            "a@b.test",
            "http://x.test",
            "\n1. x\n",
            "\u{202e}",
            "&lt;",
            "**x**",
            "'",
            "| x |\n|---|\n| x |\n",
            "#1",
            "~~x~~",
            "~~~\n",
            "    x",
            "<http://x.test>",
            "\\`",
            "x",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_of_a_manifest_is_markup(text in hostile()) {
        let page = render_markdown(&everywhere(&text));
        let (shape, texts) = read(&page);
        // A text of one code span each is what the shape of a comment is made for.
        let (harmless, ours) = read(&render_markdown(&everywhere("~x~")));
        let markup = |shape: Vec<String>| -> Vec<String> {
            shape.into_iter().filter(|event| event != "code" && !is_fold(event)).collect()
        };
        prop_assert_eq!(markup(shape), markup(harmless), "{}", page);
        for told in texts {
            let is_ours = ours.contains(&told);
            let is_plain = told.chars().all(|c| c.is_alphanumeric() || " .,;:()'\"-–—→…/%+=?$".contains(c));
            prop_assert!(is_ours || is_plain, "{:?} in {}", told, page);
            prop_assert!(!told.contains("://") && !told.contains("www."), "{}", page);
        }
        prop_assert!(!page.contains("@somebody"), "whom a task writes to is told");
    }
}

proptest! {
    // Each case is some thousand changes.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_comment_is_bounded_and_keeps_what_ends_something(
        (n_deleted, n_created, n_updated) in (0..1_500_usize, 0..3_000_usize, 0..500_usize),
        text in hostile(),
        times in prop_oneof![Just(1_usize), Just(100), Just(20_000)],
    ) {
        let long = text.repeat(times).chars().take(100_000).collect::<String>();
        let mut changes = Vec::new();
        let body = json!({"after": {"title": long}, "changed_paths": ["title"],
                          "text_diffs": {"outgoing.opening.text": format!("+{long}\n")},
                          "consequences": {"remaining": 1, "written": 1}});
        for index in 0..n_updated + n_created {
            let actions = if index < n_updated { "update" } else { "create" };
            let more = if index % 100 == 0 { body.clone() } else { json!({}) };
            changes.push(change(&format!("task-{index}"), &[actions], more));
        }
        for index in 0..n_deleted {
            let more = if index % 100 == 1 { body.clone() } else { json!({}) };
            changes.push(change(&format!("gone-{index}-"), &["delete"], more));
        }
        let rejections: Vec<Value> =
            (0..n_deleted / 10).map(|index| rejection(&format!("bad-{index}-"), &long)).collect();
        let plan = plan(json!({"changes": changes, "rejections": rejections}));
        let page = render_markdown(&plan);
        prop_assert!(page.len() <= BYTES_MAX, "{}", page.len());
        prop_assert!(page.starts_with(COMMENT_MARKER));
        prop_assert!(page.lines().last().unwrap().starts_with("Plan: "));
        let endings = (0..n_deleted).map(|index| format!("`Task/gone-{index}-`"));
        let forbidden = (0..n_deleted / 10).map(|index| format!("`Task/bad-{index}-`"));
        let names: Vec<String> = endings.chain(forbidden).collect();
        let bytes: usize = names.iter().map(|name| name.len() + "- \n".len()).sum();
        // A thousand bytes are the comment's head, its headings and what it says of what it leaves out.
        if bytes < BYTES_MAX - 1_000 {
            for name in names {
                prop_assert!(page.contains(&name), "{} is not named", name);
            }
        }
    }
}

#[test]
fn what_ends_something_is_whole_before_anything_else_is_told() {
    let lines: Vec<String> =
        (0..1_000).map(|line| format!("-line {line} of a long opening")).collect();
    let text = lines.join("\n") + "\n";
    let ending = json!({"text_diffs": {"outgoing.opening.text": text}});
    let mut changes = vec![change("old", &["delete", "create"], ending)];
    changes.extend((0..5_000).map(|index| change(&format!("new-{index}"), &["create"], json!({}))));
    let page = render_markdown(&plan(json!({"changes": changes})));
    assert!(page.contains("-line 0 of a long opening\n") && page.contains("-line 999 of a long"));
    assert!(page.contains("Task/new-0`") && !page.contains("Task/new-4999`"), "{page}");
    assert!(page.contains(" more, left out for length."), "{page}");
    let (new, deleted) = (page.find("### New"), page.find("### Deletions and recreations"));
    assert!(new < deleted && page.len() <= BYTES_MAX);
}

#[test]
fn a_reviewer_reads_a_comment() {
    let spec = json!({
        "type": "telegram", "channels": ["tg-anna"], "spendingLimitPerDialogue": 0.5,
        "outgoing": {"dailyLimitPerChannel": 30, "opening": {"text": "Hello,\nshall we renew?\n"},
                     "targetAudience": {"total": 120, "added": 120, "removed": 0, "altered": 0,
                                        "added_examples": ["@ann"]}},
    });
    let document = plan(json!({
        "base": {"commit": "0123456789abcdef", "dirty": false},
        "changes": [
            change("spring", &["create"], json!({"after": spec, "phase": {"from": null, "to": "in-progress"}})),
            change("autumn", &["update"], json!({
                "before": {"outgoing": {"dailyLimitPerChannel": 20}},
                "after": {"outgoing": {"dailyLimitPerChannel": 30}},
                "changed_paths": ["outgoing.dailyLimitPerChannel", "outgoing.opening.text"],
                "text_diffs": {"outgoing.opening.text": "@@ -1,2 +1,2 @@\n Hello,\n-bye\n+see you\n"},
            })),
            change("winter", &["delete"], json!({
                "file": null, "line": null, "action_reason": "manifest-gone",
                "consequences": {"remaining": 3, "written": 20},
            })),
        ],
        "rejections": [rejection("summer", "`channels` is fixed when a task is created")],
        "forecast": [
            {"task": "spring", "remaining": 120, "exhausted_on": "2026-11-27", "never": null,
             "part": "running", "openings_per_day": 30, "greatest_cost": "60.00", "binds": []},
            {"task": "autumn", "remaining": 9, "exhausted_on": null, "never": "channel-blocked",
             "part": "if-started-now", "openings_per_day": 0, "greatest_cost": null, "binds": []},
        ],
    }));
    insta::assert_snapshot!(render_markdown(&document));
}
