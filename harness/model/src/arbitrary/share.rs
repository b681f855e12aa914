//! How much of what the generators give is interesting.
//!
//! A generator that drifts gives tests that pass and say nothing. So each says here what share of its
//! output is of use at least, and `tests/arbitrary.rs` of this crate measures it with a fixed seed.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// Of [`super::program::valid()`]: 80 instructions or fewer.
pub const VALID_SHORT: f64 = 0.6;
/// Of [`super::program::valid()`]: a conditional jump of exactly 255.
pub const VALID_JUMP_255: f64 = 0.05;
/// Of [`super::program::valid()`]: an unconditional jump of more than 255.
pub const VALID_JUMP_FAR: f64 = 0.1;
/// Of [`super::program::valid()`]: a scratch word is loaded.
pub const VALID_SCRATCH: f64 = 0.25;
/// Of [`super::program::valid()`]: some call near it ends at a division by an X of 0.
pub const VALID_ZERO_DIVISION: f64 = 0.02;
/// Of [`super::program::valid()`]: a field is set that the operation does not use.
pub const VALID_NOISE: f64 = 0.05;
/// Of the ways that the conditional jumps of [`super::program::valid()`] can go, those included that
/// nothing can reach: what 40 calls by [`super::call::near_program()`] take, on average of the programs of
/// 80 instructions or fewer.
pub const NEAR_PROGRAM_SIDES: f64 = 0.6;
/// Of [`super::policy::policy()`]: two rules of one ABI and number with different actions.
pub const POLICY_OVERLAP: f64 = 0.6;
/// Of [`super::policy::policy()`]: more than one ABI.
pub const POLICY_ABIS: f64 = 0.15;
/// Of [`super::call::near_policy()`], where the policy has a conditional rule: such a rule decides.
pub const NEAR_POLICY_HIT: f64 = 0.45;
/// Of [`super::call::near_policy()`], where the policy has a conditional rule: exactly one condition of
/// some rule is missed.
pub const NEAR_POLICY_MISS: f64 = 0.6;
/// Of the calls of [`super::stack::stack_and_calls()`], where there are several filters: one decides that is
/// not the newest.
pub const STACK_OLDER: f64 = 0.3;
/// As [`STACK_OLDER`]: two filters object with different actions.
pub const STACK_ACTIONS: f64 = 0.3;
/// As [`STACK_OLDER`]: two filters object with the same action and different data.
pub const STACK_DATA: f64 = 0.25;
/// As [`STACK_OLDER`]: two filters object with the same word.
pub const STACK_SAME: f64 = 0.4;
/// Of [`super::broken::soup()`]: the checker refuses it.
pub const SOUP_REFUSED: f64 = 0.9;

/// So many values of a strategy, the same at every run.
pub fn samples<S: Strategy>(strategy: &S, count: usize) -> impl Iterator<Item = S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..count)
        .map(move |_| strategy.new_tree(&mut runner).expect("no strategy here rejects so often").current())
}

/// What share of so many values something holds of.
pub fn of<S: Strategy>(strategy: &S, count: usize, holds: impl Fn(&S::Value) -> bool) -> f64 {
    samples(strategy, count).filter(holds).count() as f64 / count as f64
}
