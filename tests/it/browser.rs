//! Visitors in a real browser: Debian's Chromium, driven by `playwright-core`.
//!
//! The driver is installed at the first run, in a fixed version, below the target folder. Where its registry
//! cannot be reached, or Node or Chromium is absent, the test says so and passes.
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use crate::support::{Behaviour, Hosted};

const DRIVER: &str = "playwright-core@1.65.1";
const CHROMIUM: &str = "/usr/bin/chromium";
const SCRIPT: &str = include_str!("browser.mjs");

/// The folder of the driver; `None`, and a word on stderr, where it cannot be had.
fn installed() -> Option<PathBuf> {
    if !Path::new(CHROMIUM).exists() {
        eprintln!("skipped: there is no {CHROMIUM}");
        return None;
    }
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    fs::create_dir_all(&root).unwrap();
    let lock = File::create(root.join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let stamp = root.join("installed");
    if fs::read_to_string(&stamp).unwrap_or_default() != DRIVER {
        fs::write(root.join("package.json"), "{\"private\": true}").unwrap();
        let arguments =
            ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"];
        let patience = ["--fetch-retries=0", "--fetch-timeout=20000", DRIVER];
        let npm = Command::new("npm").args(arguments).args(patience).current_dir(&root).output();
        if !npm.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: `npm` cannot install {DRIVER}");
            return None;
        }
        fs::write(stamp, DRIVER).unwrap();
    }
    // Node finds the driver beside the script.
    fs::write(root.join("browser.mjs"), SCRIPT).unwrap();
    Some(root)
}

/// The AI thinks for a moment, so that its typing is seen.
const AI_DELAY: Duration = Duration::from_millis(400);

/// Two tabs, a reload, ten seconds without a connection, a script as a message, and somebody else: all of them
/// before the AI. With `SCREENSHOTS`, the beginning of a path, pictures of the page are left there.
#[test]
fn a_visitor_chats_in_a_browser() {
    let Some(folder) = installed() else { return };
    let behaviour = Behaviour { answer_delay: AI_DELAY, ..Behaviour::default() };
    let hosted = Hosted::start_with(behaviour);
    let _working = hosted.work();
    let profile = tempfile::tempdir().unwrap();
    let mut script = Command::new("node")
        .args(["browser.mjs", CHROMIUM, &hosted.url("/chat/site")])
        .arg(profile.path())
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = script.stdin.take().unwrap();
    // Its lines are what an operator is to say, or what it saw.
    let mut seen = Vec::new();
    for line in BufReader::new(script.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.strip_prefix("say ") {
            Some(text) => {
                hosted.say("site", text);
                writeln!(stdin, "said").unwrap();
            }
            None => seen.push(line),
        }
    }
    let status = script.wait().unwrap();
    assert!(status.success(), "{}", seen.join("\n"));
    assert_eq!(seen.last().map(String::as_str), Some("all is well"));

    // The database agrees: every message of the first visitor once, and in the order of writing.
    let texts = hosted.database.value(
        "SELECT string_agg(text, '|' ORDER BY position) FROM messages WHERE author = 'person' \
        AND dialogue_id = (SELECT min(id) FROM dialogues)",
    );
    let expected = [
        "Hello",
        "<script>document.title = 'taken over'</script>",
        "From the other tab",
        "How long does it take?",
        "Offline 1",
        "Offline 2",
        "Offline 3",
        "After a lost answer",
        "Back",
        "Who is this?",
    ];
    assert_eq!(texts, expected.join("|"));
    assert_eq!(hosted.database.value("SELECT count(*) FROM dialogues"), "2");
    // After the operator no word of the AI, and every word of it was asked for.
    let after = "SELECT count(*) FROM messages m WHERE author = 'ai' AND state = 'sent' AND EXISTS (
        SELECT FROM messages o WHERE o.dialogue_id = m.dialogue_id AND o.author = 'operator' AND o.id < m.id)";
    assert_eq!(hosted.database.value(after), "0");
    let said = hosted.database.value("SELECT count(*) FROM messages WHERE author = 'ai'");
    let asked = hosted.rehearsal.recent_ai().iter().filter(|call| call.status == 200).count();
    assert!(asked >= said.parse().unwrap(), "{asked} calls for {said} answers");
}
