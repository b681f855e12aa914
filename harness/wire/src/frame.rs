//! Headers, and the decoder that finds frames in a byte stream.
//!
//! A frame is a header and a payload. Both go over the serial line, one behind the other; or both lie at the
//! beginning of the sender's half of the [`window`], and one byte on the line, [`BELL`], says so: each byte of a
//! line that is emulated costs both sides an interrupt or a call.
//!
//! A header has 24 bytes, numbers little-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0 to 3 | the magic, `0x16` and `ATL` |
//! | 4 | [`Kind`] |
//! | 5 to 7 | zero |
//! | 8 to 11 | number of the request |
//! | 12 to 15 | length of the payload in bytes |
//! | 16 to 19 | CRC-32 of the payload |
//! | 20 to 23 | CRC-32 of bytes 0 to 19 |
//!
//! The version of the protocol is no part of it: a guest says it in its [`crate::Hello`], once.

use crate::window;

/// First bytes of every header.
const MAGIC: [u8; 4] = *b"\x16ATL";
/// What is sent in place of a frame that lies in the window.
pub const BELL: u8 = 0x07;
/// Length of a header in bytes.
pub const HEADER_LEN: usize = 24;
/// The longest payload, wherever it lies.
pub const MAX_PAYLOAD: usize = window::HALF - HEADER_LEN;
/// The longest payload on the serial line. A guest sends less; one that wants more is broken.
pub const MAX_INLINE: usize = 2 << 20;
/// How many bytes that belong to no frame are put up with.
pub const MAX_JUNK: usize = 256 << 10;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The guest is up and waits. Sent once, unasked; no payload.
    Ready,
    /// From host to guest.
    Request,
    /// From guest to host, with the request's id.
    Response,
}

/// What comes over a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A frame, with its payload.
    Frame(Header, Vec<u8>),
    /// A frame lies in the window.
    Bell,
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is.
    pub kind: Kind,
    /// The request's number; an answer carries the number of what it answers.
    pub id: u32,
    /// Length of the payload.
    pub length: u32,
    /// CRC-32 of the payload.
    pub checksum: u32,
}

/// Why a stream is given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A header with a length beyond the bounds.
    #[error(
        "a frame claims {0} bytes; at most {MAX_PAYLOAD} are allowed, {MAX_INLINE} of them on the serial line"
    )]
    Oversized(u32),
    /// A payload that is not what its header says.
    #[error("the payload of frame {0} has another checksum than its header says")]
    Checksum(u32),
    /// A bell, and no header in the window.
    #[error("the frame line announces a frame in the window, and there is none")]
    NotInWindow,
    /// Too many bytes that belong to no frame.
    #[error("{0} bytes on the frame line belong to no frame")]
    Junk(usize),
}

impl Header {
    /// The header of a payload.
    #[must_use]
    pub fn of(kind: Kind, id: u32, payload: &[u8]) -> Self {
        Self { kind, id, length: payload.len() as u32, checksum: crc32fast::hash(payload) }
    }

    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = match self.kind {
            Kind::Ready => 0,
            Kind::Request => 1,
            Kind::Response => 2,
        };
        bytes[8..12].copy_from_slice(&self.id.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.checksum.to_le_bytes());
        let own = crc32fast::hash(&bytes[..20]);
        bytes[20..].copy_from_slice(&own.to_le_bytes());
        bytes
    }

    /// From bytes; `None` for bytes that are no header.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[..4] != MAGIC || bytes[5..8] != [0; 3] || word(20) != crc32fast::hash(&bytes[..20]) {
            return None;
        }
        let kind = match bytes[4] {
            0 => Kind::Ready,
            1 => Kind::Request,
            2 => Kind::Response,
            _ => return None,
        };
        Some(Self { kind, id: word(8), length: word(12), checksum: word(16) })
    }

    /// From the beginning of the other side's half of the window, once its bell has rung.
    ///
    /// # Errors
    /// [`FrameError::NotInWindow`] and [`FrameError::Oversized`].
    pub fn in_window(bytes: &[u8; HEADER_LEN]) -> Result<Self, FrameError> {
        let header = Self::from_bytes(bytes).ok_or(FrameError::NotInWindow)?;
        if header.length as usize > MAX_PAYLOAD {
            return Err(FrameError::Oversized(header.length));
        }
        Ok(header)
    }

    /// Whether a payload is the one that the header speaks of.
    #[must_use]
    pub fn fits(&self, payload: &[u8]) -> bool {
        self.length as usize == payload.len() && self.checksum == crc32fast::hash(payload)
    }
}

/// A whole frame: its header and, behind that, its payload.
#[must_use]
pub fn frame(kind: Kind, id: u32, payload: &[u8]) -> Vec<u8> {
    [&Header::of(kind, id, payload).to_bytes(), payload].concat()
}

/// Finds frames and bells in a byte stream. What lies in the window is for the caller to fetch.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    junk: usize,
}

impl Decoder {
    /// Takes bytes as they come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// How many bytes so far belonged to no frame.
    #[must_use]
    pub fn junk(&self) -> usize {
        self.junk
    }

    /// The next whole frame, or bell; `None` until there is one.
    ///
    /// # Errors
    /// [`FrameError`], after which the stream is not to be trusted any more.
    pub fn next_arrival(&mut self) -> Result<Option<Arrival>, FrameError> {
        loop {
            let start = self.find_beginning();
            self.junk += start;
            self.buffer.drain(..start);
            if self.junk > MAX_JUNK {
                return Err(FrameError::Junk(self.junk));
            }
            if self.buffer.first() == Some(&BELL) {
                self.buffer.remove(0);
                return Ok(Some(Arrival::Bell));
            }
            let Some(bytes) = self.buffer.first_chunk::<HEADER_LEN>() else { return Ok(None) };
            let Some(header) = Header::from_bytes(bytes) else {
                self.junk += 1;
                self.buffer.remove(0);
                continue;
            };
            let length = header.length as usize;
            if length > MAX_INLINE {
                return Err(FrameError::Oversized(header.length));
            }
            if self.buffer.len() < HEADER_LEN + length {
                return Ok(None);
            }
            let payload: Vec<u8> = self.buffer.drain(..HEADER_LEN + length).skip(HEADER_LEN).collect();
            if !header.fits(&payload) {
                return Err(FrameError::Checksum(header.id));
            }
            return Ok(Some(Arrival::Frame(header, payload)));
        }
    }

    /// Where the next header may begin, or a bell lies: the rest of the buffer is junk up to there.
    fn find_beginning(&self) -> usize {
        let could_begin = |at: &usize| {
            let rest = &self.buffer[*at..];
            if rest.first() == Some(&BELL) {
                return true;
            }
            let length = rest.len().min(MAGIC.len());
            rest[..length] == MAGIC[..length]
        };
        (0..self.buffer.len()).find(could_begin).unwrap_or(self.buffer.len())
    }
}
