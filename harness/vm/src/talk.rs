//! The conversation with a guest: one request, one answer, and no trust.
//!
//! The guest sends one frame unasked, `ready`, when it is up. From then on the host asks, and the
//! guest answers each request once. What does not fit ends the conversation.

use crate::error::Reason;
use crate::line::{Event, Events};
use atlas_wire::frame::{
    Arrival, BELL, FrameError, HEADER_LEN, Header, Kind, MAX_INLINE, MAX_PAYLOAD, frame,
};
use atlas_wire::{Request, Response, decode_answer, encode, window};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long the other line may take to say why this one was closed.
const WHY: Duration = Duration::from_millis(500);

/// Why a conversation is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// The guest is lost.
    Lost(Reason),
    /// QEMU has closed the lines and they do not say why.
    Closed,
}

/// A conversation with a guest.
pub(crate) struct Talk {
    line: UnixStream,
    events: Events,
    window: Option<File>,
    /// Whether the guest has said that it has the window as well.
    agreed: bool,
    next_id: u32,
}

impl Talk {
    /// A conversation over the host's end of a frame line that is already watched.
    pub(crate) fn new(line: UnixStream, events: Events, window: Option<File>) -> Self {
        Self { line, events, window, agreed: false, next_id: 1 }
    }

    /// Waits until the guest says that it is up.
    pub(crate) fn wait_ready(&mut self, limit: Duration) -> Result<(), Over> {
        let (header, _) = self.next_frame(Instant::now() + limit, limit)?;
        match header.kind {
            Kind::Ready => Ok(()),
            other => Err(protocol(format!("its first frame is {other:?} instead of Ready"))),
        }
    }

    /// Uses the window from now on, or does without: the guest has said whether it has one.
    pub(crate) fn agree_on_window(&mut self, there: bool) {
        self.agreed = there;
        if !there {
            self.window = None;
        }
    }

    /// The window for requests: one that both sides have.
    fn window_for_requests(&self) -> Option<&File> {
        self.window.as_ref().filter(|_| self.agreed)
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, request: &Request, limit: Duration) -> Result<Response, Over> {
        let deadline = Instant::now() + limit;
        let payload = encode(request).map_err(|error| protocol(error.to_string()))?;
        let most = if self.window_for_requests().is_some() { MAX_PAYLOAD } else { MAX_INLINE };
        if payload.len() > most {
            let length = payload.len();
            return Ok(Response::Refused(format!(
                "the request has {length} bytes, and {most} can be sent at once"
            )));
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.send(id, &payload, deadline, limit)?;
        let (header, payload) = self.next_frame(deadline, limit)?;
        if header.kind != Kind::Response || header.id != id {
            let Header { kind, id: other, .. } = header;
            return Err(protocol(format!("a frame {kind:?} {other} where Response {id} was due")));
        }
        decode_answer(request, &payload).map_err(|error| protocol(error.to_string()))
    }

    fn send(&mut self, id: u32, payload: &[u8], deadline: Instant, limit: Duration) -> Result<(), Over> {
        let frame = frame(Kind::Request, id, payload);
        let put = match self.window_for_requests() {
            Some(file) => file.write_all_at(&frame, window::REQUESTS as u64).map(|()| [BELL].as_slice()),
            None => Ok(frame.as_slice()),
        };
        match put.and_then(|bytes| write_by(&mut self.line, bytes, deadline)) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::TimedOut => Err(Over::Lost(Reason::Timeout(limit))),
            // QEMU closed the line, and the other one may know why.
            Err(_) => Err(self.why_closed()),
        }
    }

    fn next_frame(&mut self, deadline: Instant, limit: Duration) -> Result<(Header, Vec<u8>), Over> {
        match self.events.next(deadline) {
            Some(Event::Came(Arrival::Frame(header, payload))) => Ok((header, payload)),
            Some(Event::Came(Arrival::Bell)) => self.read_window(),
            Some(Event::Lost(reason)) => Err(Over::Lost(reason)),
            Some(Event::Closed) => Err(self.why_closed()),
            None => Err(Over::Lost(Reason::Timeout(limit))),
        }
    }

    /// The frame that lies in the window. The host copies before it parses: the guest may change it at any time.
    fn read_window(&self) -> Result<(Header, Vec<u8>), Over> {
        let Some(file) = &self.window else {
            return Err(protocol("it says that a frame lies in a window that there is not".into()));
        };
        let read = |buffer: &mut [u8], at: usize| {
            let read = file.read_exact_at(buffer, at as u64);
            read.map_err(|error| protocol(format!("the window cannot be read: {error}")))
        };
        let mut header = [0; HEADER_LEN];
        read(&mut header, window::ANSWERS)?;
        let header = Header::in_window(&header).map_err(|error| protocol(error.to_string()))?;
        let mut payload = vec![0; header.length as usize];
        read(&mut payload, window::ANSWERS + HEADER_LEN)?;
        if !header.fits(&payload) {
            return Err(protocol(FrameError::Checksum(header.id).to_string()));
        }
        Ok((header, payload))
    }

    /// Both lines close when QEMU ends; the one that knows the reason may be the slower one.
    fn why_closed(&self) -> Over {
        let deadline = Instant::now() + WHY;
        let mut closed = 0;
        while closed < 2 {
            match self.events.next(deadline) {
                Some(Event::Lost(reason)) => return Over::Lost(reason),
                Some(Event::Closed) => closed += 1,
                Some(Event::Came(_)) => {}
                None => break,
            }
        }
        Over::Closed
    }
}

fn protocol(what: String) -> Over {
    Over::Lost(Reason::Protocol(what))
}

/// Writes everything, or gives [`ErrorKind::TimedOut`]: a guest that does not read holds nobody up.
fn write_by(line: &mut UnixStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        line.set_write_timeout(Some(left))?;
        match line.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
