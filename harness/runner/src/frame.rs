//! What the worker writes and the master reads: a byte for the kind, four for the length, the payload.
//!
//! The worker writes without allocating; the master reads as from an enemy: no length is believed
//! before the bytes are there, and none above [`MOST`] is read at all.

/// The longest payload, in bytes.
pub(crate) const MOST: usize = 4096;
const HEADER: usize = 5;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The filter is there; the code will be read next. Where steps are timed: four stamps, eight bytes each.
    Ready = b'R',
    /// A piece of standard output.
    Stdout = b'O',
    /// A piece of the value's text.
    Inspect = b'V',
    /// A piece of the value's JSON.
    Json = b'J',
    /// A piece of the exception's class.
    Class = b'C',
    /// A piece of the exception's or the parser's message.
    Message = b'M',
    /// A piece of the backtrace; lines end with a newline.
    Backtrace = b'B',
    /// Where the parser stopped: line and column, four bytes each.
    Place = b'P',
    /// A limit that the interpreter counts: its index, one byte.
    Limit = b'L',
    /// A forbidden call: number, arch, ip, six arguments, line.
    Forbidden = b'F',
    /// A fault: the signal, four bytes.
    Fault = b'S',
    /// Set-up failed: the step, one byte, and the errno, four.
    Unready = b'U',
    /// The answer is whole: its kind, one byte, instructions and peak memory, eight each; where steps are
    /// timed, two stamps, eight each.
    End = b'E',
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::Ready,
        Self::Stdout,
        Self::Inspect,
        Self::Json,
        Self::Class,
        Self::Message,
        Self::Backtrace,
        Self::Place,
        Self::Limit,
        Self::Forbidden,
        Self::Fault,
        Self::Unready,
        Self::End,
    ];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A frame's header.
pub(crate) fn header(kind: Kind, length: usize) -> [u8; HEADER] {
    let [a, b, c, d] = (length as u32).to_le_bytes();
    [kind as u8, a, b, c, d]
}

/// Takes bytes as they come and gives whole frames.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    read: usize,
}

impl Decoder {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.read);
        self.read = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame, if it is whole.
    pub(crate) fn next(&mut self) -> Result<Option<(Kind, &[u8])>, String> {
        let rest = &self.bytes[self.read..];
        let Some((head, body)) = rest.split_at_checked(HEADER) else { return Ok(None) };
        let Some(kind) = Kind::of(head[0]) else {
            return Err(format!("a frame of the unknown kind {:#04x}", head[0]));
        };
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > MOST {
            return Err(format!("a frame of {length} bytes, and {MOST} is the most"));
        }
        if body.len() < length {
            return Ok(None);
        }
        let start = self.read + HEADER;
        self.read = start + length;
        Ok(Some((kind, &self.bytes[start..start + length])))
    }

    /// Whether bytes are left that are no whole frame.
    pub(crate) fn is_torn(&self) -> bool {
        self.read < self.bytes.len()
    }
}

/// Little-endian numbers out of a payload of exactly the right length.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    pub(crate) fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        let (four, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*four))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        let (eight, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*eight))
    }

    pub(crate) fn u64s<const N: usize>(&mut self) -> Option<[u64; N]> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = self.u64()?;
        }
        Some(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pieces_make_frames() {
        let mut decoder = Decoder::default();
        let bytes = [header(Kind::Stdout, 3).as_slice(), b"abc", &header(Kind::Ready, 0)].concat();
        for byte in &bytes[..bytes.len() - 1] {
            decoder.push(&[*byte]);
            if let Some(frame) = decoder.next().unwrap() {
                assert_eq!(frame, (Kind::Stdout, b"abc".as_slice()));
            }
        }
        assert!(decoder.is_torn());
        decoder.push(&bytes[bytes.len() - 1..]);
        assert_eq!(decoder.next().unwrap(), Some((Kind::Ready, b"".as_slice())));
        assert!(!decoder.is_torn());
    }

    #[test]
    fn lengths_are_not_believed() {
        let mut decoder = Decoder::default();
        decoder.push(&header(Kind::Stdout, u32::MAX as usize));
        assert!(decoder.next().unwrap_err().contains("the most"));
        let mut decoder = Decoder::default();
        decoder.push(b"?0000");
        assert!(decoder.next().unwrap_err().contains("unknown"));
    }

    proptest! {
        #[test]
        fn soup_is_decoded_or_refused(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..32)) {
            let mut decoder = Decoder::default();
            'all: for piece in pieces {
                decoder.push(&piece);
                loop {
                    match decoder.next() {
                        Ok(Some((_, payload))) => prop_assert!(payload.len() <= MOST),
                        Ok(None) => break,
                        Err(_) => break 'all,
                    }
                }
            }
        }
    }
}
