//! Replaces a file as a whole, or not at all.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, fchown},
    path::Path,
};

/// Writes beside the file and renames: a reader finds the old text or the new one. A link is followed,
/// and the permissions stay.
pub(super) fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let metadata = fs::metadata(&path)?;
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    // A name that no loader looks at.
    let mut beside = tempfile::Builder::new().prefix(".nuncio-").tempfile_in(folder)?;
    beside.write_all(text.as_bytes())?;
    let file = beside.as_file();
    let (owner, group) = (metadata.uid(), metadata.gid());
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (owner, group)
        && let Err(error) = fchown(file, Some(owner), Some(group))
        && error.kind() != io::ErrorKind::PermissionDenied
    {
        // Only root may give a file away; anybody else's is the writer's, as with an editor.
        return Err(error);
    }
    // After the owner: a change of it takes permissions away.
    file.set_permissions(metadata.permissions())?;
    file.sync_all()?;
    beside.persist(&path).map_err(|error| error.error)?;
    fs::File::open(folder)?.sync_all()
}
