//! What the worker writes: frames by write(2) on its pipe, without allocating.

use crate::frame::{self, Kind, MOST};
use crate::policy::FD_OUT;
use crate::sys;
use std::cell::UnsafeCell;

/// The frames of an answer that wait for its last one: every write wakes the master, and one is enough.
struct Held(UnsafeCell<([u8; MOST + 5], usize)>);

// SAFETY: the worker has one thread. Its signal handlers end it, and touch nothing that is held.
unsafe impl Sync for Held {}

static HELD: Held = Held(UnsafeCell::new(([0; MOST + 5], 0)));

/// Writes a frame, or holds it until the answer's last one. What ends the answer in another way takes what
/// is held with it, for the master has no use for half an answer.
pub(crate) fn frame(kind: Kind, payload: &[u8]) {
    match kind {
        Kind::Inspect | Kind::Json | Kind::Class | Kind::Message | Kind::Backtrace | Kind::Place => {
            hold(kind, payload);
        }
        Kind::End => {
            hold(kind, payload);
            let_go();
        }
        Kind::Ready | Kind::Stdout | Kind::Limit | Kind::Forbidden | Kind::Fault | Kind::Unready => {
            let mut bytes = [0; MOST + 5];
            let length = put(&mut bytes, kind, payload);
            write(&bytes[..length]);
        }
    }
}

fn hold(kind: Kind, payload: &[u8]) {
    // SAFETY: as for `Sync`; no other reference is alive.
    let room = unsafe { MOST + 5 - (*HELD.0.get()).1 };
    if room < payload.len() + 5 {
        let_go();
    }
    // SAFETY: as above.
    let (bytes, length) = unsafe { &mut *HELD.0.get() };
    *length += put(&mut bytes[*length..], kind, payload);
}

fn let_go() {
    // SAFETY: as above.
    let (bytes, length) = unsafe { &mut *HELD.0.get() };
    write(&bytes[..std::mem::take(length)]);
}

/// A frame at the head of this room; how long it is.
fn put(room: &mut [u8], kind: Kind, payload: &[u8]) -> usize {
    let header = frame::header(kind, payload.len());
    let length = header.len() + payload.len();
    room[..header.len()].copy_from_slice(&header);
    room[header.len()..length].copy_from_slice(payload);
    length
}

/// A master that reads no more ends the worker: there is nobody to answer.
fn write(bytes: &[u8]) {
    if !sys::write_all(FD_OUT, bytes) {
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
