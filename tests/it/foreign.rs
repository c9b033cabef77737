//! Validators that are not ours judge our schemas and what we print: `ajv` and Python's `jsonschema`.
//!
//! They are installed at the first run, in fixed versions, below the target folder. Where their
//! registries cannot be reached, or Node or Python is absent, the tests say so and pass.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    goldens,
    support::{Folder, Program, TestDatabase, Wanted, channel, installed, vk_task},
};

const NODE_PACKAGES: [&str; 5] = [
    "ajv@8.20.0",
    "ajv-draft-04@1.0.0",
    "ajv-formats@3.0.1",
    "yaml@2.9.1",
    "@microsoft/jest-sarif@1.0.0-beta.0",
];
const PYTHON_PACKAGES: [&str; 2] = ["jsonschema==4.26.0", "ruamel.yaml==0.19.1"];
/// The schema of OASIS, inside a package of Microsoft's.
const SARIF_SCHEMA: &str = "node_modules/@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json";

/// Both read YAML by its 1.2 core schema, where `NO` and `9-18` stay texts. Fields whose source text
/// counts (`+79123456789`, `0.50`) are numbers to them, which our schema allows.
const NODE_JUDGE: &str = r#"
import fs from "node:fs";
import Ajv7 from "ajv";
import Ajv4 from "ajv-draft-04";
import formats from "ajv-formats";
import { parseAllDocuments } from "yaml";

const job = JSON.parse(fs.readFileSync(0, "utf8"));
const schema = JSON.parse(fs.readFileSync(job.schema, "utf8"));
const old = schema.$schema.includes("draft-04");
const Ajv = old ? Ajv4.default : Ajv7.default;
// A pattern of the SARIF schema has a bracket that Unicode mode refuses.
const ajv = new Ajv({ strict: false, unicodeRegExp: !old });
formats.default(ajv);
const validate = ajv.compile(schema);
const judged = {};
for (const file of job.files) {
  judged[file] = null;
  try {
    const text = fs.readFileSync(file, "utf8");
    const documents = parseAllDocuments(text, { version: "1.2", schema: "core" });
    for (const document of documents) {
      if (document.errors.length) throw document.errors[0];
      if (!validate(document.toJS())) throw new Error(ajv.errorsText(validate.errors));
    }
  } catch (error) {
    judged[file] = String(error.message).slice(0, 300);
  }
}
console.log(JSON.stringify(judged));
"#;

const PYTHON_JUDGE: &str = r#"
import json, sys
from jsonschema.validators import validator_for
from ruamel.yaml import YAML

job = json.load(sys.stdin)
with open(job["schema"], encoding="utf-8") as file:
    schema = json.load(file)
validator_for(schema).check_schema(schema)
validator = validator_for(schema)(schema)
judged = {}
for name in job["files"]:
    judged[name] = None
    try:
        with open(name, encoding="utf-8") as file:
            for document in YAML(typ="safe", pure=True).load_all(file):
                # The message would unfold what an alias bomb means.
                for error in validator.iter_errors(document):
                    raise ValueError(f"{error.json_path}: {error.validator}")
    except Exception as error:
        judged[name] = str(error)[:300]
json.dump(judged, sys.stdout)
"#;

/// The two validators, installed.
struct Foreign {
    folder: PathBuf,
}

impl Foreign {
    /// `None` where they cannot be had.
    fn installed() -> Option<Self> {
        let folder = installed(&Wanted {
            folder: "foreign-validators",
            node_packages: &NODE_PACKAGES,
            python_packages: &PYTHON_PACKAGES,
            scripts: &[("judge.mjs", NODE_JUDGE), ("judge.py", PYTHON_JUDGE)],
            ..Wanted::default()
        })?;
        Some(Self { folder })
    }

    /// What each validator says of each file: `None` where it accepts it.
    fn judge(&self, schema: &Path, files: &[PathBuf]) -> [BTreeMap<PathBuf, Option<String>>; 2] {
        let job = json!({"schema": schema, "files": files}).to_string();
        let programs = [("node", "judge.mjs"), ("venv/bin/python", "judge.py")];
        programs.map(|(program, script)| {
            let program = match program {
                "node" => PathBuf::from(program),
                below => self.folder.join(below),
            };
            let mut child = Command::new(program)
                .arg(script)
                .current_dir(&self.folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(job.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{script} failed");
            let judged: BTreeMap<PathBuf, Option<String>> =
                serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(judged.len(), files.len(), "{script} did not judge every file");
            judged
        })
    }

    #[track_caller]
    fn assert_accepted(&self, schema: &Path, files: &[PathBuf]) {
        assert!(!files.is_empty());
        for judged in self.judge(schema, files) {
            let refused: Vec<_> = judged.iter().filter(|(_, why)| why.is_some()).collect();
            assert!(refused.is_empty(), "{refused:#?}");
        }
    }

    /// A schema that accepts everything would pass the other assertions.
    #[track_caller]
    fn assert_notices(&self, schema: &Path, file: &Path, at: &str, wrong: &Value) {
        let mut value: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        *value.pointer_mut(at).unwrap() = wrong.clone();
        let broken = file.with_extension("broken");
        fs::write(&broken, value.to_string()).unwrap();
        for judged in self.judge(schema, std::slice::from_ref(&broken)) {
            assert!(judged[&broken].is_some(), "{at} may be {wrong}");
        }
    }
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(project(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect();
    files.sort();
    files
}

/// Samples that a schema has to accept, and why. Whatever else is invalid it refuses.
const BEYOND_A_SCHEMA: &[(&str, &str)] = &[
    ("ai-fallback_in_a_circle", "the circle goes through several documents"),
    ("ai-fallback_unknown", "what is missing would be another document"),
    ("ai-no_disclosure", "a warning: the manifest is valid"),
    ("channel-hosted_settings", "the colours of CSS, and what one field asks of another"),
    ("channel-nothing_heard", "a warning: the manifest is valid"),
    ("channel-webhook_without_secret", "a credential that a setting calls for"),
    ("document-duplicate_name", "two documents, each of them right"),
    ("task-audience_bad_csv", "another file"),
    ("task-audience_empty", "a warning: an empty audience is valid"),
    ("task-audience_file_missing", "another file"),
    ("task-audience_file_outside", "`..` is right where the manifest stands deeper"),
    ("task-bad_template", "the language of templates"),
    ("task-bad_timezone", "the table of time zones, which changes every year"),
    ("task-channel_of_another_type", "the channel's kind stands in another document"),
    ("task-channel_that_cannot_open", "the channel's kind stands in another document"),
    ("task-capped_by_channel", "a warning: the manifest is valid"),
    ("task-risky_limits", "a warning: the manifest is valid"),
    ("task-template_needed", "the channel's kind stands in another document"),
    ("task-unknown_filter", "the language of templates"),
    ("task-unknown_references", "what is missing would be another document"),
    ("task-unknown_variable", "the language of templates"),
    ("task-written_by_ai_needs_template", "the channel's kind stands in another document"),
];

#[test]
fn the_schema_accepts_what_is_valid_and_refuses_what_a_schema_can_refuse() {
    let Some(foreign) = Foreign::installed() else { return };
    let schema = project("schemas/manifest.schema.json");
    let valid = [yaml_files("tests/manifests/valid"), yaml_files("tasks.d")].concat();
    foreign.assert_accepted(&schema, &valid);

    let beyond: BTreeSet<&str> = BEYOND_A_SCHEMA.iter().map(|(name, _)| *name).collect();
    for judged in foreign.judge(&schema, &yaml_files("tests/manifests/invalid")) {
        let accepted: BTreeSet<&str> = judged
            .iter()
            .filter(|(_, why)| why.is_none())
            .map(|(path, _)| path.file_stem().unwrap().to_str().unwrap())
            .collect();
        let wrongly: Vec<_> = accepted.difference(&beyond).collect();
        assert!(wrongly.is_empty(), "the schema accepts {wrongly:?}");
        let better: Vec<_> = beyond.difference(&accepted).collect();
        assert!(better.is_empty(), "the schema refuses {better:?}: take them off the list");
    }
}

/// What the program prints for every invalid sample, and for a sound folder.
fn printed(form: &str, into: &Path) -> Vec<PathBuf> {
    let mut written = Vec::new();
    let mut keep = |name: &str, text: &str| {
        let path = into.join(format!("{name}.{form}.json"));
        fs::write(&path, text).unwrap();
        written.push(path);
    };
    for sample in yaml_files("tests/manifests/invalid") {
        let folder = Folder::new();
        fs::copy(&sample, folder.tasks().join("ü b.yaml")).unwrap();
        let ended = Program::new(folder.root(), &["validate", "--output", form]).run();
        keep(sample.file_stem().unwrap().to_str().unwrap(), &ended.stdout);
    }
    let sound = Folder::with_team();
    keep("sound", &Program::new(sound.root(), &["validate", "--output", form]).run().stdout);
    written
}

#[test]
fn findings_are_as_their_schema_says() {
    let Some(foreign) = Foreign::installed() else { return };
    let into = tempfile::tempdir().unwrap();
    let mut files = printed("json", into.path());
    for arguments in [&["validate", "nowhere"][..], &["validate", "--nonsense"], &["nonsense"]] {
        let arguments = [arguments, &["--output", "json"]].concat();
        let ended = Program::new(into.path(), &arguments).run();
        let path = into.path().join(format!("failure-{}.json", files.len()));
        fs::write(&path, &ended.stdout).unwrap();
        files.push(path);
    }
    let schema = project("schemas/findings.schema.json");
    foreign.assert_accepted(&schema, &files);

    foreign.assert_notices(&schema, &files[0], "/findings/0/line", &json!(0));
}

#[test]
fn sarif_is_as_its_standard_says() {
    let Some(foreign) = Foreign::installed() else { return };
    let into = tempfile::tempdir().unwrap();
    let schema = foreign.folder.join(SARIF_SCHEMA);
    let files = printed("sarif", into.path());
    foreign.assert_accepted(&schema, &files);
    foreign.assert_notices(&schema, &files[0], "/runs/0/results/0/level", &json!("fatal"));
}

/// What a plan with rejections prints, and one with changes, each in this form.
fn planned(form: &str, into: &Path) -> Vec<PathBuf> {
    let folder = Folder::with_team();
    let database = TestDatabase::new();
    let plan = |arguments: &[&str], code: i32, name: &str| {
        let ended = Program::new(folder.root(), arguments).database(&database).run();
        assert_eq!(ended.code, code, "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        let path = into.join(format!("plan-{name}.{form}.json"));
        fs::write(&path, &ended.stdout).unwrap();
        path
    };
    folder.write("one.yaml", &vk_task("one", "vk", "[1, 2]", ""));
    folder.write("two.yaml", &vk_task("two", "vk", "[3]", ""));
    let changes = plan(&["plan", "--output", form], 0, "changes");
    plan(&["apply", "--auto-approve"], 0, "applied");
    folder.write("other.yaml", &channel("other", "vk-user", "token: {env: OTHER}", ""));
    folder.write("one.yaml", &vk_task("one", "other", "[1, 2]", "  title: One"));
    folder.remove("two.yaml");
    let rejections = plan(&["plan", "--output", form], 3, "rejections");
    vec![rejections, changes]
}

#[test]
fn plans_are_as_their_schema_says() {
    let Some(foreign) = Foreign::installed() else { return };
    let into = tempfile::tempdir().unwrap();
    let schema = project("schemas/plan.schema.json");
    let mut files = planned("json", into.path());
    let first = files[0].clone();
    let goldens = fs::read_dir(goldens::folder()).unwrap();
    files.extend(goldens.map(|entry| entry.unwrap().path()));
    foreign.assert_accepted(&schema, &files);
    foreign.assert_notices(&schema, &first, "/rejections/0/line", &json!("5"));
    foreign.assert_notices(&schema, &first, "/changes/0/actions", &json!("create"));
}

#[test]
fn the_sarif_of_a_plan_is_as_its_standard_says() {
    let Some(foreign) = Foreign::installed() else { return };
    let into = tempfile::tempdir().unwrap();
    let files = planned("sarif", into.path());
    foreign.assert_accepted(&foreign.folder.join(SARIF_SCHEMA), &files);
    let rejections = fs::read_to_string(&files[0]).unwrap();
    for code in ["forbidden-edit", "blocked"] {
        assert!(rejections.contains(&format!("\"ruleId\": \"{code}\"")), "{rejections}");
    }
}
