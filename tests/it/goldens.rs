//! Golden plans: what `--output json` says of each thing a plan can do, for whoever reads it by program.
//!
//! Ids, digests, times and users are replaced: they differ from run to run. A difference is a change of the
//! format, and is refreshed by
//!
//! ```sh
//! NUNCIO_UPDATE_GOLDENS=1 cargo nextest run --test it goldens::
//! ```

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use chrono::{DateTime, NaiveDate};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{Folder, Program, TestDatabase, channel, vk_task};

struct Bench {
    folder: Folder,
    database: TestDatabase,
}

impl Bench {
    /// `spring` writes to five people, two a day, and is applied.
    fn new() -> Self {
        let bench = Self { folder: Folder::with_team(), database: TestDatabase::new() };
        bench.spring("[1, 2, 3, 4, 5]", "Hello!\nShall we renew it?", |text| text);
        bench.apply(&[]);
        bench
    }

    fn spring(&self, audience: &str, opening: &str, edit: impl FnOnce(String) -> String) {
        let lines = format!("\n{opening}").replace('\n', "\n        ");
        let text = vk_task("spring", "vk", audience, "")
            .replace("Channel: 20", "Channel: 2")
            .replace("{text: Hello!}", &format!("\n      text: |{lines}"));
        self.folder.write("spring.yaml", &edit(text));
    }

    fn apply(&self, more: &[&str]) {
        let arguments = [&["apply", "--auto-approve"], more].concat();
        let ended = Program::new(self.folder.root(), &arguments).database(&self.database).run();
        assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    }

    fn second_channel(&self) {
        self.folder.write("two.yaml", &channel("vk-two", "vk-user", "token: {env: TWO}", ""));
    }
}

/// A golden plan, what leads to it, and the arguments and exit code of its `nuncio plan`.
type Golden = (&'static str, fn(&Bench), &'static [&'static str], i32);

const GOLDENS: &[Golden] = &[
    ("nothing", |_| {}, &[], 0),
    (
        "create",
        |bench| {
            let text = vk_task("autumn", "vk", "[6, 7, 7, 8, 9, 10]", "  state: running");
            bench.folder.write("autumn.yaml", &text.replace("Channel: 20", "Channel: 2"));
        },
        &[],
        0,
    ),
    (
        "update",
        |bench| {
            bench.spring("[1, 2, 3, 4, 6]", "Hello!\nShall we talk?", |text| {
                text.replace("Channel: 2", "Channel: 1")
            });
        },
        &[],
        0,
    ),
    (
        "drift",
        |bench| {
            bench.database.run_as_stranger(
                "SET application_name = 'psql'; UPDATE tasks SET daily_limit = 500",
            );
        },
        &[],
        0,
    ),
    (
        "recreate",
        |bench| {
            bench.second_channel();
            bench.spring("[1, 2, 3, 4, 5]", "Hello!\nShall we renew it?", |text| {
                text.replace("channels: [vk]", "channels: [vk-two]")
            });
        },
        &["--recreate", "spring"],
        0,
    ),
    (
        "deletion",
        |bench| {
            bench.second_channel();
            bench.apply(&[]);
            bench.folder.remove("two.yaml");
            bench.folder.remove("spring.yaml");
        },
        &["--stop-first"],
        0,
    ),
    (
        "rejection",
        |bench| {
            bench.second_channel();
            bench.spring("[1, 2]", "Hello!\nShall we renew it?", |text| {
                text.replace("channels: [vk]", "channels: [vk-two]\n  title: Spring")
            });
        },
        &[],
        3,
    ),
    ("blocked", |bench| bench.folder.remove("spring.yaml"), &[], 3),
    (
        "held",
        |bench| {
            let text = vk_task("spring", "vk", "[1]", "  titel: Spring");
            bench.folder.write("spring.yaml", &text);
        },
        &[],
        1,
    ),
    (
        "target",
        |bench| {
            bench.folder.write("autumn.yaml", &vk_task("autumn", "vk", "[6]", ""));
            bench.spring("[1, 2, 3, 4, 5, 6]", "Hello!\nShall we renew it?", |text| text);
        },
        &["--target", "spring"],
        0,
    ),
];

/// What differs between two runs becomes something of its form that does not.
fn settled(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(settled_text(&text)),
        Value::Array(list) => list.into_iter().map(settled).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| match (&*key, value) {
                ("by", Value::String(by)) => {
                    let program = by.split_once(" with ").map_or(&*by, |(_, program)| program);
                    let by = format!("somebody with {program}");
                    (key, by.into())
                }
                (_, value) => (key, settled(value)),
            })
            .collect(),
        value => value,
    }
}

fn settled_text(text: &str) -> String {
    let words: Vec<String> = text.split(' ').map(settled_word).collect();
    words.join(" ")
}

fn settled_word(word: &str) -> String {
    // The end of a code span in a sentence, or of a line of YAML.
    let start = word.len() - word.trim_start_matches('"').len();
    let (start, word) = word.split_at(start);
    let (word, end) = word.split_at(word.trim_end_matches(['`', '"', '}']).len());
    let is_digest = word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
    let settled = if is_digest {
        "0".repeat(64)
    } else if word.parse::<Uuid>().is_ok() {
        Uuid::nil().to_string()
    } else if DateTime::parse_from_rfc3339(word).is_ok() {
        "2026-01-01T00:00:00Z".to_owned()
    } else if word.parse::<NaiveDate>().is_ok() {
        "2026-01-01".to_owned()
    } else {
        word.to_owned()
    };
    format!("{start}{settled}{end}")
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans")
}

#[test]
fn a_plan_as_data_is_as_its_golden_file() {
    let is_updated = std::env::var_os("NUNCIO_UPDATE_GOLDENS").is_some();
    let mut stale = Vec::new();
    for (name, lead, more, code) in GOLDENS {
        let bench = Bench::new();
        lead(&bench);
        let arguments = [&["plan", "--output", "json"], *more].concat();
        let plan = Program::new(bench.folder.root(), &arguments).database(&bench.database);
        let ended = plan.run();
        assert_eq!(ended.code, *code, "{name}: {}{}", ended.stdout, ended.stderr);
        let plan = settled(serde_json::from_str(&ended.stdout).unwrap());
        let text = format!("{plan:#}\n");
        let path = folder().join(format!("{name}.json"));
        if is_updated {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        if golden != text {
            let diff = similar::TextDiff::from_lines(&golden, &text);
            stale.push(format!("{name}:\n{}", diff.unified_diff()));
        }
    }
    assert!(stale.is_empty(), "{}", stale.join("\n"));

    let there = fs::read_dir(folder()).unwrap();
    let there: BTreeSet<String> =
        there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let made: BTreeSet<String> = GOLDENS.iter().map(|(name, ..)| format!("{name}.json")).collect();
    assert_eq!(there, made, "a golden file that nothing makes, or the other way round");
}
