//! What stands on standard output, and how.

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{Bench, Environment};

const EVERYTHING: &[&str] = &["plan", "--recreate", "recreated", "--stop-first"];
const LAST_LINE: &str =
    "Plan: 1 to create, 1 to update, 1 to recreate, 1 to delete, 1 rejected, 0 blocked, 1 drifted.";

#[test]
fn every_form_of_a_plan_tells_what_is_rejected() {
    let bench = Bench::with_everything();
    for form in "human json markdown sarif github gitlab junit concise".split(' ') {
        let ended = bench.run(&[EVERYTHING, &["--output", form]].concat());
        assert_eq!(ended.code, 3, "{form}: {}", ended.stderr);
        assert!(ended.stdout.contains("forbidden-edit"), "{form}: {}", ended.stdout);
        assert!(ended.stdout.contains("tasks.d/rejected.yaml"), "{form}: {}", ended.stdout);
    }
    let concise = bench.run(&[EVERYTHING, &["--output", "concise"]].concat()).stdout;
    let told = "tasks.d/rejected.yaml:7:13: forbidden-edit ";
    assert!(concise.lines().any(|line| line.starts_with(told)), "{concise}");
}

#[test]
fn standard_output_is_data_alone() {
    let bench = Bench::with_everything();
    let json = |arguments: &[&str], code: i32| {
        let ended = bench.run(&[arguments, &["--output", "json"]].concat());
        assert_eq!(ended.code, code, "{arguments:?}: {}", ended.stderr);
        let value: Value = serde_json::from_str(&ended.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", ended.stdout));
        assert!(value["format_version"].as_str().unwrap().starts_with("1."), "{arguments:?}");
    };
    json(EVERYTHING, 3);
    json(&["plan", "--target", "nobody"], 1);
    json(&["forecast"], 0);
    json(&["forecast", "nobody"], 1);
    // Whatever is no data is on stderr, and a saved plan changes nothing of that.
    // A forecast says minutes: one may begin between two plans.
    let before = bench.run(EVERYTHING).stdout;
    let saved = bench.run(&[EVERYTHING, &["--out", "plan.json"]].concat());
    if saved.stdout != before {
        assert_eq!(saved.stdout, bench.run(EVERYTHING).stdout);
    }
    assert!(saved.stderr.contains("Saved."), "{}", saved.stderr);
    bench.folder.write("broken.yaml", "kind: [");
    json(&["plan"], 1);
    json(&["validate"], 1);
    let ended = bench.told("plan", 1);
    assert!(ended.stdout.is_empty() && ended.stderr.contains("syntax"), "{}", ended.stdout);
}

#[test]
fn colour_is_decided_in_one_order() {
    let bench = Bench::new();
    let cases: [(&[&str], Environment<'_>, bool); 9] = [
        (&[], &[], false),
        (&["--color", "always"], &[], true),
        (&["--color", "never"], &[("CLICOLOR_FORCE", "1")], false),
        (&["--color", "auto"], &[("CLICOLOR_FORCE", "1")], true),
        (&[], &[("CLICOLOR_FORCE", "1")], true),
        (&[], &[("CLICOLOR_FORCE", "0")], false),
        (&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        (&["--color", "always"], &[("NO_COLOR", "1")], false),
        (&["--color", "always"], &[("NO_COLOR", "")], true),
    ];
    for (arguments, env, colored) in cases {
        let mut program = bench.program(&[&["plan"], arguments].concat());
        for (name, value) in env {
            program = program.env(name, value);
        }
        let stdout = program.run().stdout;
        assert_eq!(stdout.contains('\u{1b}'), colored, "{arguments:?} {env:?}: {stdout}");
    }
}

/// Without the sequences that a terminal takes for colours.
fn colorless(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').unwrap().1)
}

#[test]
fn a_plan_says_the_same_without_colour() {
    let bench = Bench::with_everything();
    let plain = bench.run(EVERYTHING).stdout;
    let colored = bench.run(&[EVERYTHING, &["--color", "always"]].concat()).stdout;
    assert_ne!(plain, colored);
    if plain != colorless(&colored) {
        // A forecast says minutes: one may have begun between the two.
        assert_eq!(bench.run(EVERYTHING).stdout, colorless(&colored));
    }
    for told in [
        "  + Task `running`",
        "  ~ Task `updated`",
        "-/+ Task `recreated`",
        "  - Task `deleted`",
        "  ! Task `rejected`",
        "  ? Task `drifted`",
        "▶ starts at once",
        "‖ awaits its start",
        "■ ",
    ] {
        assert!(plain.contains(told), "{told}: {plain}");
    }
}

/// The forecast of a saved plan is shorter than that of a fresh one.
fn without_forecast(plan: &str) -> String {
    let (changes, rest) = plan.split_once("What will happen then:\n").unwrap();
    let rest: Vec<&str> =
        rest.lines().skip_while(|line| line.is_empty() || line.starts_with("  ")).collect();
    format!("{changes}{}\n", rest.join("\n"))
}

#[test]
fn a_saved_plan_is_shown_as_it_was_made() {
    let bench = Bench::with_everything();
    let made = bench.run(&[EVERYTHING, &["--out", "saved.plan"]].concat()).stdout;
    let shown = bench.run(&["show", "saved.plan"]).stdout;
    assert_eq!(without_forecast(&shown), without_forecast(&made));
    assert!(shown.contains("  running: 3 contacts, exhausted on "), "{shown}");
}

/// What a symbol and a name look like in the title of a change.
type Title = fn(&str, &str) -> String;

#[test]
fn every_plan_ends_with_what_ends_something_and_its_summary() {
    let bench = Bench::with_everything();
    let forms: [(&str, Title); 2] = [
        ("human", |symbol, name| format!("{symbol} Task `{name}`")),
        ("markdown", |symbol, name| format!("`{symbol}` `Task/{name}`")),
    ];
    for (form, title) in forms {
        let plan = bench.run(&[EVERYTHING, &["--output", form]].concat()).stdout;
        assert_eq!(plan.lines().last(), Some(LAST_LINE), "{form}");
        let section = plan.find("Deletions and recreations").unwrap();
        for (symbol, name, is_ending) in [
            ("+", "running", false),
            ("~", "updated", false),
            ("?", "drifted", false),
            ("!", "rejected", false),
            ("-/+", "recreated", true),
            ("-", "deleted", true),
        ] {
            let at = plan.rfind(&title(symbol, name)).unwrap();
            assert_eq!(at > section, is_ending, "{form}, {name}: {plan}");
        }
    }
    assert_eq!(bench.run(&[EVERYTHING, &["--summary"]].concat()).stdout, format!("{LAST_LINE}\n"));
    let nothing = Bench::new();
    nothing.ends("apply --auto-approve", 0);
    let last = nothing.told("plan", 0).stdout.lines().last().unwrap().to_owned();
    assert!(
        last.starts_with("Plan: 0 to create, 0 to update, 0 to recreate, 0 to delete"),
        "{last}"
    );
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn a_terminal_is_asked() {
    // `script` of util-linux gives a program a terminal; other systems have another `script`, or none.
    let version = Command::new("script").arg("--version").output();
    if !version.is_ok_and(|version| version.stdout.windows(10).any(|part| part == b"util-linux")) {
        eprintln!("skipped: `script` of util-linux is not installed");
        return;
    }
    let bench = Bench::new();
    // The third key is Ctrl-C.
    for (answer, code, revisions) in [("y\n", 1, "0"), ("\u{3}", 130, "0"), ("yes\n", 0, "1")] {
        let line = format!("{} apply", env!("CARGO_BIN_EXE_nuncio"));
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .current_dir(bench.folder.root())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("NUNCIO_DATABASE_URL", bench.database.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut told = Vec::new();
        while !String::from_utf8_lossy(&told).contains("is accepted:") {
            let mut part = [0; 512];
            let n = stdout.read(&mut part).unwrap();
            assert!(n > 0, "{}", String::from_utf8_lossy(&told));
            told.extend_from_slice(&part[..n]);
        }
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(answer.as_bytes()).unwrap();
        stdout.read_to_end(&mut told).unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8(told).unwrap();
        assert_eq!(told.contains("Nothing was applied."), code != 0, "{answer}: {told}");
        assert_eq!(output.status.code(), Some(code), "{answer}: {told}");
        assert!(told.contains("Only `yes` is accepted") && told.contains('\u{1b}'), "{told}");
        assert_eq!(bench.database.value("SELECT count(*) FROM revisions"), revisions, "{answer}");
    }
}
