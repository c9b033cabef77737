//! The lines of a plain file, each with its number or its fault.

use std::{
    io::{self, BufRead, Read as _},
    ops::ControlFlow,
};

use super::diagnostic::Code;

/// No address and its variables fill this; a longer line is a file of another kind.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// A line of a plain file that says something, without blanks around it.
pub(super) fn meaningful(line: &str) -> Option<&str> {
    let line = line.trim();
    (!line.is_empty() && !line.starts_with('#')).then_some(line)
}

pub(super) type LineFault = (Code, String);

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
