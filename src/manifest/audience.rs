//! Audiences: streamed line by line, for validation and for loading into the database.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::{self, BufRead, BufReader, Read},
    ops::ControlFlow,
    path::Path,
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use super::{
    diagnostic::{Code, Diagnostic},
    rows::{Quotes, csv_reader, line_of},
};
use crate::domain::{
    address::Address,
    contact::{AudienceDigest, Contact},
    desired::AudienceSource,
    fields::Digest,
    kind::MessengerType,
    place::Place,
};

/// No address and its variables fill this; a longer line is a file of another kind.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// More columns than a text can use are a mistake in the separator.
pub const COLUMNS_MAX: usize = 100;

/// Enough findings to see what kind of mistake it is.
pub const FINDINGS_MAX: usize = 20;

/// Duplicates that are shown with their lines.
pub const DUPLICATES_SHOWN_MAX: usize = 5;

/// Enough that the growing of one shard is little beside all of them.
const SEEN_SHARDS: usize = 32;

/// What was found in an audience that was read to its end.
#[derive(Debug)]
pub struct AudienceReading {
    pub digest: AudienceDigest,
    /// Contacts that were given to the sink.
    pub total: u64,
    pub duplicates: Duplicates,
    /// The columns beside the address.
    pub columns: Vec<Column>,
    /// With an error among them nothing of the audience may be used.
    pub diagnostics: Vec<Diagnostic>,
}

/// Lines that name a contact which an earlier line names already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duplicates {
    pub count: u64,
    /// The lines of the first few.
    pub first_lines: Vec<u64>,
}

/// One column beside the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub empty: u64,
    pub first_empty_line: Option<u64>,
}

/// Reads an audience to its end and gives every contact once to the sink, which may break off.
///
/// `manifest` names the file that an inline audience stands in. Contacts are given before later
/// lines are judged: whoever stores them must drop them when an error is among the diagnostics.
pub fn read_audience(
    source: &AudienceSource,
    messenger: MessengerType,
    manifest: &Arc<str>,
    sink: &mut dyn FnMut(Contact) -> ControlFlow<()>,
) -> io::Result<AudienceReading> {
    let shown = match source {
        AudienceSource::Inline(_) => Arc::clone(manifest),
        AudienceSource::File { shown, .. } => Arc::clone(shown),
    };
    let mut reader = Reader::new(messenger, shown, sink);
    let digest = match source {
        AudienceSource::Inline(lines) => {
            for (line, text) in lines.iter() {
                if reader.line(u64::from(*line), text).is_break() {
                    break;
                }
            }
            digest_audience(source)?
        }
        AudienceSource::File { path, .. } if is_csv(path) => {
            let mut hashing = Hashing::new(File::open(path)?, b"csv");
            reader.csv(BufReader::new(&mut hashing))?;
            hashing.finish()?
        }
        AudienceSource::File { path, .. } => {
            let mut hashing = Hashing::new(File::open(path)?, b"plain");
            let file = Arc::clone(&reader.file);
            for_each_line(BufReader::new(&mut hashing), |number, line| match line {
                Ok(text) => reader.line(number, text),
                Err((code, message)) => {
                    reader.tell(at(code, &file, number, message));
                    ControlFlow::Continue(())
                }
            })?;
            hashing.finish()?
        }
    };
    Ok(reader.finish(digest))
}

/// The digest of an audience, without judging its lines: what [`read_audience`] gives, cheaper.
pub fn digest_audience(source: &AudienceSource) -> io::Result<AudienceDigest> {
    match source {
        AudienceSource::Inline(lines) => {
            let mut hasher = Sha256::new_with_prefix(b"inline\0");
            for (_, line) in lines.iter() {
                hasher.update(line.as_bytes());
                hasher.update(b"\n");
            }
            Ok(AudienceDigest(Digest(hasher.finalize().into())))
        }
        AudienceSource::File { path, .. } => {
            let tag: &[u8] = if is_csv(path) { b"csv" } else { b"plain" };
            Hashing::new(File::open(path)?, tag).finish()
        }
    }
}

/// The names of the columns beside the address, from the first row alone. Their own mistakes are
/// told by [`read_audience`].
pub(super) fn columns_of(source: &AudienceSource) -> io::Result<Vec<String>> {
    match source {
        AudienceSource::File { path, .. } if is_csv(path) => {
            let bounded = BufReader::new(File::open(path)?).take(LINE_BYTES_MAX as u64);
            let mut reader = csv_reader(bounded);
            let mut header = csv::ByteRecord::new();
            reader.read_byte_record(&mut header).map_err(io::Error::other)?;
            let name = |cell: &[u8]| String::from_utf8_lossy(cell).trim().to_owned();
            Ok(header.iter().skip(1).map(name).collect())
        }
        _ => Ok(Vec::new()),
    }
}

pub(super) fn is_csv(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
}

/// A line of a plain file that says something, without blanks around it.
pub(super) fn meaningful(line: &str) -> Option<&str> {
    let line = line.trim();
    (!line.is_empty() && !line.starts_with('#')).then_some(line)
}

type LineFault = (Code, String);

/// Gives every line with its number, each in the same buffer.
pub(super) fn for_each_line(
    mut reader: impl BufRead,
    mut take: impl FnMut(u64, Result<&str, LineFault>) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut number = 0;
    loop {
        buffer.clear();
        number += 1;
        let limit = LINE_BYTES_MAX as u64 + 1;
        if (&mut reader).take(limit).read_until(b'\n', &mut buffer)? == 0 {
            return Ok(());
        }
        let bytes = if number == 1 {
            buffer.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&buffer)
        } else {
            &buffer
        };
        let done = if bytes.len() > LINE_BYTES_MAX {
            // What follows is the rest of this line: its numbers would be wrong.
            let message = format!("the line is longer than {LINE_BYTES_MAX} bytes");
            match take(number, Err((Code::TooLarge, message))) {
                ControlFlow::Continue(()) | ControlFlow::Break(()) => ControlFlow::Break(()),
            }
        } else {
            match std::str::from_utf8(bytes) {
                Ok(text) => take(number, Ok(text)),
                Err(_) => take(number, Err((Code::NotUtf8, "the line is not UTF-8".to_owned()))),
            }
        };
        if done.is_break() {
            return Ok(());
        }
    }
}

fn at(code: Code, file: &Arc<str>, line: u64, message: impl Into<String>) -> Diagnostic {
    let line = u32::try_from(line).unwrap_or(u32::MAX);
    Diagnostic::error(code, Place { file: Arc::clone(file), line, column: 1 }, u32::MAX, message)
}

/// Hashes what passes through it.
struct Hashing {
    file: File,
    hasher: Sha256,
}

impl Hashing {
    fn new(file: File, tag: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(tag);
        hasher.update(b"\0");
        Self { file, hasher }
    }

    /// Reads what was not read yet: the digest is that of the whole file.
    fn finish(mut self) -> io::Result<AudienceDigest> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(AudienceDigest(Digest(self.hasher.finalize().into())))
    }
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

struct Reader<'a> {
    messenger: MessengerType,
    file: Arc<str>,
    sink: &'a mut dyn FnMut(Contact) -> ControlFlow<()>,
    /// Half of a SHA-256 of each address: 16 bytes a contact, however long addresses are.
    /// In shards, for a set that grows holds its old table and its new one for a while.
    seen: Vec<HashSet<u128>>,
    total: u64,
    duplicates: Duplicates,
    columns: Vec<Column>,
    found: Vec<Diagnostic>,
    not_shown: u64,
    signs: Signs,
}

/// A VKontakte id without its minus writes to a person.
#[derive(Default)]
struct Signs {
    people: u64,
    communities: u64,
    first_person: Option<u64>,
    first_community: Option<u64>,
}

impl<'a> Reader<'a> {
    fn new(
        messenger: MessengerType,
        file: Arc<str>,
        sink: &'a mut dyn FnMut(Contact) -> ControlFlow<()>,
    ) -> Self {
        Self {
            messenger,
            file,
            sink,
            seen: vec![HashSet::new(); SEEN_SHARDS],
            total: 0,
            duplicates: Duplicates::default(),
            columns: Vec::new(),
            found: Vec::new(),
            not_shown: 0,
            signs: Signs::default(),
        }
    }

    fn tell(&mut self, diagnostic: Diagnostic) {
        if self.found.len() < FINDINGS_MAX {
            self.found.push(diagnostic);
        } else {
            self.not_shown += 1;
        }
    }

    fn line(&mut self, number: u64, text: &str) -> ControlFlow<()> {
        match meaningful(text) {
            Some(text) => self.contact(number, text, BTreeMap::new()),
            None => ControlFlow::Continue(()),
        }
    }

    fn contact(
        &mut self,
        number: u64,
        text: &str,
        variables: BTreeMap<String, String>,
    ) -> ControlFlow<()> {
        let address = match Address::parse(text, self.messenger) {
            Ok(address) => address,
            Err(error) => {
                self.tell(at(Code::BadAddress, &self.file, number, error.to_string()));
                return ControlFlow::Continue(());
            }
        };
        let hash = Sha256::digest(address.as_str().as_bytes());
        let half = u128::from_be_bytes(hash[..16].try_into().expect("a SHA-256 has 32 bytes"));
        if !self.seen[usize::from(hash[16]) % SEEN_SHARDS].insert(half) {
            self.duplicates.count += 1;
            if self.duplicates.first_lines.len() < DUPLICATES_SHOWN_MAX {
                self.duplicates.first_lines.push(number);
            }
            return ControlFlow::Continue(());
        }
        if self.messenger == MessengerType::Vkontakte {
            let Signs { people, communities, first_person, first_community } = &mut self.signs;
            let (count, first) = if address.as_str().starts_with('-') {
                (communities, first_community)
            } else {
                (people, first_person)
            };
            *count += 1;
            first.get_or_insert(number);
        }
        self.total += 1;
        (self.sink)(Contact { address, variables })
    }

    fn csv(&mut self, reader: impl Read) -> io::Result<()> {
        let mut rows = csv_reader(Quotes::new(reader));
        let mut row = csv::ByteRecord::new();
        let mut width = None;
        while rows.read_byte_record(&mut row).map_err(io::Error::other)? {
            let number = line_of(&row, &rows);
            if row.as_slice().len() > LINE_BYTES_MAX {
                let message =
                    format!("the row is longer than {LINE_BYTES_MAX} bytes; is a quote left open?");
                self.tell(at(Code::AudienceFormat, &self.file, number, message));
                break;
            }
            let Ok(cells) = row.iter().map(std::str::from_utf8).collect::<Result<Vec<_>, _>>()
            else {
                self.tell(at(Code::NotUtf8, &self.file, number, "the row is not UTF-8"));
                continue;
            };
            let Some(width) = width else {
                width = Some(cells.len());
                if self.header(number, &cells).is_break() {
                    break;
                }
                continue;
            };
            if cells.len() != width {
                let message = format!("the row has {} cells, the header {width}", cells.len());
                self.tell(at(Code::AudienceFormat, &self.file, number, message));
                continue;
            }
            if cells.iter().any(|cell| cell.contains('\0')) {
                let message = "the row contains U+0000, which no text has";
                self.tell(at(Code::AudienceFormat, &self.file, number, message));
                continue;
            }
            let Some((address, values)) = cells.split_first() else { continue };
            if address.trim_start().starts_with('#') {
                continue;
            }
            let mut variables = BTreeMap::new();
            for (column, value) in self.columns.iter_mut().zip(values) {
                if value.trim().is_empty() {
                    column.empty += 1;
                    column.first_empty_line.get_or_insert(number);
                }
                variables.insert(column.name.clone(), (*value).to_owned());
            }
            if self.contact(number, address, variables).is_break() {
                break;
            }
        }
        let quotes = rows.into_inner();
        if let Some(line) = quotes.fault() {
            self.tell(at(
                Code::AudienceFormat,
                &self.file,
                line,
                "a quote is opened here and never closed",
            ));
        }
        Ok(())
    }

    fn header(&mut self, number: u64, cells: &[&str]) -> ControlFlow<()> {
        if cells.len() > COLUMNS_MAX {
            let message = format!("the header has more than {COLUMNS_MAX} columns");
            self.tell(at(Code::AudienceFormat, &self.file, number, message));
            return ControlFlow::Break(());
        }
        if let [only] = cells
            && only.contains(';')
        {
            let message = "the cells of a row are separated by commas, not by `;`";
            self.tell(at(Code::AudienceFormat, &self.file, number, message));
            return ControlFlow::Break(());
        }
        if cells.first().is_some_and(|cell| Address::parse(cell, self.messenger).is_ok()) {
            let message = "the first row names the columns, and this one is an address already";
            let found = at(Code::AudienceFormat, &self.file, number, message);
            self.tell(found.hint("write a first row such as `address,name`"));
            return ControlFlow::Break(());
        }
        for name in cells.iter().skip(1).map(|cell| cell.trim()) {
            if !is_identifier(name) {
                let message = format!("`{name}` cannot be used as `{{{{variable}}}}`");
                let found = at(Code::AudienceFormat, &self.file, number, message);
                self.tell(found.hint(
                    "a column is named by letters, digits and `_`, and begins with a letter",
                ));
            } else if self.columns.iter().any(|column| column.name == name) {
                let message = format!("two columns are named `{name}`");
                self.tell(at(Code::AudienceFormat, &self.file, number, message));
            }
            self.columns.push(Column { name: name.to_owned(), empty: 0, first_empty_line: None });
        }
        ControlFlow::Continue(())
    }

    fn finish(mut self, digest: AudienceDigest) -> AudienceReading {
        let shown = self.found.last().map(|last| last.place.clone());
        if let (Some(place), true) = (shown, self.not_shown > 0) {
            let message = format!("and {} more findings in this audience", self.not_shown);
            self.found.push(Diagnostic::error(Code::BadAddress, place, 0, message));
        }
        if self.duplicates.count > 0 {
            let Duplicates { count, first_lines } = &self.duplicates;
            let lines: Vec<String> = first_lines.iter().map(ToString::to_string).collect();
            let more = if *count > first_lines.len() as u64 { ", …" } else { "" };
            let message = format!(
                "{count} {} an address that stands above already, and {} dropped (lines {}{more})",
                if *count == 1 { "line repeats" } else { "lines repeat" },
                if *count == 1 { "is" } else { "are" },
                lines.join(", "),
            );
            let line = first_lines.first().copied().unwrap_or(1);
            self.warn(Code::DuplicateAddress, line, message);
        }
        let Signs { people, communities, first_person, first_community } = self.signs;
        if let (Some(person), Some(community)) = (first_person, first_community) {
            let (line, rare) = if people <= communities {
                (person, "this id has no minus and means a person, others mean communities")
            } else {
                (community, "this id has a minus and means a community, others mean people")
            };
            let message = format!("{rare}: {people} people, {communities} communities in all");
            self.warn(Code::MixedSigns, line, message);
        }
        AudienceReading {
            digest,
            total: self.total,
            duplicates: self.duplicates,
            columns: self.columns,
            diagnostics: self.found,
        }
    }

    fn warn(&mut self, code: Code, line: u64, message: String) {
        let Diagnostic { place, length, .. } = at(code, &self.file, line, "");
        self.found.push(Diagnostic::warning(code, place, length, message));
    }
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fields::Digest as Sha;
    use MessengerType::{Telegram, Vkontakte};

    fn read(name: &str, bytes: &[u8], messenger: MessengerType) -> (AudienceReading, Vec<Contact>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let source = AudienceSource::File { path, shown: name.into() };
        let mut contacts = Vec::new();
        let mut sink = |contact| {
            contacts.push(contact);
            ControlFlow::Continue(())
        };
        let reading = read_audience(&source, messenger, &"a.yaml".into(), &mut sink).unwrap();
        assert_eq!(reading.digest, digest_audience(&source).unwrap());
        (reading, contacts)
    }

    fn told(name: &str, bytes: &[u8], messenger: MessengerType) -> String {
        crate::manifest::diagnostic::render_concise(&read(name, bytes, messenger).0.diagnostics)
    }

    #[test]
    fn lines_and_columns_become_contacts() {
        let plain = b"\xef\xbb\xbf# who\r\n\r\n@Anna_P\r\n+79123456789";
        let (reading, contacts) = read("a.txt", plain, Telegram);
        assert_eq!((reading.total, reading.diagnostics.len()), (2, 0));
        assert_eq!(contacts[0].address.as_str(), "@anna_p");
        let csv = "\u{feff}who,name,note\n@anna_p,Anna,\"a, \"\"b\"\"\nc\"\n\n@boris,,\n";
        let (reading, contacts) = read("a.csv", csv.as_bytes(), Telegram);
        assert!(reading.diagnostics.is_empty(), "{:?}", reading.diagnostics);
        assert_eq!(contacts[0].variables["note"], "a, \"b\"\nc");
        let name = &reading.columns[0];
        assert_eq!((name.name.as_str(), name.empty, name.first_empty_line), ("name", 1, Some(5)));
    }

    #[test]
    fn every_fault_has_its_line() {
        for (name, bytes, messenger, wanted) in [
            ("a.txt", &b"@anna_p\n\nx\n"[..], Telegram, "a.txt:3:1: bad-address"),
            ("a.txt", b"@anna_p\n\xff\n", Telegram, "a.txt:2:1: not-utf8"),
            ("a.csv", b"a,b\n@anna_p,x\n@boris\n", Telegram, "a.csv:3:1: audience-format"),
            (
                "a.csv",
                b"a,b\n@anna_p,x\n@boris,\"y\n@claire,z\n",
                Telegram,
                "a.csv:3:1: audience-format a quote",
            ),
            (
                "a.csv",
                b"a,b\r\n@anna_p,x\r\n\r\n@boris,y\r\nz,x",
                Telegram,
                "a.csv:5:1: bad-address",
            ),
            ("a.csv", b"a,b c\n@anna_p,x\n", Telegram, "a.csv:1:1: audience-format"),
            ("a.csv", b"a,b,b\n@anna_p,x,y\n", Telegram, "a.csv:1:1: audience-format two columns"),
            ("a.csv", b"@anna_p,b\n", Telegram, "a.csv:1:1: audience-format the first row"),
            ("a.csv", b"a;b\n1;2\n", Vkontakte, "a.csv:1:1: audience-format the cells"),
            ("a.csv", b"a,b\n@anna_p,\xff\n", Telegram, "a.csv:2:1: not-utf8"),
            ("a.txt", b"-1\n-2\n3\n", Vkontakte, "a.txt:3:1: mixed-signs"),
            ("a.txt", b"1\n-2\n3\n", Vkontakte, "a.txt:2:1: mixed-signs"),
            ("a.txt", b"1\n2\n 1 \n", Vkontakte, "a.txt:3:1: duplicate-address"),
            ("a.txt", &vec![b'1'; LINE_BYTES_MAX + 5], Vkontakte, "a.txt:1:1: too-large"),
        ] {
            let told = told(name, bytes, messenger);
            assert!(told.contains(wanted), "wanted {wanted}, told {told}");
        }
    }

    #[test]
    fn findings_are_few_however_many_faults() {
        let (reading, _) = read("a.txt", "x\n".repeat(1000).as_bytes(), Telegram);
        assert_eq!(reading.diagnostics.len(), FINDINGS_MAX + 1);
        assert!(reading.diagnostics.last().unwrap().message.starts_with("and 980 more"));
    }

    #[test]
    fn a_sink_may_break_off_and_the_digest_is_still_that_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, "1\n2\n3\n".repeat(10_000)).unwrap();
        let source = AudienceSource::File { path, shown: "a.txt".into() };
        let mut sink = |_| ControlFlow::Break(());
        let reading = read_audience(&source, Vkontakte, &"a".into(), &mut sink).unwrap();
        assert_eq!((reading.total, reading.digest), (1, digest_audience(&source).unwrap()));
        let AudienceDigest(Sha(bytes)) = reading.digest;
        assert_ne!(bytes, [0; 32]);
    }
}
