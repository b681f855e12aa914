//! Whether an answer is one to what was asked.
//!
//! An answer is held against its request before anything is judged by it: a guest cannot claim
//! results for items that it was not asked for, nor leave some out, nor make the host set aside
//! memory for more outcomes than there are items.

use crate::{Item, NotAMessage, Outcome, Request, Response, decode};

/// Why a payload is no answer to a request.
#[derive(Debug, thiserror::Error)]
pub enum NotAnAnswer {
    /// It is no message at all.
    #[error(transparent)]
    Message(#[from] NotAMessage),
    /// A message, but no answer to this kind of request, or to this measurement.
    #[error("the answer is of another kind than the request")]
    Kind,
    /// More or fewer outcomes than items.
    #[error("the answer has {got} outcomes for {asked} items")]
    Count {
        /// Outcomes that the answer claims.
        got: u64,
        /// Items of the request.
        asked: usize,
    },
    /// An outcome that such an item cannot have.
    #[error("outcome {index} is not one that its item can have")]
    Outcome {
        /// Its place in the answer, from 0.
        index: usize,
    },
}

/// Decodes the answer to a request.
///
/// # Errors
/// [`NotAnAnswer`]. [`Response::Refused`] is an answer to every request.
pub fn decode_answer(request: &Request, payload: &[u8]) -> Result<Response, NotAnAnswer> {
    if let (Request::Run { items, .. }, Some(got)) = (request, claimed_outcomes(payload))
        && got != items.len() as u64
    {
        return Err(NotAnAnswer::Count { got, asked: items.len() });
    }
    let response = decode(payload)?;
    match (request, &response) {
        (_, Response::Refused(_)) | (Request::Hello, Response::Hello(_)) => Ok(response),
        (Request::Run { items, .. }, Response::Ran(outcomes)) => {
            match items.iter().zip(outcomes).position(|(item, outcome)| !can_have(item, outcome)) {
                Some(index) => Err(NotAnAnswer::Outcome { index }),
                None => Ok(response),
            }
        }
        (Request::Measure(asked), Response::Measured(measured)) if asked.can_give(measured) => Ok(response),
        _ => Err(NotAnAnswer::Kind),
    }
}

/// The number of outcomes that a payload begins to speak of, when it is a [`Response::Ran`]. Looked
/// at before the outcomes are decoded: two bytes of payload can stand for a hundred of memory.
fn claimed_outcomes(payload: &[u8]) -> Option<u64> {
    // The index of `Ran` among the variants of `Response`; a unit test holds it against the encoder.
    const RAN: u32 = 1;
    let (variant, rest) = postcard::take_from_bytes::<u32>(payload).ok()?;
    let (count, _) = postcard::take_from_bytes::<u64>(rest).ok()?;
    (variant == RAN).then_some(count)
}

fn can_have(item: &Item, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Observed(_) => matches!(item, Item::Experiment(_)),
        Outcome::Facts(_) | Outcome::Died { .. } => matches!(item, Item::Choreography(_)),
        Outcome::TimedOut { .. } | Outcome::Impossible(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hello, encode};

    fn asked(count: usize) -> Request {
        Request::Run { jit: None, limit_ms: 1, items: vec![Item::Choreography("a".into()); count] }
    }

    fn ran(outcomes: Vec<Outcome>) -> Vec<u8> {
        encode(&Response::Ran(outcomes)).unwrap()
    }

    #[test]
    fn outcomes_are_counted_before_they_are_decoded() {
        assert_eq!(claimed_outcomes(&ran(vec![Outcome::Facts(vec![]); 300])), Some(300));
        assert_eq!(claimed_outcomes(&encode(&Response::Hello(Hello::default())).unwrap()), None);
        // A count with nothing behind it.
        assert_eq!(claimed_outcomes(&[1, 0xff, 0xff, 0xff, 0x7f]), Some(0x0fff_ffff));
    }

    #[test]
    fn a_matching_answer_is_taken() {
        let payload = ran(vec![Outcome::Facts(vec![]), Outcome::TimedOut { facts: vec![] }]);
        assert!(
            matches!(decode_answer(&asked(2), &payload), Ok(Response::Ran(outcomes)) if outcomes.len() == 2)
        );
    }

    #[test]
    fn results_nobody_asked_for_are_no_answer() {
        let payload = ran(vec![Outcome::Facts(vec![]); 3]);
        assert!(matches!(decode_answer(&asked(2), &payload), Err(NotAnAnswer::Count { got: 3, asked: 2 })));
        assert!(matches!(decode_answer(&asked(4), &payload), Err(NotAnAnswer::Count { got: 3, asked: 4 })));
        assert!(matches!(decode_answer(&Request::Hello, &payload), Err(NotAnAnswer::Kind)));
    }

    #[test]
    fn an_outcome_of_another_kind_is_no_answer() {
        let payload =
            ran(vec![Outcome::Facts(vec![]), Outcome::Observed(atlas_model::Observation::default())]);
        assert!(matches!(decode_answer(&asked(2), &payload), Err(NotAnAnswer::Outcome { index: 1 })));
    }

    #[test]
    fn a_refusal_answers_everything() {
        let payload = encode(&Response::Refused("no".into())).unwrap();
        assert!(decode_answer(&asked(2), &payload).is_ok());
        assert!(decode_answer(&Request::Hello, &payload).is_ok());
    }

    #[test]
    fn figures_of_rounds_nobody_asked_for_are_no_answer() {
        use crate::measure::{Distribution, Measure, Measured, Subject};
        use atlas_model::{Filter, experiment::Via};
        let subject = Subject::Load { filter: Filter(vec![]), via: Via::Prctl, threads: 1 };
        let asked = Request::Measure(Measure { jit: None, limit_ms: 1, rounds: 2, subject });
        let of = |figures| Measured::Counted { instructions: Distribution::of(figures), returned: 0 };
        let payload = |measured| encode(&Response::Measured(measured)).unwrap();
        assert!(decode_answer(&asked, &payload(of(vec![1, 2]))).is_ok());
        assert!(matches!(decode_answer(&asked, &payload(of(vec![1, 2, 3]))), Err(NotAnAnswer::Kind)));
        assert!(matches!(decode_answer(&asked, &ran(vec![])), Err(NotAnAnswer::Kind)));
    }

    #[test]
    fn bytes_that_are_left_over_are_no_answer() {
        let mut payload = ran(vec![Outcome::Facts(vec![])]);
        payload.push(0);
        assert!(matches!(decode_answer(&asked(1), &payload), Err(NotAnAnswer::Message(_))));
    }
}
