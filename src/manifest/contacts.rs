//! The contacts of an audience: every line is judged, and told with its number where it is wrong.

use std::{
    collections::{BTreeMap, HashSet},
    io::{self, Read},
    ops::ControlFlow,
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use super::{
    diagnostic::{Code, Diagnostic},
    lines::{LINE_BYTES_MAX, LineFault, meaningful},
    rows::{Quotes, csv_reader, line_of},
};
use crate::domain::{
    address::Address,
    contact::{AudienceDigest, Contact},
    kind::MessengerType,
    place::Place,
};

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

/// Judges the lines of one audience, and gives every contact once to the sink.
pub(super) struct Judge<'a> {
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

impl<'a> Judge<'a> {
    pub(super) fn new(
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

    /// A line that could not even be read.
    pub(super) fn fault(&mut self, number: u64, (code, message): LineFault) {
        self.tell(at(code, &self.file, number, message));
    }

    fn tell(&mut self, diagnostic: Diagnostic) {
        if self.found.len() < FINDINGS_MAX {
            self.found.push(diagnostic);
        } else {
            self.not_shown += 1;
        }
    }

    pub(super) fn line(&mut self, spot: Spot, text: &str) -> ControlFlow<()> {
        match meaningful(text) {
            Some(text) => self.contact(spot, text, BTreeMap::new()),
            None => ControlFlow::Continue(()),
        }
    }

    fn contact(
        &mut self,
        spot: Spot,
        text: &str,
        variables: BTreeMap<String, String>,
    ) -> ControlFlow<()> {
        let number = spot.line;
        let address = match Address::parse(text, self.messenger) {
            Ok(address) => address,
            Err(error) => {
                self.tell(spot.told(Code::BadAddress, &self.file, error.to_string()));
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

    pub(super) fn csv(&mut self, reader: impl Read) -> io::Result<()> {
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
            if self.contact(Spot::whole(number), address, variables).is_break() {
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

    pub(super) fn finish(mut self, digest: AudienceDigest) -> AudienceReading {
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

fn at(code: Code, file: &Arc<str>, line: u64, message: impl Into<String>) -> Diagnostic {
    Spot::whole(line).told(code, file, message)
}

/// Where a line of an audience stands, or an address in its line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub(super) line: u64,
    pub(super) column: u32,
    pub(super) length: u32,
}

impl Spot {
    pub(super) fn whole(line: u64) -> Self {
        Self { line, column: 1, length: u32::MAX }
    }

    fn told(self, code: Code, file: &Arc<str>, message: impl Into<String>) -> Diagnostic {
        let line = u32::try_from(self.line).unwrap_or(u32::MAX);
        let place = Place { file: Arc::clone(file), line, column: self.column };
        Diagnostic::error(code, place, self.length, message)
    }
}
