//! A file of JSON, one value a line, that survives being killed.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

/// Reads all lines. A torn last one, which a killed rehearsal leaves, is passed over.
pub(super) fn read_lines<T: DeserializeOwned>(path: &Path) -> io::Result<Vec<T>> {
    let mut lines = BufReader::new(File::open(path)?).split(b'\n').enumerate().peekable();
    let mut entries = Vec::new();
    while let Some((index, line)) = lines.next() {
        match serde_json::from_slice(&line?) {
            Ok(entry) => entries.push(entry),
            Err(_) if lines.peek().is_none() => {}
            Err(error) => {
                let message = format!("line {} of the journal is no entry: {error}", index + 1);
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        }
    }
    Ok(entries)
}

/// The file, to be appended to.
pub(super) fn open_lines(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    drop_torn_line(&mut file)?;
    Ok(file)
}

/// One write, so that a reader sees whole lines but for a torn last one.
pub(super) fn append_line(file: &mut File, entry: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    let end = file.metadata()?.len();
    let written = file.write_all(&line).and_then(|()| file.flush());
    if written.is_err() {
        // A full disk takes a part, to which the next one would be appended.
        file.set_len(end)?;
    }
    written
}

/// A line without its end was not answered, so it is taken back before the next is appended.
pub(super) fn drop_torn_line(file: &mut File) -> io::Result<()> {
    let mut whole = 0;
    let mut reader = BufReader::new(&*file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if line.ends_with(b"\n") {
            whole += line.len() as u64;
        }
        line.clear();
    }
    file.set_len(whole)
}
