//! Programs of others that judge ours: installed once, in fixed versions, below the target folder.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{FlockOperation, flock};

/// What a folder of foreign programs consists of.
#[derive(Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) folder: &'a str,
    pub(crate) node_packages: &'a [&'a str],
    pub(crate) python_packages: &'a [&'a str],
    /// What a `main.rs` of ours depends on, as in a Cargo manifest; it is built.
    pub(crate) crates: &'a [&'a str],
    /// Scripts of ours beside them, by name.
    pub(crate) scripts: &'a [(&'a str, &'a str)],
}

/// The folder; `None`, and a word on stderr, where registries or what builds with them cannot be had.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn installed(wanted: &Wanted<'_>) -> Option<PathBuf> {
    let Wanted { folder, node_packages, python_packages, crates, scripts } = wanted;
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    fs::create_dir_all(&root).unwrap();
    let lock = File::create(root.join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let stamp = root.join("installed");
    let text = format!("{node_packages:?} {python_packages:?} {crates:?} {scripts:?}");
    // Written once, under the lock: other tests may be reading.
    if fs::read_to_string(&stamp).unwrap_or_default() != text {
        for (name, script) in *scripts {
            fs::write(root.join(name), script).unwrap();
        }
        if let Err(why) = install(&root, wanted) {
            eprintln!("skipped: the {folder} cannot be installed: {why}");
            return None;
        }
        fs::write(stamp, text).unwrap();
    }
    Some(root)
}

fn install(folder: &Path, wanted: &Wanted<'_>) -> Result<(), String> {
    let Wanted { folder: _, node_packages, python_packages, crates, scripts: _ } = wanted;
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(folder).output();
        let output = output.map_err(|error| format!("`{program}`: {error}"))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        let why = stderr.lines().find(|line| line.contains("rror")).unwrap_or_default();
        if output.status.success() { Ok(()) } else { Err(format!("`{program}`: {why}")) }
    };
    if !node_packages.is_empty() {
        fs::write(folder.join("package.json"), "{\"private\": true}").unwrap();
        let npm = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"];
        let patience = ["--fetch-retries=0", "--fetch-timeout=20000"];
        run("npm", &[&npm[..], &patience, node_packages].concat())?;
    }
    if !python_packages.is_empty() {
        run("python3", &["-m", "venv", "venv"])?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        let patience = ["--retries", "0", "--timeout", "20"];
        let interpreter = folder.join("venv/bin/python");
        run(&interpreter.to_string_lossy(), &[&pip[..], &patience, python_packages].concat())?;
    }
    if !crates.is_empty() {
        let manifest = format!(
            "[package]\nname = \"judge\"\nedition = \"2024\"\n[[bin]]\nname = \"judge\"\npath = \"main.rs\"\n\
            [profile.dev]\ndebug = false\n[workspace]\n[dependencies]\n{}\n",
            crates.join("\n")
        );
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        run(env!("CARGO"), &["build", "--quiet", "--target-dir", "target"])?;
    }
    Ok(())
}
