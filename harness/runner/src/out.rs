//! What the worker writes: frames by write(2) on its pipe, without allocating.

use crate::frame::{self, Kind, MOST};
use crate::policy::FD_OUT;
use crate::sys;

/// Writes a frame. A master that reads no more ends the worker: there is nobody to answer.
pub(crate) fn frame(kind: Kind, payload: &[u8]) {
    let mut bytes = [0; MOST + 5];
    let header = frame::header(kind, payload.len());
    let length = header.len() + payload.len();
    bytes[..header.len()].copy_from_slice(&header);
    bytes[header.len()..length].copy_from_slice(payload);
    if !sys::write_all(FD_OUT, &bytes[..length]) {
        sys::exit()
    }
}

/// Bytes of any number, cut into frames of one kind; the last one goes when it is dropped.
pub(crate) struct Text {
    kind: Kind,
    bytes: [u8; MOST],
    length: usize,
}

impl Text {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, bytes: [0; MOST], length: 0 }
    }

    pub(crate) fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.length == MOST {
                self.flush();
            }
            let (now, later) = bytes.split_at(bytes.len().min(MOST - self.length));
            self.bytes[self.length..self.length + now.len()].copy_from_slice(now);
            self.length += now.len();
            bytes = later;
        }
    }

    fn flush(&mut self) {
        if self.length > 0 {
            frame(self.kind, &self.bytes[..self.length]);
            self.length = 0;
        }
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        self.flush();
    }
}

impl core::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}
