//! Frames on a line that may carry anything.

use atlas_wire::frame::{BELL, HEADER_LEN, MAX_INLINE, MAX_JUNK, MAX_PAYLOAD};
use atlas_wire::{Arrival, Decoder, FrameError, Header, Kind};
use proptest::prelude::*;

fn frame(id: u32, payload: &[u8]) -> Vec<u8> {
    atlas_wire::frame::frame(Kind::Response, id, payload)
}

/// Ids and payloads.
type Frames = Vec<(u32, Vec<u8>)>;

fn all(decoder: &mut Decoder) -> Result<Frames, FrameError> {
    let (frames, bells) = all_and_bells(decoder)?;
    assert_eq!(bells, 0, "nobody rang");
    Ok(frames)
}

fn all_and_bells(decoder: &mut Decoder) -> Result<(Frames, usize), FrameError> {
    let (mut frames, mut bells) = (Vec::new(), 0);
    while let Some(arrival) = decoder.next_arrival()? {
        match arrival {
            Arrival::Frame(header, payload) => frames.push((header.id, payload)),
            Arrival::Bell => bells += 1,
        }
    }
    Ok((frames, bells))
}

proptest! {
    #[test]
    fn come_back_however_the_bytes_are_cut(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
        cut in 1_usize..50,
    ) {
        let bytes: Vec<u8> =
            payloads.iter().enumerate().flat_map(|(id, payload)| frame(id as u32, payload)).collect();
        let mut decoder = Decoder::default();
        let mut got = Vec::new();
        for chunk in bytes.chunks(cut) {
            decoder.push(chunk);
            got.extend(all(&mut decoder).unwrap());
        }
        let sent: Vec<(u32, Vec<u8>)> = payloads.into_iter().enumerate().map(|(id, p)| (id as u32, p)).collect();
        prop_assert_eq!(got, sent);
        prop_assert_eq!(decoder.junk(), 0);
    }

    #[test]
    fn are_found_behind_garbage(junk in prop::collection::vec(any::<u8>(), 0..500)) {
        let mut decoder = Decoder::default();
        decoder.push(&junk);
        decoder.push(&frame(7, b"payload"));
        // Garbage that happens to begin like a header swallows bytes, but a valid header cannot be
        // made by chance: its checksum covers it.
        let bells = junk.iter().filter(|&&byte| byte == BELL).count();
        prop_assert_eq!(all_and_bells(&mut decoder).unwrap(), (vec![(7, b"payload".to_vec())], bells));
        prop_assert_eq!(decoder.junk(), junk.len() - bells);
    }

    #[test]
    fn soup_never_panics(soup in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut decoder = Decoder::default();
        decoder.push(&soup);
        let _ = all_and_bells(&mut decoder);
    }

    #[test]
    fn a_flipped_bit_is_never_delivered(bit in 0_usize..(HEADER_LEN + 20) * 8) {
        let payload = [5_u8; 20];
        let mut bytes = frame(1, &payload);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        prop_assert!(!matches!(all_and_bells(&mut decoder), Ok((frames, _)) if !frames.is_empty()));
    }
}

#[test]
fn bells_are_heard_between_frames_and_not_within() {
    let mut decoder = Decoder::default();
    decoder.push(&[[BELL].as_slice(), &frame(1, &[BELL; 40]), &[BELL, BELL]].concat());
    let mut heard = Vec::new();
    while let Some(arrival) = decoder.next_arrival().unwrap() {
        heard.push(arrival == Arrival::Bell);
    }
    assert_eq!((heard, decoder.junk()), (vec![true, false, true, true], 0));
}

#[test]
fn what_lies_in_the_window_is_bounded_as_well() {
    let header = Header::of(Kind::Response, 1, b"");
    assert_eq!(Header::in_window(&header.to_bytes()), Ok(header));
    let long = Header { length: MAX_PAYLOAD as u32 + 1, ..header };
    assert_eq!(Header::in_window(&long.to_bytes()), Err(FrameError::Oversized(long.length)));
    assert_eq!(Header::in_window(&[0; HEADER_LEN]), Err(FrameError::NotInWindow));
}

#[test]
fn a_truncated_frame_is_no_frame() {
    let whole = frame(1, b"payload");
    let mut decoder = Decoder::default();
    decoder.push(&whole[..whole.len() - 1]);
    assert_eq!(all(&mut decoder).unwrap(), vec![]);
    decoder.push(&whole[whole.len() - 1..]);
    assert_eq!(all(&mut decoder).unwrap().len(), 1);
}

#[test]
fn an_oversized_frame_is_refused_before_it_is_read() {
    let mut header = Header::of(Kind::Response, 1, b"");
    header.length = MAX_INLINE as u32 + 1;
    let mut decoder = Decoder::default();
    decoder.push(&header.to_bytes());
    assert_eq!(all(&mut decoder), Err(FrameError::Oversized(MAX_INLINE as u32 + 1)));
}

#[test]
fn a_flood_of_junk_is_given_up() {
    let mut decoder = Decoder::default();
    let mut given_up = None;
    for _ in 0..1000 {
        decoder.push(&[0x16; 1000]);
        if let Err(error) = all(&mut decoder) {
            given_up = Some(error);
            break;
        }
    }
    assert!(matches!(given_up, Some(FrameError::Junk(junk)) if junk > MAX_JUNK));
}

#[test]
fn a_truncated_frame_cannot_swallow_the_next() {
    let whole = frame(1, b"payload");
    let mut decoder = Decoder::default();
    decoder.push(&whole[..whole.len() - 3]);
    decoder.push(&whole);
    assert_eq!(all(&mut decoder), Err(FrameError::Checksum(1)));
}

#[test]
fn reserved_bytes_are_zero() {
    let bytes = Header::of(Kind::Ready, 0, b"").to_bytes();
    assert!(Header::from_bytes(&bytes).is_some());
    for reserved in 5..8 {
        let mut bytes = bytes;
        bytes[reserved] = 1;
        // With a checksum that covers the change, only the rule itself can refuse it.
        let own = crc32fast::hash(&bytes[..20]);
        bytes[20..].copy_from_slice(&own.to_le_bytes());
        assert!(Header::from_bytes(&bytes).is_none());
    }
}
