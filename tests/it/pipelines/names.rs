//! What the files of pipelines name, and the hooks of pre-commit.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use super::{Pipeline, project, yaml};

fn scripts() -> Vec<PathBuf> {
    let folders = ["deploy", "deploy/github", "deploy/gitlab"].map(project);
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "sh")).collect()
}

/// Names that follow `before` in a text.
fn named<'a>(text: &'a str, before: &str) -> BTreeSet<&'a str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.');
    let parts = text.split(before).skip(1);
    let names = parts.map(|part| &part[..part.find(|c| !is_name(c)).unwrap_or(part.len())]);
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn everything_that_a_pipeline_names_is_there() {
    for script in scripts() {
        let output = Command::new("sh").arg("-n").arg(&script).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = fs::read_to_string(&script).unwrap();
        for name in named(&text, "sh \"$here/") {
            assert!(script.with_file_name(name).exists(), "{name} of {}", script.display());
        }
    }
    let action = yaml("deploy/github/action.yml");
    let steps = action["runs"]["steps"].as_array().unwrap();
    let declared: BTreeSet<&str> =
        action["inputs"].as_object().unwrap().keys().map(String::as_str).collect();
    let text = action["runs"].to_string();
    assert_eq!(named(&text, "inputs."), declared, "inputs that are named, and those there are");
    for input in action["inputs"].as_object().unwrap().values() {
        assert!(input["description"].is_string(), "{input}");
    }
    for step in steps {
        let Some(run) = step["run"].as_str() else { continue };
        assert!(!run.contains("${{"), "an expression becomes a command: {run}");
        for script in named(run, "$GITHUB_ACTION_PATH/") {
            assert!(project("deploy/github").join(script).exists(), "{script}");
        }
        for variable in named(&run.replace(['/', '"'], " "), "$") {
            let is_declared = step["env"].get(variable).is_some();
            assert!(is_declared || variable == "GITHUB_ACTION_PATH", "${variable} of {run}");
        }
    }
    let example = yaml("deploy/github/example.yml");
    let mut commands = BTreeSet::new();
    for job in example["jobs"].as_object().unwrap().values() {
        for step in job["steps"].as_array().unwrap() {
            if step["uses"].as_str().is_some_and(|uses| uses.contains("/deploy/github@")) {
                let with = step["with"].as_object().unwrap();
                assert!(with.keys().all(|key| declared.contains(&**key)), "{with:?}");
                commands.insert(with["command"].as_str().unwrap());
            }
        }
    }
    for command in &commands {
        assert!(text.contains(&format!("inputs.command == '{command}'")), "{command}");
    }
    assert_eq!(commands.len(), 2);
    let template = fs::read_to_string(project("deploy/gitlab/nuncio.yml")).unwrap();
    let named = named(&template, "$NUNCIO_DEPLOY/");
    assert_eq!(named.len(), 5, "{named:?}");
    assert!(named.iter().all(|script| project("deploy").join(script).exists()), "{named:?}");
}

#[test]
fn the_hooks_of_pre_commit_run() {
    let pipeline = Pipeline::new();
    pipeline.task("one", 10);
    let hooks = yaml(".pre-commit-hooks.yaml");
    for (expected, edit) in [(0, "text: |"), (1, "txet: |")] {
        let text = fs::read_to_string(pipeline.folder.tasks().join("one.yaml")).unwrap();
        pipeline.folder.write("one.yaml", &text.replace("text: |", edit));
        for hook in hooks.as_array().unwrap() {
            let entry = hook["entry"].as_str().unwrap();
            let files = if hook["pass_filenames"] == false {
                ""
            } else {
                " tasks.d/one.yaml tasks.d/vk.yaml"
            };
            let ended = pipeline.sh(&format!("{entry}{files}"), &[]);
            // The layout of a manifest is no matter of what it means.
            let expected = if entry == "nuncio fmt" { 0 } else { expected };
            assert_eq!(ended.code, expected, "{entry}: {}{}", ended.stdout, ended.stderr);
            assert!(!ended.stderr.contains("usage"), "{entry}: {}", ended.stderr);
        }
    }
}
