//! Frame faults, by peers that are no guests.

use super::*;
use crate::line;
use atlas_wire::frame::MAX_JUNK;
use atlas_wire::{Decoder, Hello, Item, Outcome};
use std::io::Read;
use std::thread;

/// Long enough that a test which needs it fails, not flickers.
const AMPLE: Duration = Duration::from_secs(20);

/// What a peer knows when it is asked.
struct Peer {
    line: UnixStream,
    window: Option<File>,
}

impl Peer {
    /// Waits for a request on the line: its number.
    fn asked(&mut self) -> u32 {
        match self.asked_by() {
            Arrival::Frame(header, _) => header.id,
            Arrival::Bell => panic!("the request lies in the window"),
        }
    }

    /// Waits for a request: what comes over the line.
    fn asked_by(&mut self) -> Arrival {
        let mut decoder = Decoder::default();
        let mut chunk = [0; 4096];
        loop {
            if let Some(arrival) = decoder.next_arrival().unwrap() {
                return arrival;
            }
            let count = self.line.read(&mut chunk).unwrap();
            assert_ne!(count, 0, "the host hung up");
            decoder.push(&chunk[..count]);
        }
    }

    /// Reads the request that lies in the window.
    fn request_in_window(&self) -> Header {
        let mut header = [0; HEADER_LEN];
        self.window.as_ref().unwrap().read_exact_at(&mut header, window::REQUESTS as u64).unwrap();
        Header::in_window(&header).unwrap()
    }

    /// Puts bytes into the guest's half of the window, and rings.
    fn ring(&mut self, bytes: &[u8]) {
        self.window.as_ref().unwrap().write_all_at(bytes, window::ANSWERS as u64).unwrap();
        self.put(&[BELL]);
    }

    fn put(&mut self, bytes: &[u8]) {
        // The host hangs up on a peer that misbehaves, which is what is tested.
        let _ = self.line.write_all(bytes);
    }
}

fn hello() -> Vec<u8> {
    encode(&Response::Hello(Hello::default())).unwrap()
}

/// A conversation with a peer that plays a guest, on a thread of its own.
fn with(windowed: bool, peer: impl FnOnce(&mut Peer) + Send + 'static) -> Talk {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let window = windowed.then(|| crate::qemu::anonymous(b"", window::LENGTH).unwrap());
    let mut player = Peer { line: theirs, window: window.as_ref().map(|file| file.try_clone().unwrap()) };
    thread::spawn(move || peer(&mut player));
    let (teller, events) = line::events();
    line::watch_frames(ours.try_clone().unwrap(), teller, || {});
    Talk::new(ours, events, window)
}

fn ask(talk: &mut Talk) -> Result<Response, Over> {
    talk.ask(&Request::Hello, AMPLE)
}

#[track_caller]
fn assert_protocol(answer: &Result<Response, Over>, says: &str) {
    assert!(matches!(answer, Err(Over::Lost(Reason::Protocol(what))) if what.contains(says)), "{answer:?}");
}

#[test]
fn an_answer_is_taken() {
    let mut talk = with(false, |peer| {
        peer.put(&frame(Kind::Ready, 0, b""));
        for _ in 0..2 {
            let id = peer.asked();
            peer.put(&frame(Kind::Response, id, &hello()));
        }
    });
    talk.wait_ready(AMPLE).unwrap();
    assert!(matches!(ask(&mut talk), Ok(Response::Hello(_))));
    assert!(matches!(ask(&mut talk), Ok(Response::Hello(_))));
    assert_eq!(ask(&mut talk), Err(Over::Closed));
}

#[test]
fn the_first_frame_must_be_ready() {
    let mut talk = with(false, |peer| peer.put(&frame(Kind::Response, 0, &hello())));
    assert!(matches!(talk.wait_ready(AMPLE), Err(Over::Lost(Reason::Protocol(_)))));
}

#[test]
fn an_answer_to_another_request_is_refused() {
    let mut talk = with(false, |peer| {
        let id = peer.asked();
        peer.put(&frame(Kind::Response, id + 1, &hello()));
    });
    assert_protocol(&ask(&mut talk), "Response 2 where Response 1 was due");
}

#[test]
fn an_answer_that_comes_twice_is_refused() {
    let mut talk = with(false, |peer| {
        let id = peer.asked();
        let answer = frame(Kind::Response, id, &hello());
        peer.put(&[answer.clone(), answer].concat());
        peer.asked();
    });
    assert!(ask(&mut talk).is_ok());
    assert_protocol(&ask(&mut talk), "Response 1 where Response 2 was due");
}

#[test]
fn a_guest_that_starts_again_is_refused() {
    let mut talk = with(false, |peer| {
        peer.asked();
        peer.put(&frame(Kind::Ready, 0, b""));
    });
    assert_protocol(&ask(&mut talk), "Ready 0");
}

#[test]
fn results_nobody_asked_for_are_refused() {
    let mut talk = with(false, |peer| {
        let id = peer.asked();
        let payload = encode(&Response::Ran(vec![Outcome::Facts(vec![]); 2])).unwrap();
        peer.put(&frame(Kind::Response, id, &payload));
    });
    let one = Request::Run { jit: None, limit_ms: 1, items: vec![Item::Choreography("one".into())] };
    assert_protocol(&talk.ask(&one, AMPLE), "2 outcomes for 1 items");
}

#[test]
fn a_flipped_bit_is_noticed() {
    let mut talk = with(false, |peer| {
        let id = peer.asked();
        let mut bytes = frame(Kind::Response, id, &hello());
        bytes[HEADER_LEN] ^= 1;
        peer.put(&bytes);
    });
    assert_protocol(&ask(&mut talk), "checksum");
}

#[test]
fn an_oversized_frame_is_refused() {
    let mut talk = with(false, |peer| {
        let id = peer.asked();
        let header = Header { length: u32::MAX, ..Header::of(Kind::Response, id, b"") };
        peer.put(&header.to_bytes());
        // It says no more: the claim alone must do.
        let _ = peer.line.read(&mut [0]);
    });
    assert_protocol(&ask(&mut talk), "at most");
}

#[test]
fn a_truncated_answer_is_none() {
    let mut talk = with(false, |peer| {
        let id = peer.asked();
        let bytes = frame(Kind::Response, id, &hello());
        peer.put(&bytes[..bytes.len() - 1]);
    });
    assert_eq!(ask(&mut talk), Err(Over::Closed));
}

#[test]
fn a_payload_that_is_no_message_is_refused() {
    let mut talk = with(false, |peer| {
        let id = peer.asked();
        peer.put(&frame(Kind::Response, id, &[0xff; 9]));
    });
    assert_protocol(&ask(&mut talk), "not a message");
}

#[test]
fn a_flood_of_junk_is_an_end() {
    let mut talk = with(false, |peer| peer.put(&vec![b'#'; MAX_JUNK + (64 << 10)]));
    let answer = ask(&mut talk);
    assert!(
        matches!(&answer, Err(Over::Lost(Reason::Flooded(what))) if what.contains("no frame")),
        "{answer:?}"
    );
}

#[test]
fn a_silent_guest_is_given_up_in_time() {
    let mut talk = with(false, |peer| while peer.line.read(&mut [0; 64]).is_ok_and(|count| count > 0) {});
    let limit = Duration::from_millis(50);
    assert_eq!(talk.ask(&Request::Hello, limit), Err(Over::Lost(Reason::Timeout(limit))));
}

#[test]
fn a_guest_that_does_not_read_is_given_up_in_time() {
    let (done, until_done) = std::sync::mpsc::channel::<()>();
    let mut talk = with(false, move |_peer| _ = until_done.recv());
    let items = vec![Item::Choreography("x".repeat(MAX_INLINE - 100))];
    let limit = Duration::from_millis(200);
    let large = Request::Run { jit: None, limit_ms: 1, items };
    assert_eq!(talk.ask(&large, limit), Err(Over::Lost(Reason::Timeout(limit))));
    drop(done);
}

#[test]
fn a_request_that_does_not_fit_costs_no_guest() {
    let mut talk = with(false, |peer| {
        let id = peer.asked();
        peer.put(&frame(Kind::Response, id, &hello()));
    });
    let items = vec![Item::Choreography("x".repeat(MAX_INLINE))];
    let refused = talk.ask(&Request::Run { jit: None, limit_ms: 1, items }, AMPLE);
    assert!(matches!(refused, Ok(Response::Refused(why)) if why.contains("can be sent at once")));
    assert!(ask(&mut talk).is_ok());
}

#[test]
fn a_guest_that_claims_a_window_that_the_host_did_not_give_is_sent_no_more_for_it() {
    let mut talk = with(false, |peer| {
        peer.asked();
    });
    talk.agree_on_window(true);
    let items = vec![Item::Choreography("x".repeat(MAX_INLINE))];
    let refused = talk.ask(&Request::Run { jit: None, limit_ms: 1, items }, AMPLE);
    assert!(matches!(refused, Ok(Response::Refused(why)) if why.contains("can be sent at once")));
}

#[test]
fn a_frame_in_the_window_is_taken_when_it_rings() {
    let mut talk = with(true, |peer| {
        let id = peer.asked();
        let payload = encode(&Response::Refused("r".repeat(3 << 20))).unwrap();
        peer.ring(&frame(Kind::Response, id, &payload));
        peer.asked();
    });
    assert!(matches!(ask(&mut talk), Ok(Response::Refused(text)) if text.len() == 3 << 20));
}

#[test]
fn requests_go_through_the_window_once_the_guest_has_said_that_it_has_it() {
    let (tell, told) = std::sync::mpsc::channel();
    let mut talk = with(true, move |peer| {
        for _ in 0..3 {
            let (header, rang) = match peer.asked_by() {
                Arrival::Frame(header, _) => (header, false),
                Arrival::Bell => (peer.request_in_window(), true),
            };
            tell.send(rang).unwrap();
            peer.put(&frame(Kind::Response, header.id, &hello()));
        }
    });
    for agreed in [None, Some(true), Some(false)] {
        agreed.into_iter().for_each(|there| talk.agree_on_window(there));
        ask(&mut talk).unwrap();
    }
    assert_eq!(told.iter().take(3).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn a_window_that_changes_behind_its_header_is_noticed() {
    let mut talk = with(true, |peer| {
        let id = peer.asked();
        let mut bytes = frame(Kind::Response, id, &hello());
        *bytes.last_mut().unwrap() ^= 1;
        peer.ring(&bytes);
        peer.asked();
    });
    assert_protocol(&ask(&mut talk), "checksum");
}

#[test]
fn a_bell_without_a_frame_within_bounds_is_refused() {
    let long = Header { length: u32::MAX, ..Header::of(Kind::Response, 1, b"") };
    for (header, says) in [([0xff; HEADER_LEN], "there is none"), (long.to_bytes(), "at most")] {
        let mut talk = with(true, move |peer| {
            assert_eq!(peer.asked(), 1);
            peer.ring(&header);
            peer.asked();
        });
        assert_protocol(&ask(&mut talk), says);
    }
}

#[test]
fn an_answer_that_lies_in_the_window_from_the_request_before_is_refused() {
    let mut talk = with(true, |peer| {
        let id = peer.asked();
        peer.ring(&frame(Kind::Response, id, &hello()));
        peer.asked();
        peer.put(&[BELL]);
        peer.asked();
    });
    assert!(ask(&mut talk).is_ok());
    assert_protocol(&ask(&mut talk), "Response 1 where Response 2 was due");
}

#[test]
fn a_window_that_there_is_not_is_refused() {
    let mut talk = with(true, |peer| {
        let id = peer.asked();
        peer.ring(&frame(Kind::Response, id, &hello()));
        peer.asked();
    });
    talk.agree_on_window(false);
    assert_protocol(&ask(&mut talk), "a window that there is not");
}
