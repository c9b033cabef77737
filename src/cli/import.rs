//! `nuncio import`: writes manifests for what is in the database.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{
    Common, ExitStatus, contacts::write_contacts, failure::NotFound, findings::counted,
    output::Output,
};
use crate::{
    domain::{
        actual::ActualTask,
        fields::{FieldValue, Fields},
        id::TaskName,
        resource::{ResourceKey, ResourceKind},
    },
    manifest::{self, EmittedAudience, Loaded, emit_resource, emit_suppression_list, emit_task},
    service::Database,
    store::Store,
};

/// People on a list who still stand in its manifest; more of them get a file.
const ENTRIES_INLINE_MAX: usize = 50;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Only these tasks, with what they refer to [default: everything]
    #[arg(value_name = "NAME")]
    names: Vec<TaskName>,
    /// The folder to write into; no file of it is overwritten [default: the tasks folder, if it is
    /// absent or empty]
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let folder = folder(common, args)?;
    let database = Database::open(&common.database()).await?;
    let mut selection = Selection::read(&database.store, &args.names).await?;
    if selection.tasks.is_empty() && selection.resources.is_empty() {
        output.note("Nothing was applied yet: there is nothing to import.");
        return Ok(ExitStatus::Success);
    }
    selection.check()?;
    if folder.exists() {
        selection.leave_out_known(&folder, output)?;
    }
    let targets = Targets::of(&folder, &selection)?;
    let mut written = Written::default();
    if let Err(error) = selection.write(&targets, &database.store, &mut written).await {
        written.take_back();
        return Err(error);
    }
    for path in &written.files {
        output.note(&path.display().to_string());
    }
    let tasks = counted(selection.tasks.len(), "task");
    let resources = counted(selection.resources.len(), "resource");
    output.note(&format!("imported {tasks} and {resources} into `{}`", folder.display()));
    Ok(ExitStatus::Success)
}

fn folder(common: &Common, args: &Args) -> anyhow::Result<PathBuf> {
    if let Some(into) = &args.into {
        return Ok(into.clone());
    }
    let is_free = match fs::read_dir(&common.tasks) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read `{}`", common.tasks.display()));
        }
    };
    anyhow::ensure!(
        is_free,
        "`{}` is not empty; name another folder with --into DIR",
        common.tasks.display()
    );
    Ok(common.tasks.clone())
}

/// What is imported.
struct Selection {
    tasks: BTreeMap<TaskName, (ActualTask, Fields)>,
    resources: BTreeMap<ResourceKey, Fields>,
}

impl Selection {
    async fn read(store: &Store, names: &[TaskName]) -> anyhow::Result<Self> {
        let mut actual = store.read_actual().await?;
        if let Some(name) = names.iter().find(|name| !actual.tasks.contains_key(*name)) {
            return Err(NotFound::task(name, actual.tasks.keys()).into());
        }
        let wanted: BTreeSet<TaskName> = if names.is_empty() {
            actual.tasks.keys().cloned().collect()
        } else {
            names.iter().cloned().collect()
        };
        store.read_details(&mut actual, &wanted).await?;
        let mut tasks = BTreeMap::new();
        for name in &wanted {
            let task = actual.tasks[name].clone();
            let fields = task.details.as_ref().map(|details| details.live().clone());
            let fields = fields.with_context(|| format!("task `{name}` was just deleted"))?;
            tasks.insert(name.clone(), (task, fields));
        }
        let keys: BTreeSet<ResourceKey> = if names.is_empty() {
            actual.resources.keys().cloned().collect()
        } else {
            let all = tasks.values().flat_map(|(_, fields)| referred(fields));
            all.filter(|key| actual.resources.contains_key(key)).collect()
        };
        store.read_resource_fields(&mut actual, &keys).await?;
        let mut resources = BTreeMap::new();
        for key in keys {
            let fields =
                actual.resources[&key].details.as_ref().map(|details| details.live().clone());
            let fields = fields.with_context(|| format!("{key} was just deleted"))?;
            resources.insert(key, fields);
        }
        Ok(Self { tasks, resources })
    }

    /// What the folder defines already stays its own; for a task that is a mistake.
    fn leave_out_known(&mut self, folder: &Path, output: Output) -> anyhow::Result<()> {
        let Loaded { desired, .. } = manifest::load(folder)?;
        for name in self.tasks.keys() {
            let places = desired.tasks.get(name).map(|task| &task.places);
            let places = places.or(desired.unreadable.tasks.get(name).map(|task| &task.places));
            if let Some(places) = places {
                anyhow::bail!("the task `{name}` is defined already: {}", places.document);
            }
        }
        self.resources.retain(|key, _| {
            let is_known =
                desired.resources.contains_key(key) || desired.unreadable.resources.contains(key);
            if is_known {
                output.note(&format!("{key} is defined already, and left out"));
            }
            !is_known
        });
        Ok(())
    }

    /// Reads what would be written, before anything is.
    fn check(&self) -> anyhow::Result<()> {
        let provisional = EmittedAudience::File("audience".to_owned());
        for (name, (task, fields)) in &self.tasks {
            let text = emit_task(name, fields, task.audience.map(|_| &provisional));
            anyhow::ensure!(
                manifest::digest_of(&text) == Some(fields.digest()),
                "the task `{name}` cannot be written so that it means the same"
            );
        }
        for (key, fields) in &self.resources {
            // The entries of a long list are lines of a file: nothing is to be quoted.
            anyhow::ensure!(
                long_entries(key, fields).is_some()
                    || manifest::digest_of(&emit_resource(key, fields)) == Some(fields.digest()),
                "{key} cannot be written so that it means the same"
            );
        }
        Ok(())
    }

    /// What is referred to comes before what refers to it, so that a folder that is watched meanwhile
    /// is never wrong.
    async fn write(
        &self,
        targets: &Targets,
        store: &Store,
        written: &mut Written,
    ) -> anyhow::Result<()> {
        let mut audiences = BTreeMap::new();
        for (name, (task, _)) in &self.tasks {
            if task.audience.is_some() {
                let file = write_contacts(store, task.id, &targets.audience(name), written).await?;
                let file = file.map(|file| EmittedAudience::File(format!("audiences/{file}")));
                let none = || EmittedAudience::Lines(Vec::new());
                audiences.insert(name, file.unwrap_or_else(none));
            }
        }
        let mut documents = Vec::new();
        for (key, fields) in &self.resources {
            documents.push(match long_entries(key, fields) {
                Some(entries) => {
                    written.create(&targets.list(&key.name), &(entries.join("\n") + "\n"))?;
                    emit_suppression_list(key, fields, &format!("suppressions/{}.txt", key.name))
                }
                None => emit_resource(key, fields),
            });
        }
        if !documents.is_empty() {
            written.create(&targets.resources, &documents.join("---\n"))?;
        }
        for (name, (_, fields)) in &self.tasks {
            let text = emit_task(name, fields, audiences.get(name));
            written.create(&targets.task(name), &text)?;
        }
        Ok(())
    }
}

/// What a task names.
fn referred(fields: &Fields) -> Vec<ResourceKey> {
    let names = |path: &str| match fields.get(path) {
        Some(FieldValue::List(names)) => names.clone(),
        Some(FieldValue::Text(name) | FieldValue::Number(name)) => vec![name.clone()],
        None => Vec::new(),
    };
    [
        ("channels", ResourceKind::Channel),
        ("managers", ResourceKind::Manager),
        ("ai", ResourceKind::Ai),
        ("integration", ResourceKind::Integration),
    ]
    .into_iter()
    .flat_map(|(path, kind)| names(path).into_iter().map(move |name| ResourceKey { kind, name }))
    .collect()
}

fn long_entries<'a>(key: &ResourceKey, fields: &'a Fields) -> Option<&'a Vec<String>> {
    match fields.get("entries") {
        Some(FieldValue::List(entries))
            if key.kind == ResourceKind::SuppressionList && entries.len() > ENTRIES_INLINE_MAX =>
        {
            Some(entries)
        }
        _ => None,
    }
}

/// Where everything goes.
struct Targets {
    folder: PathBuf,
    resources: PathBuf,
}

impl Targets {
    /// Refuses a folder in which one of the files is there already.
    fn of(folder: &Path, selection: &Selection) -> anyhow::Result<Self> {
        let mut resources = "resources.yaml".to_owned();
        while resources.strip_suffix(".yaml").is_some_and(|stem| {
            stem.parse().is_ok_and(|name: TaskName| selection.tasks.contains_key(&name))
        }) {
            resources.insert_str(0, "all-");
        }
        let targets = Self { folder: folder.to_owned(), resources: folder.join(resources) };
        let mut all = Vec::new();
        for (name, (task, _)) in &selection.tasks {
            all.push(targets.task(name));
            if task.audience.is_some() {
                let audience = targets.audience(name);
                all.extend(["csv", "txt"].map(|ending| audience.with_extension(ending)));
            }
        }
        for (key, fields) in &selection.resources {
            all.extend(long_entries(key, fields).map(|_| targets.list(&key.name)));
        }
        if !selection.resources.is_empty() {
            all.push(targets.resources.clone());
        }
        match all.iter().find(|path| path.symlink_metadata().is_ok()) {
            Some(path) => anyhow::bail!("`{}` exists already; nothing was written", path.display()),
            None => Ok(targets),
        }
    }

    fn task(&self, name: &TaskName) -> PathBuf {
        self.folder.join(format!("{name}.yaml"))
    }

    /// Without its ending.
    fn audience(&self, name: &TaskName) -> PathBuf {
        self.folder.join("audiences").join(name.as_str())
    }

    fn list(&self, name: &str) -> PathBuf {
        self.folder.join("suppressions").join(format!("{name}.txt"))
    }
}

/// The files that were written, in their order.
#[derive(Default)]
pub(super) struct Written {
    files: Vec<PathBuf>,
}

impl Written {
    /// Opens a new file; one that is there is not touched.
    pub(super) fn open(&mut self, path: &Path) -> anyhow::Result<fs::File> {
        let cannot = || format!("cannot write `{}`", path.display());
        fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).with_context(cannot)?;
        let file = fs::File::create_new(path).with_context(cannot)?;
        self.files.push(path.to_owned());
        Ok(file)
    }

    fn create(&mut self, path: &Path, text: &str) -> anyhow::Result<()> {
        use std::io::Write as _;
        let mut file = self.open(path)?;
        file.write_all(text.as_bytes())
            .with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// A part of an import is worse than none.
    fn take_back(self) {
        for path in self.files {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "a file of a failed import stays");
            }
        }
    }
}
