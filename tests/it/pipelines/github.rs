//! The steps of the GitHub action.

use std::fs;

use nuncio::plan::COMMENT_MARKER;
use serde_json::Value;

use super::{HOSTILE, Pipeline};
use crate::support::channel;

/// What GitHub's runner takes for commands in a log.
fn commands(log: &str) -> Vec<&str> {
    let mut stopped: Option<String> = None;
    let mut found = Vec::new();
    for line in log.lines().map(str::trim_start) {
        if let Some(token) = &stopped {
            if line == format!("::{token}::") {
                stopped = None;
            }
        } else if let Some(token) = line.strip_prefix("::stop-commands::") {
            stopped = Some(token.to_owned());
        } else if line.starts_with("::") || line.contains("##[") {
            found.push(line);
        }
    }
    assert!(stopped.is_none(), "commands are stopped for good: {log}");
    found
}

#[test]
fn a_review_ends_as_the_plan_did_and_leaves_a_comment() {
    type Edit = fn(&Pipeline);
    let cases: [(&str, Edit, i32, &str, &str); 4] = [
        ("a change", |pipeline| pipeline.task("one", 10), 0, "2", "`+` `Task/one`"),
        ("nothing to do", |_| {}, 0, "0", "nothing to do"),
        (
            "a forbidden edit",
            |pipeline| {
                let text = fs::read_to_string(pipeline.folder.tasks().join("one.yaml")).unwrap();
                pipeline
                    .folder
                    .write("one.yaml", &text.replace("incoming-and-outgoing", "incoming"));
            },
            3,
            "3",
            "### Rejected by rule",
        ),
        (
            "an unknown field whose line is hostile",
            |pipeline| {
                pipeline.task("one", 10);
                let path = pipeline.folder.tasks().join("one.yaml");
                let text = fs::read_to_string(path).unwrap();
                pipeline.folder.write("one.yaml", &text.replace("  title:", "  titel:"));
            },
            1,
            "1",
            "unknown-field",
        ),
    ];
    let pipeline = Pipeline::new();
    for (what, edit, code, told, comment) in cases {
        edit(&pipeline);
        let ended = pipeline.step("Plan", &[]);
        assert_eq!(ended.code, code, "{what}: {}{}", ended.stdout, ended.stderr);
        assert_eq!(pipeline.review("exit-code").trim(), told, "{what}");
        let outputs = pipeline.forge("outputs");
        assert_eq!(outputs.lines().last(), Some(&*format!("exit-code={told}")), "{what}");
        let text = pipeline.review("comment.md");
        assert_eq!(text.lines().next(), Some(COMMENT_MARKER), "{what}");
        assert!(text.contains(comment), "{what}: {text}");
        assert!(pipeline.forge("summary").ends_with(&text), "{what}");
        for command in commands(&(ended.stdout + &ended.stderr)) {
            let is_annotation = ["::error file=tasks.d/", "::warning file=tasks.d/"]
                .iter()
                .any(|start| command.starts_with(start));
            assert!(is_annotation, "{what}: {command}");
        }
        let sarif: Value = serde_json::from_str(&pipeline.review("nuncio.sarif")).unwrap();
        assert_eq!(sarif["version"], "2.1.0", "{what}");
        if what == "a change" {
            let applied = pipeline.sh("nuncio apply --auto-approve --quiet", &[]);
            assert_eq!(applied.code, 0, "{}", applied.stderr);
        }
    }
}

#[test]
fn a_rejected_change_and_a_database_that_is_away_end_a_review_with_their_codes() {
    let pipeline = Pipeline::new();
    pipeline.task("one", 10);
    assert_eq!(pipeline.sh("nuncio apply --auto-approve", &[]).code, 0);
    let other = channel("other", "vk-user", "token: {env: VK_TOKEN}", "");
    pipeline.folder.write("other.yaml", &other);
    let text = fs::read_to_string(pipeline.folder.tasks().join("one.yaml")).unwrap();
    pipeline.folder.write("one.yaml", &text.replace("channels: [vk]", "channels: [other]"));
    let ended = pipeline.step("Plan", &[]);
    assert_eq!(ended.code, 3, "{}{}", ended.stdout, ended.stderr);
    assert!(pipeline.review("comment.md").contains("### Rejected by rule"));
    assert!(pipeline.review("nuncio.sarif").contains("forbidden-edit"));
    assert!(commands(&ended.stdout)[0].contains(",title=forbidden-edit::"), "{}", ended.stdout);

    let away = [("NUNCIO_DATABASE_URL", "postgres://user:hunter2@127.0.0.1:1/x")];
    let ended = pipeline.step("Plan", &away);
    assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
    let comment = pipeline.review("comment.md");
    assert!(comment.starts_with(COMMENT_MARKER) && comment.contains("failed"), "{comment}");
    assert!(!(ended.stdout + &ended.stderr + &comment).contains("hunter2"));
    assert!(!pipeline.folder.root().join("review/plan.json").exists(), "an old plan is left");
    assert!(pipeline.review("nuncio.sarif").contains("2.1.0"), "nothing is left to upload");
}

#[test]
fn a_pull_request_has_one_comment_that_is_updated() {
    let pipeline = Pipeline::new();
    pipeline.task("one", 10);
    for method in ["POST", "PATCH"] {
        assert_eq!(pipeline.step("Plan", &[]).code, 0);
        let ended = pipeline.step("Comment", &[]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert_eq!(pipeline.forge("comment"), pipeline.review("comment.md"));
        let calls = pipeline.forge("calls");
        assert!(calls.contains(&format!("\n{method}\n")), "{calls}");
        assert!(calls.contains(COMMENT_MARKER), "the comment is looked for by another marker");
        assert!(!calls.contains("secret"), "a token is an argument");
        pipeline.task("one", 11);
    }
    assert!(pipeline.forge("calls").contains("repos/example/sales/issues/comments/41\n"));
}

#[test]
fn what_was_reviewed_is_applied_after_the_merge_and_nothing_else() {
    let pipeline = Pipeline::new();
    let fetched = pipeline.step("Fetch the reviewed plan", &[]);
    assert_eq!(fetched.code, 1, "{}", fetched.stdout);
    assert!(fetched.stderr.contains("no review of 0123 succeeded"), "{}", fetched.stderr);

    pipeline.task("one", 10);
    assert_eq!(pipeline.step("Plan", &[]).code, 0);
    pipeline.keep_plan();
    let commit = pipeline.commit();
    assert_eq!(pipeline.step("Fetch the reviewed plan", &[]).code, 0);
    let ended = pipeline.step("Apply", &[("NUNCIO_APPLY_COMMIT", &commit)]);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert_eq!(commands(&(ended.stdout + &ended.stderr)), Vec::<&str>::new());
    let message = pipeline.database.value("SELECT message FROM revisions ORDER BY number LIMIT 1");
    assert_eq!(message, format!("{HOSTILE} ({commit})"));

    let again = pipeline.step("Apply", &[]);
    assert_eq!(again.code, 4, "{}{}", again.stdout, again.stderr);
    // Done already is within the bound; what nobody reviewed is not.
    let constrain = [("NUNCIO_BOUND", "constrain")];
    let ended = pipeline.step("Apply", &constrain);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    pipeline.task("two", 10);
    assert_eq!(pipeline.step("Apply", &constrain).code, 4);
    assert_eq!(pipeline.database.value("SELECT count(*) FROM tasks"), "1");
}
