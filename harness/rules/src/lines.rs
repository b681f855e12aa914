//! Lines off a reader, never more of one in memory than a line may have.

use std::io::{self, BufRead};

/// A line without its newline, or how it cannot be had.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Whole(Vec<u8>),
    TooLong,
}

/// The next line; `None` at the end. The rest of a line that is too long is read and dropped.
pub(crate) fn next(reader: &mut impl BufRead, most: usize) -> io::Result<Option<Line>> {
    let (mut line, mut long, mut any) = (Vec::new(), false, false);
    loop {
        let bytes = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        any |= !bytes.is_empty();
        long |= line.len() + part.len() > most;
        if long {
            line = Vec::new();
        } else {
            line.extend_from_slice(part);
        }
        let (used, over) = (part.len() + usize::from(end.is_some()), end.is_some() || bytes.is_empty());
        reader.consume(used);
        if over {
            let done = if long { Line::TooLong } else { Line::Whole(line) };
            return Ok(any.then_some(done));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_or_too_long_whatever_the_reads_are() {
        let text = b"abc\n\n12345\n123456\r\n1234567\nlast";
        for capacity in 1..40 {
            let mut reader = io::BufReader::with_capacity(capacity, text.as_slice());
            let mut lines = Vec::new();
            while let Some(line) = next(&mut reader, 5).unwrap() {
                lines.push(line);
            }
            let whole = |text: &str| Line::Whole(text.into());
            let wanted =
                [whole("abc"), whole(""), whole("12345"), Line::TooLong, Line::TooLong, whole("last")];
            assert_eq!(lines, wanted, "{capacity}");
        }
    }
}
