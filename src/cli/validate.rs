//! `nuncio validate`: every problem at once, without a database.

use std::{io::Read as _, path::PathBuf};

use anyhow::Context as _;

use super::{Common, ExitStatus, output::Output};
use crate::manifest::{self, Severity};

/// More than a folder of manifests has; standard input could be anything.
const STDIN_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A folder, or `-` for one manifest on standard input [default: the tasks folder]
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
        manifest::load_text(
            "<stdin>",
            &String::from_utf8(bytes).context("standard input is not UTF-8")?,
        )
    } else {
        manifest::load(path)?
    };
    let found = manifest::check_audiences(&loaded);
    loaded.diagnostics.extend(found);
    loaded.diagnostics.sort();
    loaded.diagnostics.dedup();
    let diagnostics = &loaded.diagnostics;
    match args.output {
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
        return Ok(ExitStatus::Error);
    }
    output.note(&format!("valid: {}; {found}", counted(n_documents, "document")));
    Ok(ExitStatus::Success)
}

fn counted(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}
