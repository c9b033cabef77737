//! The jobs of the GitLab template.

use std::process::Command;

use serde_json::Value;

use super::{HOSTILE, Pipeline, yaml};

#[test]
fn gitlab_gets_its_reports_its_note_and_the_reviewed_plan() {
    let has_jq = Command::new("jq").arg("--version").output().is_ok();
    let pipeline = Pipeline::new();
    pipeline.task("one", 10);
    let template = yaml("deploy/gitlab/nuncio.yml");
    let env = [
        ("CI_API_V4_URL", "https://gitlab.test/api/v4"),
        ("CI_PROJECT_ID", "3"),
        ("CI_MERGE_REQUEST_IID", "12"),
        ("CI_COMMIT_SHA", "0123"),
        ("CI_COMMIT_TITLE", HOSTILE),
        ("NUNCIO_GITLAB_TOKEN", "secret"),
        ("NUNCIO_BOUND", "saved"),
    ];
    let job = |name: &str, part: &str| {
        let mut codes = Vec::new();
        for line in template[name][part].as_array().unwrap() {
            // The template's folder, under the name that the fake forge has for it.
            let line = line.as_str().unwrap().replace("nuncio-review", "review");
            let ended = pipeline.sh(&line, &env);
            codes.push((ended.code, ended.stdout + &ended.stderr));
        }
        codes
    };
    let ended = job("nuncio-validate", "script");
    assert_eq!(ended[0].0, 0, "{}", ended[0].1);
    let reports = &template["nuncio-validate"]["artifacts"]["reports"];
    for report in ["codequality", "junit"] {
        let path = reports[report].as_str().unwrap().strip_prefix("nuncio-review/").unwrap();
        let text = pipeline.review(path);
        let is_right = match report {
            "codequality" => serde_json::from_str::<Vec<Value>>(&text).is_ok(),
            _ => text.contains("<testcase"),
        };
        assert!(is_right, "{report}: {text}");
    }
    let ended = job("nuncio-plan", "script");
    assert_eq!(ended[0].0, 0, "{}", ended[0].1);
    if !has_jq {
        skipped("`jq` is not installed, which GitLab's jobs need");
        return;
    }
    for method in ["POST", "PUT"] {
        let ended = job("nuncio-plan", "after_script");
        assert_eq!(ended[0].0, 0, "{}", ended[0].1);
        assert_eq!(pipeline.forge("comment"), pipeline.review("comment.md"));
        assert!(pipeline.forge("calls").contains(&format!("\n{method}\n")));
    }
    pipeline.keep_plan();
    for (code, told) in job("nuncio-apply", "script") {
        assert_eq!(code, 0, "{told}");
    }
    assert_eq!(pipeline.database.value("SELECT message FROM revisions LIMIT 1"), HOSTILE);
    assert!(!pipeline.forge("calls").contains("secret"), "a token is an argument");
    assert!(pipeline.forge("headers").lines().all(|line| line == "PRIVATE-TOKEN: secret"));
    assert_eq!(template["nuncio-apply"]["resource_group"], "nuncio");
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
