//! Loads a folder of manifests: everything that it asks for, and every problem at once.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    num::NonZero,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    audience::read_audience,
    checks::check,
    contacts::{AudienceReading, Column},
    diagnostic::{Code, Diagnostic, Severity, Sources, settle},
    findings::Findings,
    folder::{Entry, find},
    ground::Ground,
    reading::{Lowered, ReadDocument, ReadFile, read_text},
    schema::DocumentKind,
    template::variables_of,
    yaml::FILE_BYTES_MAX,
};
use crate::domain::{
    desired::{AudienceSource, Desired, DesiredResource, DesiredTask, InvalidTask, NamedAudience},
    fields::{Digest, Fields},
    id::{ResourceName, TaskName},
    place::Place,
    resource::{ResourceKey, ResourceKind},
    task::{IMMUTABLE_FIELDS, Opening},
};

/// A folder as it was read.
#[derive(Debug, Default)]
pub struct Loaded {
    pub desired: Desired,
    /// Sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Sources,
    pub counts: Counts,
}

/// How much was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub files: usize,
    pub documents: usize,
    pub tasks: usize,
}

impl Loaded {
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|found| found.severity == super::Severity::Error)
    }
}

/// The folder itself could not be read: this is not the same as an empty one.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the tasks folder `{folder}`")]
pub struct LoadError {
    pub folder: String,
    #[source]
    pub source: io::Error,
}

/// Loads every manifest of a folder; places are shown below the folder as the caller writes it.
pub fn load(folder: &Path) -> Result<Loaded, LoadError> {
    let shown_as = folder.to_string_lossy();
    load_as(folder, shown_as.trim_start_matches("./").trim_end_matches('/'))
}

/// The manifests of a folder.
#[derive(Debug)]
pub struct Listing {
    /// Each with the name that the user knows it by.
    pub files: Vec<(PathBuf, String)>,
    /// What could not be looked at.
    pub faults: Vec<Diagnostic>,
}

/// Finds the manifests of a folder, without reading them.
pub fn list(folder: &Path) -> Result<Listing, LoadError> {
    let shown_as = folder.to_string_lossy();
    let shown_as = shown_as.trim_start_matches("./").trim_end_matches('/');
    let fail = |source| LoadError { folder: shown_as.to_owned(), source };
    let resolved = fs::canonicalize(folder).map_err(fail)?;
    let (entries, faults) = find(folder, &resolved, shown_as).map_err(fail)?;
    let files = entries.into_iter().map(|Entry { path, shown }| (path, shown)).collect();
    Ok(Listing { files, faults })
}

/// Loads a folder that is called something else than its path.
pub(super) fn load_as(folder: &Path, shown_as: &str) -> Result<Loaded, LoadError> {
    let fail = |source| LoadError { folder: shown_as.to_owned(), source };
    let resolved = fs::canonicalize(folder).map_err(fail)?;
    let (entries, faults) = find(folder, &resolved, shown_as).map_err(fail)?;
    let next = AtomicUsize::new(0);
    let threads =
        std::thread::available_parallelism().map_or(1, NonZero::get).min(entries.len().max(1));
    let mut read: Vec<(usize, ReadFile, Option<Arc<str>>)> = std::thread::scope(|scope| {
        let work = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(entry) = entries.get(index) else { return done };
                let (file, text) = read_entry(entry, &resolved);
                done.push((index, file, text));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, Vec<_>>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().flat_map(join).collect()
    });
    read.sort_by_key(|(index, ..)| *index);
    let mut sources = Sources::default();
    let mut files = Vec::new();
    for (_, file, text) in read {
        if let Some(text) = text {
            sources.insert(Arc::clone(&file.file), text);
        }
        files.push(file);
    }
    let mut loaded = assemble(files, faults, sources);
    loaded.desired.folder = shown_as.into();
    Ok(loaded)
}

/// Loads manifests that stand in no folder, such as the standard input.
pub fn load_text(name: &str, text: &str) -> Loaded {
    let file: Arc<str> = name.into();
    let read = read_stored(&file, text);
    let mut sources = Sources::default();
    sources.insert(file, text.into());
    assemble(vec![read], Vec::new(), sources)
}

/// Reads every audience to its end, also of tasks that are invalid otherwise. [`load`] only digests them; this finds
/// what is wrong inside.
pub fn check_audiences(loaded: &Loaded) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for NamedAudience { places, messenger, source, opening } in loaded.desired.audiences() {
        let manifest = &places.document.file;
        let place = places.of("outgoing.targetAudience.file").clone();
        let mut ignore = |_| ControlFlow::Continue(());
        match read_audience(source, messenger, manifest, &mut ignore) {
            Err(error) => {
                let message = format!("the audience cannot be read: {error}");
                found.push(Diagnostic::error(Code::AudienceFile, place, 1, message));
            }
            Ok(AudienceReading { total, columns, diagnostics, .. }) => {
                let inline = matches!(source, AudienceSource::Inline(_));
                if total == 0 && diagnostics.is_empty() && !inline {
                    let message = "the audience is empty: the task will write to nobody";
                    found.push(Diagnostic::warning(Code::AudienceEmpty, place.clone(), 1, message));
                }
                found.extend(diagnostics);
                if let Some(opening) = opening {
                    found.extend(empty_variables(opening, &columns, source, &place));
                }
            }
        }
    }
    settle(&mut found);
    found
}

/// Loads text that was written from what is stored: its files are not there, and were judged when it
/// was applied. Tasks come without their audience, and lists with a file without its entries.
pub fn load_stored(name: &str, text: &str) -> Loaded {
    let file: Arc<str> = name.into();
    let mut read = read_stored(&file, text);
    for document in &mut read.documents {
        document.findings.list.retain(|found| found.code != Code::AudienceFile);
    }
    let mut sources = Sources::default();
    sources.insert(file, text.into());
    assemble(vec![read], Vec::new(), sources)
}

/// The digest of the one document of a text, whatever it refers to; `None` if it has a mistake.
pub fn digest_of(text: &str) -> Option<Digest> {
    let mut read = read_stored(&Arc::from("manifest"), text);
    let (Some(document), true) = (read.documents.pop(), read.documents.is_empty()) else {
        return None;
    };
    let mut found = document.findings.list.iter().chain(&read.findings.list);
    if found.any(|found| found.severity == Severity::Error && found.code != Code::AudienceFile) {
        return None;
    }
    match document.lowered {
        Lowered::Task(spec) => Some(spec?.fields().digest()),
        Lowered::Resource(resource) => Some(resource?.fields().digest()),
    }
}

/// The documents of a text that stands in no folder.
pub(super) fn read_stored(file: &Arc<str>, text: &str) -> ReadFile {
    let ground = Ground { folder: None, directory: PathBuf::new(), shown: String::new() };
    read_text(file, text, &ground)
}

fn empty_variables(
    opening: &Opening,
    columns: &[Column],
    source: &AudienceSource,
    place: &Place,
) -> Vec<Diagnostic> {
    let texts: Vec<&String> = match opening {
        Opening::Text(text) => vec![text],
        Opening::Template { variables, .. } => variables.iter().collect(),
        Opening::WrittenByAi => Vec::new(),
    };
    let used: Vec<String> = texts.iter().flat_map(|text| variables_of(text)).collect();
    let mut found = Vec::new();
    for Column { name, empty, first_empty_line } in columns {
        let Some(line) = first_empty_line.filter(|_| used.contains(name)) else { continue };
        let file = match source {
            AudienceSource::File { shown, .. } => Arc::clone(shown),
            AudienceSource::Inline(_) => Arc::clone(&place.file),
        };
        let place = Place { file, line: u32::try_from(line).unwrap_or(u32::MAX), column: 1 };
        let message =
            format!("the opening uses `{name}`, which is empty in {empty} rows, first here");
        found.push(Diagnostic::warning(Code::EmptyVariable, place, 1, message));
    }
    found
}

fn read_entry(entry: &Entry, folder: &Path) -> (ReadFile, Option<Arc<str>>) {
    let Entry { path, shown } = entry;
    let file: Arc<str> = shown.as_str().into();
    let refused = |code, line, message: String| {
        let mut findings = Findings::of(&file);
        let place = Place { file: Arc::clone(&file), line, column: 1 };
        findings.list.push(Diagnostic::error(
            code,
            place,
            u32::from(code == Code::NotUtf8),
            message,
        ));
        ReadFile { file: Arc::clone(&file), documents: Vec::new(), findings, unnamed: true }
    };
    let too_large = || {
        let mebibytes = FILE_BYTES_MAX / 1024 / 1024;
        refused(
            Code::TooLarge,
            1,
            format!(
                "the file is larger than {mebibytes} MiB; move its audience to a file of its own"
            ),
        )
    };
    let text = match read_capped(path) {
        Ok(Some(bytes)) => String::from_utf8(bytes),
        Ok(None) => return (too_large(), None),
        Err(error) => {
            return (
                refused(Code::Unreadable, 1, format!("the file cannot be read: {error}")),
                None,
            );
        }
    };
    let text: Arc<str> = match text {
        Ok(text) => text.into(),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let lines = error.as_bytes()[..good].split(|byte| *byte == b'\n').count();
            let line = u32::try_from(lines).unwrap_or(u32::MAX);
            return (
                refused(Code::NotUtf8, line, "the file is not UTF-8 from this line on".to_owned()),
                None,
            );
        }
    };
    let directory = path.parent().unwrap_or(Path::new("")).to_owned();
    let shown_directory = shown.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned();
    let ground = Ground { folder: Some(folder.to_owned()), directory, shown: shown_directory };
    (read_text(&file, &text, &ground), Some(text))
}

/// `None` for a file that is too large: its length is looked at first, and no more is read than fits.
fn read_capped(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = fs::File::open(path)?;
    if file.metadata()?.len() > FILE_BYTES_MAX {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= FILE_BYTES_MAX).then_some(bytes))
}

fn assemble(mut files: Vec<ReadFile>, faults: Vec<Diagnostic>, sources: Sources) -> Loaded {
    check(&mut files, !faults.is_empty());
    let mut loaded = Loaded { sources, ..Loaded::default() };
    for fault in &faults {
        loaded.desired.unreadable.files.insert(Arc::clone(&fault.place.file));
    }
    loaded.diagnostics = faults;
    loaded.counts.files = files.len();
    // Two documents of one name: neither is known to be the meant one.
    let mut names: BTreeMap<(DocumentKind, String), usize> = BTreeMap::new();
    for document in files.iter().flat_map(|file| &file.documents) {
        *names.entry((document.kind, document.name.clone())).or_default() += 1;
    }
    for ReadFile { file, documents, mut findings, unnamed } in files {
        if unnamed {
            loaded.desired.unreadable.files.insert(file);
        }
        loaded.diagnostics.append(&mut findings.list);
        for document in documents {
            loaded.counts.documents += 1;
            loaded.counts.tasks += usize::from(document.kind == DocumentKind::Task);
            let unique = names[&(document.kind, document.name.clone())] == 1;
            place(document, unique, &mut loaded);
        }
    }
    settle(&mut loaded.diagnostics);
    loaded
}

/// What an invalid task says of its immutable fields.
fn immutable(document: &ReadDocument) -> Fields {
    let mut fields = Fields::default();
    for path in IMMUTABLE_FIELDS {
        let mut texts: Vec<&str> = document.texts(path).into_iter().map(|(text, _)| text).collect();
        texts.sort_unstable();
        fields = match (*path, texts.first()) {
            ("channels", Some(_)) => fields.list(path, texts),
            (_, Some(text)) => fields.text(path, text),
            (_, None) => fields,
        };
    }
    fields
}

fn place(document: ReadDocument, unique: bool, loaded: &mut Loaded) {
    let immutable = immutable(&document);
    let messenger = document.text("type").and_then(|text| text.parse().ok());
    let ReadDocument { kind, name, places, lowered, audience, consent, mut findings, .. } =
        document;
    let good = unique && !findings.has_errors();
    let errors = findings.list.iter().filter(|found| found.severity == Severity::Error);
    let mistakes = errors.map(|found| found.place.clone()).collect();
    loaded.diagnostics.append(&mut findings.list);
    let desired = &mut loaded.desired;
    let resource_kind = match kind {
        DocumentKind::Task => {
            let name: TaskName = name.parse().expect("the name was parsed when it was read");
            match lowered {
                Lowered::Task(Some(spec)) if good => {
                    let fields = spec.fields();
                    let digest = fields.digest();
                    let task =
                        DesiredTask { spec: *spec, fields, digest, audience, consent, places };
                    desired.tasks.insert(name, task);
                }
                _ => {
                    let audience = messenger.zip(audience.map(|audience| audience.source));
                    let invalid = InvalidTask { immutable, places, audience, mistakes };
                    desired.unreadable.tasks.insert(name, invalid);
                }
            }
            return;
        }
        DocumentKind::Channel => ResourceKind::Channel,
        DocumentKind::Manager => ResourceKind::Manager,
        DocumentKind::Ai => ResourceKind::Ai,
        DocumentKind::Integration => ResourceKind::Integration,
        DocumentKind::SuppressionList => ResourceKind::SuppressionList,
    };
    let name: ResourceName = name.parse().expect("the name was parsed when it was read");
    let key = ResourceKey::new(resource_kind, &name);
    match lowered {
        Lowered::Resource(Some(resource)) if good => {
            let fields = resource.fields();
            let digest = fields.digest();
            desired
                .resources
                .insert(key, DesiredResource { resource: *resource, fields, digest, places });
        }
        _ => drop(desired.unreadable.resources.insert(key)),
    }
}
