//! `nuncio validate`: every problem at once, without a database.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{Common, ExitStatus, output::Output};
use crate::manifest::{self, Code, Loaded, Severity};

/// More than a folder of manifests has; standard input could be anything.
const STDIN_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A folder; a file of the tasks folder; or `-` for one manifest on standard input, whose
    /// references are not checked [default: the tasks folder]
    path: Option<PathBuf>,
    /// How problems are written
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// With the marked source line, on stderr
    #[default]
    Human,
    /// One line a problem, on stdout: `file:line:column: CODE message`
    Concise,
}

pub(super) fn run(common: &Common, args: &Args, output: Output) -> anyhow::Result<ExitStatus> {
    let path = args.path.as_ref().unwrap_or(&common.tasks);
    let mut loaded = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().take(STDIN_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        anyhow::ensure!(bytes.len() as u64 <= STDIN_BYTES_MAX, "standard input is over 16 MiB");
        let text = String::from_utf8(bytes).context("standard input is not UTF-8")?;
        let mut loaded = manifest::load_text("<stdin>", &text);
        loaded.diagnostics.retain(|found| found.code != Code::UnknownReference);
        loaded
    } else if path.is_file() {
        // A file's references lead into its folder, so that is what is read; its own mistakes are shown.
        let inside = fs::canonicalize(&common.tasks)
            .is_ok_and(|tasks| fs::canonicalize(path).is_ok_and(|path| path.starts_with(tasks)));
        let folder = if inside { &common.tasks } else { path.parent().unwrap_or(path) };
        let mut loaded = manifest::load(folder)?;
        let found = manifest::check_audiences(&loaded);
        loaded.diagnostics.extend(found);
        loaded.diagnostics.retain(|found| same_file(Path::new(&*found.place.file), path));
        return Ok(report(loaded, args.output, output));
    } else {
        manifest::load(path)?
    };
    let found = manifest::check_audiences(&loaded);
    loaded.diagnostics.extend(found);
    Ok(report(loaded, args.output, output))
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

fn report(mut loaded: Loaded, form: Form, output: Output) -> ExitStatus {
    loaded.diagnostics.sort();
    loaded.diagnostics.dedup();
    let diagnostics = &loaded.diagnostics;
    match form {
        Form::Human => {
            output.diagnostics(diagnostics, &loaded.sources);
        }
        Form::Concise => output.concise_diagnostics(diagnostics),
    }
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let (n_errors, n_warnings) = (count(Severity::Error), count(Severity::Warning));
    let n_documents = loaded.counts.documents;
    let n_files = loaded.counts.files;
    let found = format!(
        "{}, {} in {}",
        counted(n_errors, "error"),
        counted(n_warnings, "warning"),
        counted(n_files, "file")
    );
    if n_errors > 0 {
        output.note(&found);
        return ExitStatus::Error;
    }
    output.note(&format!("valid: {}; {found}", counted(n_documents, "document")));
    ExitStatus::Success
}

pub(super) fn counted(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}
