//! The host's ends of the guest's two serial lines, each read by a thread of its own.

use crate::console::Console;
use crate::error::Reason;
use atlas_wire::{Arrival, Decoder, FrameError};
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long the console is read on after the end was announced, for the lines that explain it.
const GRACE: Duration = Duration::from_millis(300);
/// How many frames and bells may wait to be looked at. The host asks one thing at a time, so a guest that
/// gets this far ahead sends what nobody asked for.
const MOST_UNREAD: usize = 3;

/// What the lines tell.
#[derive(Debug)]
pub(crate) enum Event {
    /// A frame came, or the word that there is one in the window.
    Came(Arrival),
    /// The guest is lost.
    Lost(Reason),
    /// QEMU has closed a line, so it has ended or is about to.
    Closed,
}

/// Where both lines tell what they see.
#[derive(Clone)]
pub(crate) struct Teller {
    events: Sender<Event>,
    unread: Arc<AtomicUsize>,
}

/// Where that is heard.
pub(crate) struct Events {
    events: Receiver<Event>,
    unread: Arc<AtomicUsize>,
}

/// Both ends of the events of one guest.
pub(crate) fn events() -> (Teller, Events) {
    let (sender, receiver) = channel();
    let unread = Arc::new(AtomicUsize::new(0));
    (Teller { events: sender, unread: Arc::clone(&unread) }, Events { events: receiver, unread })
}

impl Teller {
    /// Whether anybody listens still.
    fn tell(&self, event: Event) -> bool {
        self.events.send(event).is_ok()
    }
}

impl Events {
    /// The next event; `None` when there is none by then.
    pub(crate) fn next(&self, deadline: Instant) -> Option<Event> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.events.recv_timeout(left) {
            Ok(event) => {
                if matches!(event, Event::Came(_)) {
                    self.unread.fetch_sub(1, Ordering::Relaxed);
                }
                Some(event)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Event::Closed),
        }
    }
}

/// Reads the console until it is closed or says that the guest is lost; then calls `end`.
pub(crate) fn watch_console(
    mut line: UnixStream,
    console: Console,
    teller: Teller,
    end: impl FnOnce() + Send + 'static,
) {
    thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        let mut lost: Option<(Reason, Instant)> = None;
        loop {
            let seen = match line.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => console.push(&buffer[..count]),
                Err(error) if is_passing(error.kind()) => None,
                Err(_) => break,
            };
            if let (None, Some(reason)) = (&lost, seen) {
                let grace = if matches!(reason, Reason::Flooded(_)) { Duration::ZERO } else { GRACE };
                lost = Some((reason, Instant::now() + grace));
            }
            if let Some((_, until)) = &lost {
                let left = until.saturating_duration_since(Instant::now());
                // Without a time-out a guest that says no more would be waited for for ever.
                if left.is_zero() || line.set_read_timeout(Some(left)).is_err() {
                    break;
                }
            }
        }
        let lost = lost.map(|(reason, _)| reason).or_else(|| console.finish());
        // The machine may be gone already, which is as good.
        teller.tell(lost.map_or(Event::Closed, Event::Lost));
        end();
    });
}

/// Reads frames until the line is closed or broken; then calls `end`.
pub(crate) fn watch_frames(mut line: UnixStream, teller: Teller, end: impl FnOnce() + Send + 'static) {
    thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        let mut decoder = Decoder::default();
        loop {
            match line.read(&mut buffer) {
                Ok(count @ 1..) => decoder.push(&buffer[..count]),
                Err(error) if is_passing(error.kind()) => {}
                Ok(0) | Err(_) => {
                    teller.tell(Event::Closed);
                    return;
                }
            }
            if let Err(reason) = tell_all(&mut decoder, &teller) {
                teller.tell(Event::Lost(reason));
                return end();
            }
        }
    });
}

fn tell_all(decoder: &mut Decoder, teller: &Teller) -> Result<(), Reason> {
    let broken = |error| match error {
        FrameError::Junk(count) => Reason::Flooded(format!("the frame line with {count} bytes of no frame")),
        other => Reason::Protocol(other.to_string()),
    };
    while let Some(arrival) = decoder.next_arrival().map_err(broken)? {
        if teller.unread.fetch_add(1, Ordering::Relaxed) >= MOST_UNREAD {
            return Err(Reason::Flooded("the frame line with frames or bells that nobody asked for".into()));
        }
        teller.tell(Event::Came(arrival));
    }
    Ok(())
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_wire::frame::BELL;
    use atlas_wire::{Header, Kind};

    #[test]
    fn frames_that_nobody_asked_for_do_not_fill_memory() {
        let (teller, events) = events();
        let mut decoder = Decoder::default();
        let frame = Header::of(Kind::Response, 7, b"").to_bytes();
        decoder.push(&frame.repeat(1000));
        assert!(matches!(tell_all(&mut decoder, &teller), Err(Reason::Flooded(_))));
        assert_eq!(events.events.try_iter().count(), MOST_UNREAD);
    }

    #[test]
    fn bells_that_nobody_waits_for_are_counted_too() {
        let (teller, events) = events();
        let mut decoder = Decoder::default();
        decoder.push(&[BELL; 1000]);
        assert!(matches!(tell_all(&mut decoder, &teller), Err(Reason::Flooded(_))));
        assert_eq!(events.events.try_iter().count(), MOST_UNREAD);
    }

    #[test]
    fn frames_that_are_looked_at_may_be_any_number() {
        let (teller, events) = events();
        let mut decoder = Decoder::default();
        for id in 0..1000 {
            let header = Header::of(Kind::Response, id, b"");
            decoder.push(&header.to_bytes());
            tell_all(&mut decoder, &teller).unwrap();
            let came = events.next(Instant::now());
            assert!(matches!(came, Some(Event::Came(Arrival::Frame(other, _))) if other == header));
        }
    }
}
