//! The rows of a CSV file: their lines, and the quotes that the csv crate says nothing about.

use std::io::{self, Read};

use super::lines::LINE_BYTES_MAX;

pub(super) fn csv_reader<R: Read>(reader: R) -> csv::Reader<R> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(reader)
}

/// The line that a row begins in. The csv crate's own position is that of the blank lines above it.
pub(super) fn line_of<R: Read>(row: &csv::ByteRecord, rows: &csv::Reader<Quotes<R>>) -> u64 {
    let Quotes { bytes, ends_line, .. } = rows.get_ref();
    let after = rows.position();
    let inside = row.as_slice().split(|byte| *byte == b'\n').count() as u64 - 1;
    let ended = after.byte() < *bytes || *ends_line;
    after.line().saturating_sub(inside + u64::from(ended)).max(1)
}

/// Watches the quotes that pass: the csv crate takes the rest of a file for one cell when a quote is
/// never closed, and says nothing. It also takes out carriage returns, which confuse the counting of lines.
pub(super) struct Quotes<R> {
    inner: R,
    bytes: u64,
    ends_line: bool,
    line: u64,
    /// The line of the quote that is open.
    open: Option<u64>,
    bytes_in_quotes: usize,
}

impl<R: Read> Quotes<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, bytes: 0, ends_line: false, line: 1, open: None, bytes_in_quotes: 0 }
    }

    /// A quote that the end of the file, or [`LINE_BYTES_MAX`], found open.
    pub(super) fn fault(&self) -> Option<u64> {
        self.open
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The csv crate would gather an unclosed cell in memory up to the end of the file.
        if self.bytes_in_quotes > LINE_BYTES_MAX || buffer.is_empty() {
            return Ok(0);
        }
        let mut count = 0;
        while count == 0 {
            let read = self.inner.read(buffer)?;
            if read == 0 {
                return Ok(0);
            }
            for index in 0..read {
                if buffer[index] != b'\r' {
                    buffer[count] = buffer[index];
                    count += 1;
                }
            }
        }
        self.bytes += count as u64;
        self.ends_line = buffer[count - 1] == b'\n';
        for byte in &buffer[..count] {
            match (byte, self.open) {
                (b'"', None) => self.open = Some(self.line),
                (b'"', Some(_)) => {
                    self.open = None;
                    self.bytes_in_quotes = 0;
                }
                (b'\n', _) => self.line += 1,
                _ => {}
            }
            if self.open.is_some() {
                self.bytes_in_quotes += 1;
            }
        }
        Ok(count)
    }
}
