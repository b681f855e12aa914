//! What a program writes, in bounded room.

use crate::sys;
use atlas_wire::program::MAX_OUTPUT;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd};

/// How many bytes are read at once.
const CHUNK: usize = 16 << 10;
/// How many reads in a row there may be while the program can write meanwhile.
const READS: usize = 16;

/// The supervisor's end of a pipe that a program writes to, and what came out of it.
pub(super) struct Output {
    pipe: File,
    pub(super) bytes: Vec<u8>,
    /// More came than is kept.
    pub(super) cut: bool,
}

impl Output {
    /// A pipe that does not block its reader, and its other end.
    ///
    /// # Errors
    /// A sentence, when there is no pipe to be had.
    pub(super) fn new() -> Result<(Self, File), String> {
        let ends = sys::pipe();
        if ends[0] < 0 {
            return Err("there is no pipe for the program's output".into());
        }
        // SAFETY: pipe(2) has just given both, and nobody else knows of them.
        let [pipe, writer] = ends.map(|end| unsafe { File::from_raw_fd(end) });
        let set_flags = [pipe.as_raw_fd() as u64, libc::F_SETFL as u64, libc::O_NONBLOCK as u64, 0, 0, 0];
        let _ = sys::number(libc::SYS_fcntl, set_flags);
        Ok((Self { pipe, bytes: Vec::new(), cut: false }, writer))
    }

    /// Takes what is in the pipe, and drops what is too much.
    pub(super) fn drain(&mut self) {
        for _ in 0..READS {
            let mut chunk = [0; CHUNK];
            // At an end of file nobody writes any more; an error says that nothing is there.
            let Ok(count @ 1..) = self.pipe.read(&mut chunk) else { return };
            self.take(&chunk[..count]);
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(MAX_OUTPUT - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..kept]);
        self.cut |= kept < bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_is_too_much_is_dropped() {
        let (mut output, mut writer) = Output::new().unwrap();
        output.drain();
        assert!(output.bytes.is_empty());
        // A pipe has room for this much, pipe(7).
        for _ in 0..MAX_OUTPUT / CHUNK {
            writer.write_all(&[b'x'; CHUNK]).unwrap();
            output.drain();
        }
        assert_eq!((output.bytes.len(), output.cut), (MAX_OUTPUT, false));
        writer.write_all(b"y").unwrap();
        output.drain();
        assert_eq!((output.bytes.len(), output.cut), (MAX_OUTPUT, true));
    }
}
