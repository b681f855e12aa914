//! Several filters of one task, the newest first, as [`crate::bpf::explain()`] takes them.
//!
//! They are about the same few calls and draw on the same few words, so that several answer the same
//! call: with different actions, with the same, and with the same but other data. The longest together can
//! exceed what a kernel lets a task have ([`crate::bpf::CHAIN_LIMIT`]).

use super::call::with_filters;
use super::program::{self, draft};
use crate::bpf::Filter;
use crate::experiment::Call;
use proptest::collection::vec;
use proptest::prelude::*;

/// One to six accepted filters, the newest first.
pub fn stack() -> BoxedStrategy<Vec<Filter>> {
    // Small numbers choose of the shared words, others add to their data or are words of their own.
    let exit = program::exit_of(any::<u16>().prop_map(u32::from).boxed());
    (vec(program::word(), 1..4), program::topic(), vec(draft(exit), 1..=6))
        .prop_map(|(words, topic, drafts)| {
            let answer = |index: u32| {
                let word = words[index as usize % words.len()];
                match index >> 8 {
                    0..160 => word,
                    160..208 => word ^ (index & 3),
                    // Allowed, so that an older filter decides.
                    _ => 0x7fff_0000,
                }
            };
            let lay_out = |draft: &program::Draft| draft.with_words(answer).lay_out(&topic);
            drafts.iter().map(lay_out).collect()
        })
        .boxed()
}

/// Filters as of [`stack()`], and one to eight calls near them.
pub fn stack_and_calls() -> BoxedStrategy<(Vec<Filter>, Vec<Call>)> {
    with_filters(stack(), 8)
}
