//! Whether an answer is one to what was asked.
//!
//! An answer is held against its request before anything is judged by it: a guest cannot claim
//! results for items that it was not asked for, nor leave some out, nor make the host set aside
//! memory for more outcomes than there are items.

use crate::program::MAX_CALLS;
use crate::{Item, NotAMessage, Outcome, Request, Response, decode};
use atlas_model::observation::End;

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
        /// Outcomes, or answers of a sweep, that the answer claims.
        got: u64,
        /// Items of the request, or calls of the sweep.
        asked: usize,
    },
    /// More calls of a program than are ever told.
    #[error("the answer has {0} calls, and {MAX_CALLS} is the most")]
    Calls(u64),
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
    let counted = match request {
        Request::Run { items, .. } => Some((RAN, items.len())),
        Request::Sweep { sweep, .. } => Some((SWEPT, sweep.calls.count())),
        // What these answers hold is bounded by their types.
        Request::Hello | Request::Wake(_) | Request::Measure(_) | Request::Put(_) => None,
        // Bounded below.
        Request::Trace(_) => None,
    };
    if let Some((variant, asked)) = counted
        && let Some(got) = claimed(variant, payload)
        && got != asked as u64
    {
        return Err(NotAnAnswer::Count { got, asked });
    }
    if let Request::Trace(_) = request
        && let Some(got) = claimed_calls(payload)
        && got > MAX_CALLS as u64
    {
        return Err(NotAnAnswer::Calls(got));
    }
    let response = decode(payload)?;
    match (request, &response) {
        (_, Response::Refused(_))
        | (Request::Hello | Request::Wake(_), Response::Hello(_))
        | (Request::Sweep { .. }, Response::Swept(_))
        | (Request::Put(_), Response::Stored(_)) => Ok(response),
        (Request::Run { items, .. }, Response::Ran(outcomes)) => {
            match items.iter().zip(outcomes).position(|(item, outcome)| !can_have(item, outcome)) {
                Some(index) => Err(NotAnAnswer::Outcome { index }),
                None => Ok(response),
            }
        }
        (Request::Measure(asked), Response::Measured(measured)) if asked.can_give(measured) => Ok(response),
        (Request::Trace(_), Response::Traced(traced)) if traced.is_possible() => Ok(response),
        _ => Err(NotAnAnswer::Kind),
    }
}

/// Indices of `Ran`, `Swept` and `Traced` among the variants of `Response`; unit tests hold them against the
/// encoder.
const RAN: u32 = 1;
const SWEPT: u32 = 3;
const TRACED: u32 = 6;

/// The number of outcomes or answers that a payload begins to speak of, when it is of this variant of
/// [`Response`]. Looked at before they are decoded: two bytes of payload can stand for a hundred of
/// memory.
fn claimed(wanted: u32, payload: &[u8]) -> Option<u64> {
    let (variant, rest) = postcard::take_from_bytes::<u32>(payload).ok()?;
    let (count, _) = postcard::take_from_bytes::<u64>(rest).ok()?;
    (variant == wanted).then_some(count)
}

/// The number of calls that a payload begins to speak of when it is [`Response::Traced`]. What stands
/// before them is decoded with it. All else that such an answer holds is bytes, which take no more memory
/// than payload.
fn claimed_calls(payload: &[u8]) -> Option<u64> {
    type Beginning = (u32, i64, Option<End>, u64);
    let ((variant, _, _, count), _) = postcard::take_from_bytes::<Beginning>(payload).ok()?;
    (variant == TRACED).then_some(count)
}

fn can_have(item: &Item, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Observed(_) => matches!(item, Item::Experiment(_) | Item::Bare(_)),
        Outcome::Facts(_) | Outcome::Died { .. } => matches!(item, Item::Choreography(_)),
        Outcome::TimedOut { .. } | Outcome::Impossible(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hello, encode};
    use atlas_model::sweep;

    fn asked(count: usize) -> Request {
        Request::Run { jit: None, limit_ms: 1, items: vec![Item::Choreography("a".into()); count] }
    }

    fn ran(outcomes: Vec<Outcome>) -> Vec<u8> {
        encode(&Response::Ran(outcomes)).unwrap()
    }

    #[test]
    fn outcomes_are_counted_before_they_are_decoded() {
        assert_eq!(claimed(RAN, &ran(vec![Outcome::Facts(vec![]); 300])), Some(300));
        assert_eq!(claimed(RAN, &encode(&Response::Hello(Hello::default())).unwrap()), None);
        // A count with nothing behind it.
        assert_eq!(claimed(RAN, &[1, 0xff, 0xff, 0xff, 0x7f]), Some(0x0fff_ffff));
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

    fn swept(count: usize) -> Vec<u8> {
        let answers = vec![sweep::Answer::Value(-1); count];
        encode(&Response::Swept(sweep::Swept { answers, ..sweep::Swept::default() })).unwrap()
    }

    #[test]
    fn a_sweep_has_one_answer_a_call() {
        let asked = Request::Sweep { jit: None, limit_ms: 1, sweep: sweep::Sweep::default() };
        assert!(matches!(decode_answer(&asked, &swept(sweep::COUNT)), Ok(Response::Swept(_))));
        for forged in [0, 1, sweep::COUNT - 1, sweep::COUNT + 1] {
            let answer = decode_answer(&asked, &swept(forged));
            assert!(
                matches!(answer, Err(NotAnAnswer::Count { got, .. }) if got == forged as u64),
                "{forged}: {answer:?}"
            );
        }
        assert!(matches!(decode_answer(&asked, &ran(vec![Outcome::Facts(vec![])])), Err(NotAnAnswer::Kind)));
        assert!(matches!(decode_answer(&Request::Hello, &swept(sweep::COUNT)), Err(NotAnAnswer::Kind)));
    }

    #[test]
    fn a_sweep_of_few_calls_has_as_few_answers() {
        let call = atlas_model::Call { abi: atlas_model::Abi::I386, nr: 1, args: [0; 6] };
        let sweep = sweep::Sweep { calls: sweep::Calls::These(vec![call; 3]), ..sweep::Sweep::default() };
        let asked = Request::Sweep { jit: None, limit_ms: 1, sweep };
        assert!(matches!(decode_answer(&asked, &swept(3)), Ok(Response::Swept(_))));
        let answer = decode_answer(&asked, &swept(sweep::COUNT));
        assert!(matches!(answer, Err(NotAnAnswer::Count { asked: 3, .. })), "{answer:?}");
    }

    #[test]
    fn a_forged_count_is_refused_before_anything_is_set_aside_for_it() {
        let asked = Request::Sweep { jit: None, limit_ms: 1, sweep: sweep::Sweep::default() };
        // A count with nothing behind it.
        let forged = [SWEPT as u8, 0xff, 0xff, 0xff, 0xff, 0x0f];
        let answer = decode_answer(&asked, &forged);
        assert!(matches!(answer, Err(NotAnAnswer::Count { got: 0xffff_ffff, .. })), "{answer:?}");
        let mut cut = swept(sweep::COUNT);
        cut.truncate(cut.len() / 2);
        assert!(matches!(decode_answer(&asked, &cut), Err(NotAnAnswer::Message(_))));
    }

    fn made(count: usize) -> Vec<crate::Made> {
        let (abi, came) = (atlas_model::Abi::I386, crate::Came::Back(-13));
        vec![
            crate::Made { abi, nr: 39, args: [7; 6], ip: 1 << 40, came, count: 300, path: None, task: 0 };
            count
        ]
    }

    fn traced(calls: usize, stdout: usize) -> Vec<u8> {
        let end = Some(End::Signaled { signal: 31, core: false });
        let (calls, stdout) = (made(calls), vec![b'x'; stdout]);
        encode(&Response::Traced(crate::Traced { end, calls, stdout, tasks: 1, ..Default::default() }))
            .unwrap()
    }

    #[test]
    fn calls_of_a_program_are_counted_before_they_are_decoded() {
        use crate::program::MAX_OUTPUT;
        let asked = Request::Trace(crate::Trace::default());
        assert_eq!(claimed_calls(&traced(300, 0)), Some(300));
        assert_eq!(claimed_calls(&encode(&Response::Hello(Hello::default())).unwrap()), None);
        assert!(decode_answer(&asked, &traced(MAX_CALLS, MAX_OUTPUT)).is_ok());
        let answer = decode_answer(&asked, &traced(MAX_CALLS + 1, 0));
        assert!(matches!(answer, Err(NotAnAnswer::Calls(4097))), "{answer:?}");
        // A count with nothing behind it.
        let forged = [TRACED as u8, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f];
        let answer = decode_answer(&asked, &forged);
        assert!(matches!(answer, Err(NotAnAnswer::Calls(0xffff_ffff))), "{answer:?}");
        let answer = decode_answer(&asked, &traced(1, MAX_OUTPUT + 1));
        assert!(matches!(answer, Err(NotAnAnswer::Kind)), "{answer:?}");
    }

    #[test]
    fn what_is_put_is_stored_and_what_is_traced_is_told() {
        let put = Request::Put(crate::Part { bytes: vec![1], ..crate::Part::default() });
        let stored = encode(&Response::Stored(1)).unwrap();
        assert!(decode_answer(&put, &stored).is_ok());
        assert!(matches!(decode_answer(&put, &traced(1, 1)), Err(NotAnAnswer::Kind)));
        let trace = Request::Trace(crate::Trace::default());
        assert!(matches!(decode_answer(&trace, &stored), Err(NotAnAnswer::Kind)));
        assert!(matches!(decode_answer(&Request::Hello, &traced(1, 1)), Err(NotAnAnswer::Kind)));
    }
}
