//! Writes the contacts of a task to a file, one after the other.

use std::{fs::File, path::Path};

use anyhow::Context as _;

use super::import::Written;
use crate::{
    domain::{contact::Contact, id::TaskId},
    store::Store,
};

/// The heading of the first column; the others are variables.
const ADDRESS: &str = "address";

/// Writes `path` with the ending that fits: `.csv` with variables, else `.txt`. Gives the file's name,
/// or nothing for a task without contacts.
pub(super) async fn write_contacts(
    store: &Store,
    task: TaskId,
    path: &Path,
    written: &mut Written,
) -> anyhow::Result<Option<String>> {
    let mut file = None;
    let mut failed = None;
    let mut each = |contact: Contact| -> anyhow::Result<()> {
        if file.is_none() {
            file = Some(ContactFile::create(path, &contact, written)?);
        }
        file.as_mut().map_or(Ok(()), |file| file.write(&contact))
    };
    store
        .for_each_contact(task, |stored| {
            if failed.is_none() {
                failed = each(stored.contact).err();
            }
        })
        .await?;
    match (failed, file) {
        (Some(error), _) => Err(error),
        (None, None) => Ok(None),
        (None, Some(file)) => file.finish().map(Some),
    }
}

struct ContactFile {
    name: String,
    /// The variables, in the order of their columns.
    columns: Vec<String>,
    rows: csv::Writer<File>,
}

impl ContactFile {
    fn create(path: &Path, first: &Contact, written: &mut Written) -> anyhow::Result<Self> {
        let columns: Vec<String> = first.variables.keys().cloned().collect();
        let path = path.with_extension(if columns.is_empty() { "txt" } else { "csv" });
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let mut rows = csv::Writer::from_writer(written.open(&path)?);
        if !columns.is_empty() {
            let heading = [ADDRESS].into_iter().chain(columns.iter().map(String::as_str));
            rows.write_record(heading).context("cannot write an audience")?;
        }
        Ok(Self { name: name.unwrap_or_default(), columns, rows })
    }

    fn write(&mut self, contact: &Contact) -> anyhow::Result<()> {
        let Contact { address, variables } = contact;
        // All of them came from one file, whose rows have the same columns.
        anyhow::ensure!(
            self.columns.iter().eq(variables.keys()),
            "the contacts for `{}` have different variables",
            self.name
        );
        let row = [address.as_str()].into_iter().chain(variables.values().map(String::as_str));
        self.rows.write_record(row).context("cannot write an audience")
    }

    fn finish(mut self) -> anyhow::Result<String> {
        self.rows.flush().with_context(|| format!("cannot write `{}`", self.name))?;
        Ok(self.name)
    }
}
