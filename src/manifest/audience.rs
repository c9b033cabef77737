//! Audiences: streamed line by line, for validation and for loading into the database.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    ops::ControlFlow,
    path::Path,
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use super::{
    contacts::{AudienceReading, Judge, Spot},
    lines::{LINE_BYTES_MAX, for_each_line},
    rows::csv_reader,
};
use crate::domain::{
    contact::{AudienceDigest, Contact},
    desired::{AudienceSource, InlineLine},
    fields::Digest,
    kind::MessengerType,
};

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
    let mut judge = Judge::new(messenger, shown, sink);
    let digest = match source {
        AudienceSource::Inline(lines) => {
            for InlineLine { line, column, length, text } in lines.iter() {
                let spot = Spot { line: u64::from(*line), column: *column, length: *length };
                if judge.line(spot, text).is_break() {
                    break;
                }
            }
            digest_audience(source)?
        }
        AudienceSource::File { path, .. } if is_csv(path) => {
            let mut hashing = Hashing::new(File::open(path)?, b"csv");
            judge.csv(BufReader::new(&mut hashing))?;
            hashing.finish()?
        }
        AudienceSource::File { path, .. } => {
            let mut hashing = Hashing::new(File::open(path)?, b"plain");
            for_each_line(BufReader::new(&mut hashing), |number, line| match line {
                Ok(text) => judge.line(Spot::whole(number), text),
                Err(fault) => {
                    judge.fault(number, fault);
                    ControlFlow::Continue(())
                }
            })?;
            hashing.finish()?
        }
    };
    Ok(judge.finish(digest))
}

/// The digest of an audience, without judging its lines: what [`read_audience`] gives, cheaper.
pub fn digest_audience(source: &AudienceSource) -> io::Result<AudienceDigest> {
    match source {
        AudienceSource::Inline(lines) => {
            let mut hasher = Sha256::new_with_prefix(b"inline\0");
            for line in lines.iter() {
                hasher.update(line.text.as_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fields::Digest as Sha;
    use crate::manifest::contacts::FINDINGS_MAX;
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
