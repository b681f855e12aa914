//! The frames that host and guest exchange.
//!
//! A frame is a header and a payload. It goes over the serial line, or lies in the shared [`window`] and the line
//! carries one byte that says so. Neither side trusts the other's numbers:
//! every length is bounded before anything is allocated, headers and payloads carry checksums, and
//! a decoder finds its way back from garbage but counts it, except that the host gives up a guest that rings
//! for nothing.
#![forbid(unsafe_code)]

pub mod answer;
pub mod frame;
pub mod measure;
pub mod message;
pub mod program;
pub mod window;

pub use answer::{NotAnAnswer, decode_answer};
pub use frame::{Arrival, Decoder, FrameError, Header, Kind};
pub use measure::{Measure, Measured};
pub use message::{Fact, Hello, Item, Outcome, PROTOCOL, Request, Response, Wake};
pub use program::{Came, Late, Made, Part, Trace, Traced};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A payload that is no message, or a message that makes no payload.
#[derive(Debug, thiserror::Error)]
pub enum NotAMessage {
    /// Bytes that are no message of the type asked for: the sender was built from another checkout,
    /// or is broken.
    #[error("a payload of {length} bytes is not a message: {source}")]
    Decode {
        /// Length of the payload.
        length: usize,
        /// Where decoding failed.
        source: postcard::Error,
    },
    /// A message whose type cannot be encoded.
    #[error("a message cannot be encoded: {0}")]
    Encode(postcard::Error),
}

/// Encodes a message as a payload.
///
/// # Errors
/// [`NotAMessage::Encode`] for types that postcard cannot encode; those of this crate always can be.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, NotAMessage> {
    postcard::to_stdvec(message).map_err(NotAMessage::Encode)
}

/// Decodes a payload. Bytes left over make it no message.
///
/// # Errors
/// [`NotAMessage::Decode`].
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, NotAMessage> {
    let wrong = |source| NotAMessage::Decode { length: payload.len(), source };
    match postcard::take_from_bytes(payload).map_err(wrong)? {
        (message, []) => Ok(message),
        _ => Err(wrong(postcard::Error::DeserializeBadEncoding)),
    }
}
