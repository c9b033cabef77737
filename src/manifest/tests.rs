//! The sample files, and what no sample file can show.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use proptest::prelude::*;

use super::{diagnostic::render_concise, load::load_as, *};

fn samples(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests").join(kind)
}

fn sample_files(kind: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(samples(kind))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    files
}

/// What `validate` tells of a folder.
fn told(folder: &Path) -> (Loaded, String) {
    let mut loaded = load_as(folder, "tasks.d").unwrap();
    loaded.diagnostics.extend(check_audiences(&loaded));
    let text = render_human(&loaded.diagnostics, &loaded.sources, false);
    (loaded, text)
}

fn folder_of(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn codes(diagnostics: &[Diagnostic]) -> BTreeSet<Code> {
    diagnostics.iter().map(|found| found.code).collect()
}

const MANAGER: &str = "apiVersion: nuncio/v1\nkind: Manager\nmetadata: {name: anna}\nspec: {fullName: Anna, persona: b}\n";

#[test]
fn a_mark_in_the_blank_end_of_a_line_is_shown() {
    for text in ["a: [x]\u{c}", "a: [x] \u{c}\n", "kind: Ai\u{b}\u{c}"] {
        let loaded = load_text("a.yaml", text);
        let shown = render_human(&loaded.diagnostics, &loaded.sources, false);
        assert!(shown.contains("a.yaml:1:"), "{shown}");
    }
}

#[test]
fn valid_samples_have_nothing_to_tell() {
    let (loaded, text) = told(&samples("valid"));
    assert_eq!(text, "");
    assert!(loaded.desired.unreadable.is_empty());
    assert_eq!(loaded.counts, Counts { files: 3, documents: 16, tasks: 3 });
}

#[test]
fn invalid_samples_tell_what_is_wrong() {
    let mut covered = BTreeSet::new();
    for file in sample_files("invalid") {
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let csv = fs::read_to_string(samples("invalid").join("_broken.csv")).unwrap();
        let folder = folder_of(&[(name, &text), ("_broken.csv", &csv)]);
        let (loaded, told) = told(folder.path());
        assert!(!loaded.diagnostics.is_empty(), "{name}");
        assert!(!told.contains("s3cr3t"), "{told}");
        covered.extend(codes(&loaded.diagnostics));
        insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(name.trim_end_matches(".yaml"), told);
        });
    }
    // These need more than a sample file; each has a test below or beside its code.
    let elsewhere = [
        Code::NotUtf8,
        Code::TooLarge,
        Code::TooManyNodes,
        Code::Unreadable,
        Code::SymlinkLoop,
        Code::MixedSigns,
        Code::DuplicateAddress,
        Code::ChannelRefused,
        Code::SharedAudience,
        Code::NotExamined,
    ];
    let missing: Vec<&Code> = Code::ALL
        .iter()
        .filter(|code| !covered.contains(code) && !elsewhere.contains(code))
        .collect();
    assert!(missing.is_empty(), "no sample shows {missing:?}");
}

#[test]
fn addresses_are_told_where_they_stand() {
    let sample = fs::read_to_string(samples("invalid").join("task-bad_addresses.yaml")).unwrap();
    let (before, rest) = sample.split_once("    targetAudience: ").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    for (audience, expected) in [
        ("[1, abc]", vec!["17:25+3 bad-address"]),
        ("\n    - 1\n    - 'abc'", vec!["19:7+5 bad-address"]),
        ("|\n      # two\n      1\n      abc", vec!["20:7+MAX bad-address"]),
        ("|\n\n      1\n\n        abc\n", vec!["21:7+MAX bad-address"]),
        // Folded and escaped lines are where their text begins.
        (">\n      1\n\n      abc\n", vec!["18:7+1 bad-address"]),
        ("\"1\\nabc\"", vec!["17:21+8 bad-address"]),
        // Not empty, but wrong.
        ("[[abc]]", vec!["17:22+5 wrong-type"]),
    ] {
        let folder =
            folder_of(&[("a.yaml", &format!("{before}    targetAudience: {audience}\n{after}"))]);
        let found = told(folder.path()).0.diagnostics;
        let places = found.iter().map(|Diagnostic { code, place, length, .. }| {
            let length = if *length == u32::MAX { "MAX".to_owned() } else { length.to_string() };
            format!("{}:{}+{length} {code}", place.line, place.column)
        });
        assert_eq!(places.collect::<Vec<_>>(), expected, "{audience}");
    }
}

#[test]
fn the_committed_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/manifest.schema.json");
    let current = format!("{:#}\n", manifest_schema());
    #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
    if std::env::var_os("NUNCIO_UPDATE_SCHEMAS").is_some() {
        fs::write(&path, &current).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == current,
        "schemas/manifest.schema.json is stale; refresh it by\n    \
         NUNCIO_UPDATE_SCHEMAS=1 cargo test --lib manifest::tests::the_committed_schema_is_current"
    );
}

#[test]
fn the_schema_says_what_editors_need() {
    let schema = manifest_schema();
    let at = |path: &str| schema.pointer(path).unwrap_or_else(|| panic!("no {path}"));
    let task = "/definitions/Task/properties/spec";
    for field in crate::domain::task::IMMUTABLE_FIELDS {
        assert_eq!(at(&format!("{task}/properties/{field}/x-immutable")), true);
    }
    assert_eq!(at("/definitions/Channel/properties/spec/properties/kind/x-immutable"), true);
    assert_eq!(at(&format!("{task}/additionalProperties")), false);
    assert!(!schema.to_string().contains(r#""null""#));
    jsonschema::draft7::meta::validate(&schema).unwrap();
    // Editors judge a sample as the loader does.
    let validator = jsonschema::draft7::new(&schema).unwrap();
    for file in sample_files("valid") {
        for document in yaml::parse(&fs::read_to_string(file).unwrap()).documents {
            let errors: Vec<String> =
                validator.iter_errors(&document.root.to_json()).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}");
        }
    }
}

#[test]
fn a_file_of_100_mb_is_refused_without_being_read() {
    let folder = folder_of(&[("anna.yaml", MANAGER)]);
    let file = fs::File::create(folder.path().join("big.yaml")).unwrap();
    file.set_len(100 * 1024 * 1024).unwrap();
    let (loaded, told) = told(folder.path());
    assert_eq!(codes(&loaded.diagnostics), BTreeSet::from([Code::TooLarge]), "{told}");
    assert_eq!(loaded.desired.resources.len(), 1);
    assert_eq!(loaded.desired.unreadable.files.len(), 1);
}

#[test]
fn text_that_is_not_utf8_is_told_with_its_line() {
    let folder = folder_of(&[]);
    fs::write(folder.path().join("a.yaml"), b"a: 1\nb: \xff\n").unwrap();
    let (loaded, _) = told(folder.path());
    assert_eq!(
        render_concise(&loaded.diagnostics),
        "tasks.d/a.yaml:2:1: not-utf8 the file is not UTF-8 from this line on\n"
    );
}

#[test]
fn an_empty_folder_asks_for_nothing_and_a_missing_one_is_an_error() {
    let folder =
        folder_of(&[("_draft.yaml", "nonsense"), (".hidden/a.yaml", "nonsense"), ("a.txt", "x")]);
    let loaded = load_as(folder.path(), "tasks.d").unwrap();
    assert!(loaded.diagnostics.is_empty() && loaded.desired.unreadable.is_empty());
    let error = load_as(&folder.path().join("gone"), "gone").unwrap_err();
    assert_eq!(error.to_string(), "cannot read the tasks folder `gone`");
    load_as(&folder.path().join("a.txt"), "a.txt").unwrap_err();
}

#[test]
fn links_are_followed_inside_the_folder_only() {
    use std::os::unix::fs::symlink;
    let outside = folder_of(&[("b.yaml", MANAGER)]);
    let folder = folder_of(&[("..2026/a.yaml", MANAGER)]);
    let at = |name: &str| folder.path().join(name);
    symlink("..2026", at("..data")).unwrap();
    symlink("..data/a.yaml", at("a.yaml")).unwrap();
    let loaded = load_as(folder.path(), "t").unwrap();
    assert!(loaded.diagnostics.is_empty());
    assert_eq!(loaded.desired.resources.len(), 1);
    symlink(outside.path(), at("out")).unwrap();
    symlink(".", at("again")).unwrap();
    symlink("self.yaml", at("self.yaml")).unwrap();
    symlink("nowhere", at("broken.yaml")).unwrap();
    let loaded = load_as(folder.path(), "t").unwrap();
    let told: Vec<String> = loaded
        .diagnostics
        .iter()
        .map(|found| format!("{} {}", found.place.file, found.code))
        .collect();
    assert_eq!(
        told,
        [
            "t/again symlink-loop",
            "t/broken.yaml unreadable",
            "t/out unreadable",
            "t/self.yaml symlink-loop"
        ]
    );
    assert_eq!(loaded.desired.unreadable.files.len(), 4);
}

#[test]
fn a_reference_is_not_missed_while_a_file_cannot_be_read() {
    let task = fs::read_to_string(samples("invalid").join("task-unknown_references.yaml")).unwrap();
    let folder = folder_of(&[("a.yaml", &task), ("b.yaml", "a: 'b")]);
    let (loaded, told) = told(folder.path());
    assert_eq!(codes(&loaded.diagnostics), BTreeSet::from([Code::Syntax]), "{told}");
}

#[test]
fn what_has_an_error_is_named_as_unreadable_and_the_rest_is_desired() {
    let text =
        format!("{MANAGER}---\n{}", MANAGER.replace("anna", "boris").replace("persona", "persna"));
    let loaded = load_text("<stdin>", &text);
    let keys: Vec<String> = loaded.desired.resources.keys().map(ToString::to_string).collect();
    assert_eq!(keys, ["Manager `anna`"]);
    let keys: Vec<String> =
        loaded.desired.unreadable.resources.iter().map(ToString::to_string).collect();
    assert_eq!(keys, ["Manager `boris`"]);
}

#[test]
fn ten_thousand_wrong_items_are_told_in_few_words() {
    let items = vec!["{a: 1}"; 10_000].join(", ");
    let text = MANAGER.replace("kind: Manager", "kind: SuppressionList");
    let text = text.replace("{fullName: Anna, persona: b}", &format!("{{entries: [{items}]}}"));
    let told = load_text("a.yaml", &text).diagnostics.len();
    assert!((1..=100).contains(&told), "{told}");
    let loaded = load_text("a.yaml", &text.replace("{a: 1}", "x"));
    assert!(loaded.diagnostics.len() <= FINDINGS_MAX);
}

#[test]
fn every_field_has_its_place() {
    let loaded = load_as(&samples("valid"), "t").unwrap();
    let task = loaded.desired.tasks.values().find(|task| task.spec.state.is_some()).unwrap();
    let place = |path| task.places.of(path).to_string();
    assert_eq!(place("type"), "t/everything.yaml:9:9");
    assert_eq!(place("outgoing.workingHours"), "t/everything.yaml:19:19");
    assert_eq!(place("outgoing.opening.text"), "t/everything.yaml:24:7");
    for (path, _) in task.fields.iter() {
        assert!(task.places.fields.contains_key(path), "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn defaults_that_are_written_out_change_nothing(
        (from, to) in (0..24u32, 0..24u32).prop_filter("they differ", |(from, to)| from != to),
        limit in 1..500u32,
        pause in 3..600u64,
        cents in 1..10_000u32,
        inline in any::<bool>(),
    ) {
        let write = |explicit: bool| {
            let when = |text: &'static str| if explicit { text } else { "" };
            let money = if explicit { format!("\"{}.{:02}0\"", cents / 100, cents % 100) } else { format!("{}.{:02}", cents / 100, cents % 100) };
            let pause = if explicit { format!("{}m {}s", pause / 60, pause % 60) } else { format!("{pause}s") };
            let audience = if inline == explicit { "[\"12345678\", -5]" } else { "|\n      # two\n      12345678\n\n      -5" };
            format!(
                "apiVersion: nuncio/v1\nkind: Task\nmetadata: {{name: one}}\nspec:\n  type: vkontakte\n  \
                 format: incoming-and-outgoing\n  channels: [vk]\n  managers: [anna]\n  ai: ai\n  \
                 spendingLimitPerDialogue: {money}\n  outgoing:\n    workingHours: {from:02}:00-{to:02}:00\n{}    \
                 dailyLimitPerChannel: {limit}\n    pauseBetweenDialogues: {pause}\n    opening: {{text: Hi}}\n    \
                 targetAudience: {audience}\n---\napiVersion: nuncio/v1\nkind: Channel\nmetadata: {{name: vk}}\n\
                 spec:\n  kind: vk-user\n{}  credentials: {{token: {{env: A}}}}\n---\n{MANAGER}---\n\
                 apiVersion: nuncio/v1\nkind: Ai\nmetadata: {{name: ai}}\nspec:\n  model: m\n  instructions: i\n{}  \
                 prices: {{inputPerMillionTokens: 1, outputPerMillionTokens: 2.0{}}}\n",
                when("    timezone: UTC\n"),
                when("  dailyLimit: 20\n  endpoint: https://api.vk.ru/\n"),
                when("  endpoint: https://api.openai.com/v1\n  maxOutputTokens: 400\n  reminders: []\n"),
                when(", cachedInputPerMillionTokens: 1.00"),
            )
        };
        let [short, long] = [false, true].map(|explicit| load_text("a", &write(explicit)));
        prop_assert!(!short.has_errors(), "{}", render_human(&short.diagnostics, &short.sources, false));
        prop_assert!(!long.has_errors(), "{}", render_human(&long.diagnostics, &long.sources, false));
        for (name, task) in &short.desired.tasks {
            let other = &long.desired.tasks[name];
            prop_assert_eq!(&task.fields, &other.fields);
            prop_assert_eq!(task.digest, other.digest);
            prop_assert_eq!(task.audience.as_ref().map(|a| a.digest), other.audience.as_ref().map(|a| a.digest));
        }
        for (key, resource) in &short.desired.resources {
            prop_assert_eq!(&resource.fields, &long.desired.resources[key].fields);
        }
        prop_assert_eq!((short.desired.tasks.len(), short.desired.resources.len()), (1, 3));
    }
}
