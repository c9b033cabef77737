//! What every form says of one review, and what holds for all of them.

use std::{fs, path::Path};

use proptest::prelude::*;
use serde_json::Value;

use super::{Finding, Form, Review, findings_schema, markdown::BYTES_MAX};
use crate::{
    domain::place::Place,
    manifest::{Severity, load_text},
};

const FORMS: [Form; 7] = [
    Form::Json,
    Form::Markdown,
    Form::Sarif,
    Form::Github,
    Form::Gitlab,
    Form::Junit,
    Form::Concise,
];

fn finding(severity: Severity, code: &'static str, file: &str, line: u32, text: &str) -> Finding {
    let place = Place { file: file.into(), line, column: 4 };
    Finding::new(severity, code, place, 3, text, None)
}

fn review(findings: Vec<Finding>) -> Review {
    let mut files: std::collections::BTreeSet<_> =
        findings.iter().map(|finding| finding.place.file.clone()).collect();
    files.insert("tasks.d/sound.yaml".into());
    let root = Some("/checkout".into());
    Review { command: "validate", findings, files, n_documents: 3, n_tasks: 1, root }
}

/// Everything that a form has to escape, mark or leave out.
fn awkward() -> Review {
    let mut unknown = finding(
        Severity::Error,
        "unknown-field",
        "/checkout/tasks.d/a, b:1.yaml",
        3,
        "`x|y` is <b>no</b> field of @anna, 100% & \u{7}more",
    );
    unknown.hint = Some("did you mean `name`?\nIt is *free*".to_owned());
    let mut whole = finding(Severity::Error, "not-utf8", "tasks.d/ü.yaml", 1, "no UTF-8");
    whole.length = 0;
    whole.place.column = 1;
    let warning =
        finding(Severity::Warning, "audience-empty", "tasks.d/ü.yaml", 7, "it is]]> empty");
    let outside = finding(Severity::Error, "syntax", "/elsewhere/c.yaml", 2, "`a`b` no YAML");
    review(vec![unknown, whole, warning.clone(), warning, outside])
}

fn json(form: Form, review: &Review) -> Value {
    serde_json::from_str(&form.render(review).unwrap()).unwrap()
}

#[test]
fn every_form_says_the_same_findings() {
    let review = awkward();
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        for form in FORMS {
            let text = form.render(&review).unwrap();
            let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
            insta::assert_snapshot!(format!("{form:?}").to_lowercase(), text);
        }
    });
}

#[test]
fn a_fingerprint_outlives_lines_that_come_and_go_and_is_never_shared() {
    let before = awkward();
    let mut after = before.clone();
    for finding in &mut after.findings {
        finding.place.line += 40;
        finding.place.column += 2;
    }
    let of = |review: &Review| -> Vec<String> {
        let issues = json(Form::Gitlab, review);
        let fingerprints = issues.as_array().unwrap().iter().map(|issue| &issue["fingerprint"]);
        fingerprints.map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(of(&before), of(&after));
    let unique: std::collections::BTreeSet<String> = of(&before).into_iter().collect();
    assert_eq!(unique.len(), before.findings.len());
    let sarif = json(Form::Sarif, &after);
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let in_sarif: Vec<&str> = results
        .iter()
        .map(|result| result["partialFingerprints"]["nuncio/v1"].as_str().unwrap())
        .collect();
    assert_eq!(in_sarif, of(&before));
}

#[test]
fn a_comment_is_never_longer_than_a_forge_takes() {
    let text = "`x` is no field of `spec`, and the message is of a good length: жжж".repeat(4);
    for count in [1, 100, 5_000] {
        let many = (1..=count)
            .map(|line| finding(Severity::Error, "unknown-field", "tasks.d/a.yaml", line, &text));
        let review = review(many.collect());
        let comment = Form::Markdown.render(&review).unwrap();
        assert!(comment.len() <= BYTES_MAX, "{}", comment.len());
        assert!(comment.starts_with("<!-- nuncio:validate -->\n"));
        let shown = comment.matches("| error |").count();
        match comment.rsplit_once("… and ") {
            Some((_, rest)) => {
                let rest: usize = rest.split(' ').next().unwrap().parse().unwrap();
                assert_eq!(shown + rest, count as usize);
            }
            None => assert_eq!(shown, count as usize),
        }
    }
}

#[test]
fn no_form_shows_a_secret_that_stands_in_a_manifest() {
    let text = "apiVersion: nuncio/v1\nkind: Channel\nmetadata: {name: a}\nspec:\n  kind: vk-user\n  \
                credentials: {token: s3cr3t}\n---\napiKey: \"s3cr3t\n";
    let loaded = load_text("a.yaml", text);
    assert!(loaded.has_errors());
    for form in FORMS {
        let shown = form.render(&Review::of_loaded("validate", &loaded)).unwrap();
        assert!(!shown.contains("s3cr3t"), "{form:?}: {shown}");
    }
}

#[test]
fn what_is_meant_never_reaches_beyond_its_line() {
    let loaded = load_text("a.yaml", "apiVersion: nuncio/v1\nkind: Tsäk\nспек: [\n");
    let review = Review::of_loaded("validate", &loaded);
    assert!(!review.findings.is_empty());
    for finding in &review.findings {
        let Finding { place, length, .. } = finding;
        let line = loaded.sources.line(place).unwrap_or_default().chars().count();
        assert!((place.column + length) as usize <= line.max(1) + 1, "{finding:?}");
    }
}

#[test]
fn json_is_as_its_schema_says() {
    let schema = findings_schema();
    jsonschema::draft7::meta::validate(&schema).unwrap();
    let validator = jsonschema::draft7::new(&schema).unwrap();
    let nothing = review(Vec::new());
    for review in [&awkward(), &nothing] {
        let value = json(Form::Json, review);
        let errors: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(value["valid"], review.n_errors() == 0);
    }
    assert!(!validator.is_valid(&serde_json::json!({"format_version": "1.0", "valid": true})));
}

#[test]
fn the_committed_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/findings.schema.json");
    let current = format!("{:#}\n", findings_schema());
    #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
    if std::env::var_os("NUNCIO_UPDATE_SCHEMAS").is_some() {
        fs::write(&path, &current).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == current,
        "schemas/findings.schema.json is stale; refresh it by\n    \
         NUNCIO_UPDATE_SCHEMAS=1 cargo test --lib findings::tests::the_committed_schema_is_current"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Names and messages come from manifests, and whoever writes one must not command a runner, add a
    /// cell or a test, or end a line.
    #[test]
    fn no_text_leaves_its_place(
        texts in proptest::collection::vec(("\\PC*|[\n\r:,|`%<&\u{1b}]*", "(?s).{0,40}|[`|\\\\a\n]{0,12}"), 1..5),
    ) {
        let findings = texts.iter().enumerate().map(|(index, (file, text))| {
            let line = u32::try_from(index).unwrap() + 1;
            let mut finding = finding(Severity::Error, "bad-value", file, line, text);
            finding.hint = Some(text.clone());
            finding
        });
        let review = review(findings.collect());
        let lines = |form: Form| -> Vec<String> {
            form.render(&review).unwrap().split(['\n', '\r']).map(str::to_owned).collect()
        };
        let github = lines(Form::Github);
        prop_assert_eq!(github.len(), texts.len() + 1, "{:?}", github);
        prop_assert!(github.iter().all(|line| line.is_empty() || line.starts_with("::error file=")));
        prop_assert_eq!(lines(Form::Concise).len(), texts.len() + 1);
        let rows = lines(Form::Markdown).into_iter().filter(|line| line.starts_with("| "));
        let cells = |row: &str| {
            let mut characters = row.chars();
            let mut count = 0;
            while let Some(c) = characters.next() {
                match c {
                    '\\' => drop(characters.next()),
                    '|' => count += 1,
                    _ => {}
                }
            }
            count
        };
        let rows: Vec<String> = rows.filter(|row| !row.starts_with("| Place")).collect();
        prop_assert_eq!(rows.len(), texts.len(), "{:?}", rows);
        prop_assert!(rows.iter().all(|row| cells(row) == 5), "{:?}", rows);
        let junit = Form::Junit.render(&review).unwrap();
        let suites = quick_junit::Report::deserialize_from_str(&junit);
        prop_assert!(suites.is_ok(), "{}: {:?}", junit, suites);
        for form in [Form::Json, Form::Sarif, Form::Gitlab] {
            json(form, &review);
        }
    }
}
