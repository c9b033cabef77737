//! `nuncio fmt`: one layout for all manifests.

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use similar::TextDiff;

use super::{Common, ExitStatus, failure::NoManifest, output::Output, replace::replace_file};
use crate::manifest::{self, FILE_BYTES_MAX, FormatError, Listing, Sources};

/// After this a difference is shown that is right, but not the smallest.
const DIFF_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Folders and files; `-` formats standard input to standard output [default: the tasks folder]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Write nothing; list the files that would change, and exit with 1 if there are any
    #[arg(long)]
    check: bool,
    /// Write nothing; show what would change
    #[arg(long)]
    diff: bool,
}

/// What became of the files.
#[derive(Default)]
struct Tally {
    files: usize,
    changed: usize,
    failed: usize,
}

pub(super) fn run(common: &Common, args: &Args, output: Output) -> anyhow::Result<ExitStatus> {
    let default = [common.tasks.clone()];
    let paths = if args.paths.is_empty() { &default[..] } else { &args.paths };
    let mut tally = Tally::default();
    let mut done = BTreeSet::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let text = read_standard_input()?;
            one(args, output, &mut tally, "<stdin>", &text, |text| {
                output.data_exactly(text);
                Ok(())
            })?;
            continue;
        }
        let files = if path.is_dir() || args.paths.is_empty() {
            let Listing { files, faults } = manifest::list(path)?;
            tally.failed += faults.len();
            output.diagnostics(&faults, &Sources::default());
            files
        } else if path.is_file() && !manifest::is_manifest(path) {
            return Err(NoManifest::OtherFile(path.to_string_lossy().into_owned()).into());
        } else {
            vec![(path.clone(), path.to_string_lossy().into_owned())]
        };
        if files.is_empty() && tally.failed == 0 {
            return Err(NoManifest::Empty(path.to_string_lossy().into_owned()).into());
        }
        for (path, shown) in files {
            // A link, and what it leads to, are one file.
            let resolved = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
            if !done.insert(resolved) {
                continue;
            }
            match read_file(&path) {
                Ok(text) => one(args, output, &mut tally, &shown, &text, |text| {
                    replace_file(&path, text)
                        .with_context(|| format!("cannot write `{}`", path.display()))
                })?,
                Err(error) => {
                    output.fail(&error);
                    tally.failed += 1;
                }
            }
        }
    }
    let Tally { files, changed, failed } = tally;
    let would = if args.check || args.diff { "would change" } else { "changed" };
    let noun = if files == 1 { "file" } else { "files" };
    output.note(&format!("{changed} of {files} {noun} {would}"));
    let is_refused = failed > 0 || (args.check && changed > 0);
    Ok(if is_refused { ExitStatus::Error } else { ExitStatus::Success })
}

/// Formats one text; an unchanged one is given to `write` only where it is the output.
fn one(
    args: &Args,
    output: Output,
    tally: &mut Tally,
    shown: &str,
    text: &str,
    write: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    tally.files += 1;
    let formatted = match manifest::format_text(shown, text) {
        Ok(formatted) => formatted,
        Err(FormatError::Invalid(found)) => {
            let mut sources = Sources::default();
            sources.insert(shown.into(), text.into());
            output.diagnostics(&found, &sources);
            tally.failed += 1;
            return Ok(());
        }
        Err(error @ FormatError::NotKept) => {
            output.error(&format!("{shown}: {error}; it is left as it is"));
            tally.failed += 1;
            return Ok(());
        }
    };
    let is_changed = formatted != text;
    tally.changed += usize::from(is_changed);
    if is_changed && args.check {
        output.data(shown);
    }
    if is_changed && args.diff {
        let diff = TextDiff::configure().timeout(DIFF_TIMEOUT).diff_lines(text, &formatted);
        let below = shown.trim_start_matches('/');
        let (old, new) = (format!("a/{below}"), format!("b/{below}"));
        output.data(&diff.unified_diff().header(&old, &new).to_string());
    }
    let is_output = shown == "<stdin>";
    if !args.check && !args.diff && (is_changed || is_output) {
        write(&formatted)?;
        if !is_output {
            output.note(shown);
        }
    }
    Ok(())
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read `{}`", path.display())
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    let file = fs::File::open(path).with_context(|| cannot_read(path))?;
    let metadata = file.metadata().with_context(|| cannot_read(path))?;
    anyhow::ensure!(metadata.is_file(), "`{}` is not a regular file", path.display());
    text_of(file, &format!("`{}`", path.display()))
}

fn read_standard_input() -> anyhow::Result<String> {
    text_of(std::io::stdin().lock(), "standard input")
}

fn text_of(reader: impl std::io::Read, name: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    reader
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {name}"))?;
    let mebibytes = FILE_BYTES_MAX / 1024 / 1024;
    anyhow::ensure!(bytes.len() as u64 <= FILE_BYTES_MAX, "{name} is over {mebibytes} MiB");
    String::from_utf8(bytes).ok().with_context(|| format!("{name} is not UTF-8"))
}
