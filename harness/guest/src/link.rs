//! The line to the host: frames on ttyS1, or in the shared window with a bell on ttyS1.

use crate::setup;
use atlas_wire::frame::{Arrival, BELL, Decoder, FrameError, HEADER_LEN, Header, Kind, frame};
use atlas_wire::window;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;

/// At how many bytes the line interrupts (Documentation/ABI/testing/sysfs-tty, `rx_trig_bytes`). A bell is one.
const TRIGGER: &str = "/sys/class/tty/ttyS1/rx_trig_bytes";

/// The line to the host.
pub(crate) struct Link {
    line: File,
    decoder: Decoder,
    window: Option<Window>,
}

impl Link {
    /// Opens the line and, where the host offers one and the kernel lets us, the window.
    pub(crate) fn open() -> Result<Self, String> {
        let line = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/ttyS1")
            .map_err(|error| format!("/dev/ttyS1 cannot be opened: {error}"))?;
        make_raw(&line)?;
        let window = Window::open();
        if window.is_some() {
            // Where the kernel cannot be told (before 3.17), QEMU waits as `make_raw` says.
            let _ = std::fs::write(TRIGGER, "1");
        }
        Ok(Self { line, decoder: Decoder::default(), window })
    }

    /// Whether frames can go through the window.
    pub(crate) fn has_window(&self) -> bool {
        self.window.is_some()
    }

    /// The descriptors that no experiment with descriptors of its own shall have.
    pub(crate) fn descriptors(&self) -> Vec<i32> {
        vec![self.line.as_raw_fd()]
    }

    /// Waits for the next request: its id and payload.
    pub(crate) fn receive(&mut self) -> Result<(u32, Vec<u8>), String> {
        let mut chunk = [0; 4096];
        loop {
            while let Some(arrival) = self.decoder.next_arrival().map_err(|e| e.to_string())? {
                let (header, payload) = match (arrival, &self.window) {
                    (Arrival::Frame(header, payload), _) => (header, payload),
                    (Arrival::Bell, Some(window)) => match window.take_request() {
                        Ok(request) => request,
                        Err(_) => continue,
                    },
                    (Arrival::Bell, None) => continue,
                };
                if header.kind == Kind::Request && header.fits(&payload) {
                    return Ok((header.id, payload));
                }
            }
            let count = self.line.read(&mut chunk).map_err(|error| format!("/dev/ttyS1: {error}"))?;
            self.decoder.push(&chunk[..count]);
        }
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, kind: Kind, id: u32, payload: &[u8]) -> Result<(), String> {
        let frame = frame(kind, id, payload);
        let sent = match &self.window {
            Some(window) => {
                window.put_answer(&frame);
                self.line.write_all(&[BELL])
            }
            None => self.line.write_all(&frame),
        };
        sent.map_err(|error| format!("/dev/ttyS1: {error}"))
    }
}

/// Turns line discipline off, so that bytes go through as they are, and gives the line its highest rate: QEMU
/// tells of the last few bytes when a line of this rate would have been silent for four of them (its
/// hw/char/serial.c serial_receive1), which at a line's first rate, 9600, is 4 ms.
fn make_raw(line: &File) -> Result<(), String> {
    // SAFETY: all-zero is a valid termios, and both calls get a descriptor of ours and that termios.
    let result = unsafe {
        let mut termios: libc::termios = std::mem::zeroed();
        libc::tcgetattr(line.as_raw_fd(), &raw mut termios);
        libc::cfmakeraw(&raw mut termios);
        termios.c_cflag = termios.c_cflag & !libc::CBAUD | libc::B115200;
        libc::tcsetattr(line.as_raw_fd(), libc::TCSANOW, &raw const termios)
    };
    if result == 0 {
        Ok(())
    } else {
        Err(format!("/dev/ttyS1 is no serial line: {}", std::io::Error::last_os_error()))
    }
}

/// The shared window, mapped from /dev/mem.
struct Window {
    base: *mut u8,
}

impl Window {
    fn open() -> Option<Self> {
        if setup::told("atlas.window=").as_deref() != Some("1") {
            return None;
        }
        let memory = OpenOptions::new().read(true).write(true).open("/dev/mem").ok()?;
        // SAFETY: maps memory that the kernel was told to leave alone, where the kernel chooses.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                window::LENGTH as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                memory.as_raw_fd(),
                window::ADDRESS as libc::off_t,
            )
        };
        if base == libc::MAP_FAILED {
            return None;
        }
        // Copying its page table at every fork would cost more than the rest of the fork.
        // SAFETY: the range was mapped just now; children have no use for it.
        unsafe {
            libc::madvise(base, window::LENGTH as usize, libc::MADV_DONTFORK);
        }
        let shared = Self { base: base.cast() };
        let mut token = [0; window::TOKEN.len()];
        shared.copy(0, &mut token);
        (token == window::TOKEN).then_some(shared)
    }

    /// Takes the request that a bell has announced: another bell does not find it again.
    fn take_request(&self) -> Result<(Header, Vec<u8>), FrameError> {
        let mut header = [0; HEADER_LEN];
        self.copy(0, &mut header);
        let header = Header::in_window(&header)?;
        let mut payload = vec![0; header.length as usize];
        self.copy(HEADER_LEN, &mut payload);
        // SAFETY: within the first half, which the host leaves alone until it has its answer.
        unsafe { std::ptr::write_bytes(self.base.add(window::REQUESTS), 0, HEADER_LEN) };
        Ok((header, payload))
    }

    /// Copies a part of the first half.
    fn copy(&self, from: usize, to: &mut [u8]) {
        assert!(from + to.len() <= window::HALF, "a request larger than the window");
        // SAFETY: within the first half of the mapping, which lives for ever. The host may write
        // meanwhile; a torn copy fails its checksum.
        unsafe {
            let part = self.base.add(window::REQUESTS + from);
            std::ptr::copy_nonoverlapping(part, to.as_mut_ptr(), to.len());
        }
    }

    fn put_answer(&self, frame: &[u8]) {
        assert!(frame.len() <= window::HALF, "an answer larger than the window");
        // SAFETY: within the second half of the mapping, which only this process writes.
        unsafe {
            std::ptr::copy_nonoverlapping(frame.as_ptr(), self.base.add(window::ANSWERS), frame.len());
        }
    }
}
