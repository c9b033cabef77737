//! Debian's Chromium, driven by `playwright-core` from scripts of Node; `axe-core` looks for what keeps people out.
//!
//! Both are installed at the first run, in a fixed version, below the target folder. Where its registry
//! cannot be reached, or Node or Chromium is absent, a test says so and passes.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Seek as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::fs::{FlockOperation, flock};

const PACKAGES: [&str; 2] = ["playwright-core@1.65.1", "axe-core@4.14.1"];
const CHROMIUM: &str = "/usr/bin/chromium";
/// What the scripts have in common.
const SHARED: (&str, &str) = ("driver.mjs", include_str!("driver.mjs"));

/// The folder of the packages, with these scripts in it.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn installed(scripts: &[(&str, &str)]) -> Option<PathBuf> {
    if !Path::new(CHROMIUM).exists() {
        eprintln!("skipped: there is no {CHROMIUM}");
        return None;
    }
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    fs::create_dir_all(&root).unwrap();
    let lock = File::create(root.join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let stamp = root.join("installed");
    let wanted = PACKAGES.join(" ");
    if fs::read_to_string(&stamp).unwrap_or_default() != wanted {
        fs::write(root.join("package.json"), "{\"private\": true}").unwrap();
        let arguments =
            ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"];
        let patience = ["--fetch-retries=0", "--fetch-timeout=20000"];
        let mut npm = Command::new("npm");
        npm.args(arguments).args(patience).args(PACKAGES).current_dir(&root);
        if !npm.output().is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: `npm` cannot install {wanted}");
            return None;
        }
        fs::write(stamp, wanted).unwrap();
    }
    // Node finds the packages beside the scripts. Another test may be reading one.
    for (name, text) in [&[SHARED], scripts].concat() {
        if fs::read_to_string(root.join(name)).unwrap_or_default() != text {
            fs::write(root.join("new"), text).unwrap();
            fs::rename(root.join("new"), root.join(name)).unwrap();
        }
    }
    Some(root)
}

/// Runs a script to its good end; false where there is no browser. Its lines are what it saw, or what it asks
/// for: `say TEXT`, and goes on when that is done.
pub(crate) fn run_in_browser(
    script: (&str, &str),
    arguments: &[&str],
    mut say: impl FnMut(&str),
) -> bool {
    let Some(folder) = installed(&[script]) else { return false };
    let profile = tempfile::tempdir().unwrap();
    // In a file: nobody reads it while it is written.
    let mut failure = tempfile::tempfile().unwrap();
    let mut running = Command::new("node")
        .args([script.0, CHROMIUM])
        .arg(profile.path())
        .args(arguments)
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(failure.try_clone().unwrap())
        .spawn()
        .unwrap();
    let mut stdin = running.stdin.take().unwrap();
    let mut seen = Vec::new();
    for line in BufReader::new(running.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.strip_prefix("say ") {
            Some(text) => {
                say(text);
                writeln!(stdin, "said").unwrap();
            }
            None => seen.push(line),
        }
    }
    let status = running.wait().unwrap();
    if !status.success() {
        failure.rewind().unwrap();
        panic!("{}\n{}", seen.join("\n"), std::io::read_to_string(failure).unwrap());
    }
    assert_eq!(seen.last().map(String::as_str), Some("all is well"));
    true
}
