//! `nuncio validate`: every problem at once, without a database.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{
    Common, ExitStatus,
    failure::NoManifest,
    findings::{Form, Review, counted},
    online::examine,
    output::Output,
};
use crate::{
    domain::{desired::AudienceSource, place::Places},
    manifest::{self, Code, Loaded},
};

/// More than a folder of manifests has; standard input could be anything.
const STDIN_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A folder, a file of it, or `-` [default: the tasks folder]
    ///
    /// `-` is one manifest on standard input; what it refers to is not looked for.
    path: Option<PathBuf>,
    /// Ask the providers of the channels as well; nothing is sent
    #[arg(long)]
    online: bool,
    /// How problems are written
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
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
        if !manifest::is_manifest(path) {
            return Err(NoManifest::OtherFile(path.to_string_lossy().into_owned()).into());
        }
        // A file's references lead into its folder, so that is what is read; its own mistakes are shown.
        let inside = fs::canonicalize(&common.tasks)
            .is_ok_and(|tasks| fs::canonicalize(path).is_ok_and(|path| path.starts_with(tasks)));
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let folder = if inside { &common.tasks } else { above.unwrap_or(Path::new(".")) };
        let mut loaded = manifest::load(folder)?;
        let found = manifest::check_audiences(&loaded);
        loaded.diagnostics.extend(found);
        if args.online {
            let found = examine(&loaded).await?;
            loaded.diagnostics.extend(found);
        }
        let scope = Scope::file(path, &loaded);
        return report(loaded, &scope, &path.to_string_lossy(), args.output, output);
    } else {
        manifest::load(path)?
    };
    let found = manifest::check_audiences(&loaded);
    loaded.diagnostics.extend(found);
    if args.online {
        let found = examine(&loaded).await?;
        loaded.diagnostics.extend(found);
    }
    let asked = if path.as_os_str() == "-" { "<stdin>" } else { &*path.to_string_lossy() };
    report(loaded, &Scope::Whole, asked, args.output, output)
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

/// What was asked about, of what was read.
enum Scope {
    Whole,
    /// A file, and the audiences of its tasks: their mistakes keep it from being used.
    Files(Vec<PathBuf>),
}

impl Scope {
    fn file(path: &Path, loaded: &Loaded) -> Self {
        let audiences = loaded.desired.audiences().filter_map(|audience| match audience.source {
            AudienceSource::File { path: listed, .. }
                if same_file(Path::new(&*audience.places.document.file), path) =>
            {
                Some(listed.clone())
            }
            _ => None,
        });
        Self::Files([path.to_owned()].into_iter().chain(audiences).collect())
    }

    fn holds(&self, file: &str) -> bool {
        match self {
            Self::Whole => true,
            Self::Files(files) => files.iter().any(|meant| same_file(Path::new(file), meant)),
        }
    }
}

fn report(
    mut loaded: Loaded,
    scope: &Scope,
    asked: &str,
    form: Form,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    loaded.diagnostics.sort();
    loaded.diagnostics.dedup();
    loaded.diagnostics.retain(|found| scope.holds(&found.place.file));
    let mut review = Review::of_loaded("validate", &loaded);
    if matches!(scope, Scope::Files(_)) {
        review.files.retain(|file| scope.holds(file));
        let tasks = loaded.desired.tasks.values().map(|task| &task.places);
        let resources = loaded.desired.resources.values().map(|resource| &resource.places);
        let n_in = |places: &mut dyn Iterator<Item = &Places>| {
            places.filter(|places| scope.holds(&places.document.file)).count()
        };
        review.n_tasks = n_in(&mut tasks.clone());
        review.n_documents = n_in(&mut tasks.chain(resources));
    }
    if review.n_documents == 0 && review.n_errors() == 0 {
        return Err(NoManifest::Empty(asked.to_owned()).into());
    }
    match form.render(&review) {
        Some(data) if data.is_empty() => {}
        Some(data) => output.data(&data),
        None => drop(output.diagnostics(&loaded.diagnostics, &loaded.sources)),
    }
    let found = review.summary();
    if review.n_errors() > 0 {
        output.note(&found);
        return Ok(ExitStatus::Error);
    }
    output.note(&format!("valid: {}; {found}", counted(review.n_documents, "document")));
    Ok(ExitStatus::Success)
}
