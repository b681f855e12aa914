//! Calls aimed at the constants of policies and programs.
//!
//! An [`Aim`] is drawn without knowing the target, and is turned into a call once there is one. So a test
//! may draw target and calls side by side, and both shrink.

use super::call;
use crate::abi::{Abi, SeccompData, offset};
use crate::bpf::op::{self, Kind};
use crate::bpf::{Filter, Insn};
use crate::experiment::Call;
use crate::policy::{Comparison, Condition, Policy, Rule};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// What is known of a call before its target is.
#[derive(Clone, Debug)]
pub(in crate::arbitrary) struct Aim {
    how: How,
    /// Which rule, number or ABI.
    which: u32,
    /// Which of the candidates for each word.
    choices: [u8; 12],
    /// What is taken where the target says nothing.
    otherwise: Call,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Hit,
    Miss,
    Stray,
}

impl Aim {
    /// The strategy, which is made once a thread, as tests ask for it once a filter.
    pub(in crate::arbitrary) fn any() -> BoxedStrategy<Self> {
        thread_local! {
            static ANY: BoxedStrategy<Aim> = (0..10_u8, any::<u32>(), any::<[u8; 12]>(), call())
                .prop_map(|(how, which, choices, otherwise)| {
                    let how = match how {
                        0..5 => How::Hit,
                        5..9 => How::Miss,
                        _ => How::Stray,
                    };
                    Aim { how, which, choices, otherwise }
                })
                .boxed();
        }
        ANY.with(BoxedStrategy::clone)
    }

    pub(in crate::arbitrary) fn at_policy(&self, policy: &Policy) -> Call {
        let conditional: Vec<&Rule> =
            policy.rules.iter().filter(|rule| !rule.conditions.is_empty()).collect();
        let all: Vec<&Rule> = policy.rules.iter().collect();
        let Some(&rule) = pick(if conditional.is_empty() { &all } else { &conditional }, self.which) else {
            return self.otherwise;
        };
        let mut call = Call { abi: rule.abi, nr: u64::from(rule.nr), args: self.otherwise.args };
        if self.how == How::Stray {
            match self.choices[0] % 4 {
                0 => call.nr = (call.nr + 1) & 0xffff_ffff,
                1 => call.nr = call.nr.saturating_sub(1),
                2 => call.abi = self.otherwise.abi,
                _ => return self.otherwise,
            }
        }
        let missed = (self.how == How::Miss && !rule.conditions.is_empty())
            .then(|| rule.conditions[self.choices[6] as usize % rule.conditions.len()]);
        for arg in 0..6_u8 {
            let on: Vec<Condition> =
                rule.conditions.iter().filter(|condition| condition.arg == arg).copied().collect();
            if on.is_empty() {
                continue;
            }
            let random = self.otherwise.args[usize::from(arg)];
            let mut candidates: Vec<u64> =
                on.iter().flat_map(|condition| around(condition, random)).collect();
            let holds = |condition: &Condition, value: u64| {
                let mut args = [0; 6];
                args[usize::from(arg)] = value;
                condition.holds(rule.abi, &SeccompData { args, ..SeccompData::default() })
            };
            let wrong = |value: u64| {
                let as_wished =
                    |condition: &&Condition| holds(condition, value) != (Some(**condition) == missed);
                on.len() - on.iter().filter(as_wished).count()
            };
            // Those that come closest to what is wished.
            let least = candidates.iter().map(|&value| wrong(value)).min();
            candidates.retain(|&value| Some(wrong(value)) == least);
            let choice = self.choices[usize::from(arg)].into();
            call.args[usize::from(arg)] = pick(&candidates, choice).copied().unwrap_or(random);
        }
        call
    }

    pub(in crate::arbitrary) fn at_program(&self, constants: &Constants) -> Call {
        let mut call = self.otherwise;
        // Every choice is used for a word of the arguments, so the number and the ABI go by `which`.
        let [by_number, by_abi, ..] = self.which.to_le_bytes();
        if by_number % 8 != 0 {
            let number = pick(constants.of_word(offset::NR), self.which >> 16);
            call.nr = number.map_or(call.nr, |&number| number.into());
        }
        call.abi = match by_abi {
            0..160 if call.nr as u32 & Abi::X32_BIT == 0 => Abi::X86_64,
            0..160 => Abi::X32,
            _ => self.otherwise.abi,
        };
        if call.abi == Abi::X32 {
            call.nr |= u64::from(Abi::X32_BIT);
        }
        for arg in 0..6_u32 {
            let half = |at: u32, choice: u8, otherwise: u64| match choice {
                // One in eight stays what it was.
                0..32 => otherwise as u32,
                _ => pick(constants.of_word(at), choice.into()).copied().unwrap_or(otherwise as u32),
            };
            let index = arg as usize;
            let low = half(offset::arg_low(arg), self.choices[index], call.args[index]);
            let high = half(offset::arg_high(arg), self.choices[6 + index], call.args[index] >> 32);
            call.args[index] = u64::from(high) << 32 | u64::from(low);
        }
        call
    }
}

fn pick<T>(of: &[T], which: u32) -> Option<&T> {
    (!of.is_empty()).then(|| &of[which as usize % of.len()])
}

/// Values at and beside what a condition changes at.
fn around(condition: &Condition, random: u64) -> Vec<u64> {
    let Condition { value, comparison, .. } = *condition;
    let mut values = vec![
        value,
        value.wrapping_add(1),
        value.wrapping_sub(1),
        value.rotate_left(32),
        value ^ 1 << 32,
        value ^ 1 << 63,
        value & 0xffff_ffff,
        value | 0xffff_ffff_0000_0000,
        0,
        u64::MAX,
        random,
    ];
    if let Comparison::Masked(mask) = comparison {
        let under = |bits: u64| value & mask | bits & !mask;
        values = vec![under(0), under(random), under(u64::MAX)];
        // A bit under the mask is flipped: the lowest, the highest, and each half's.
        let bits = (0..64).filter(|bit| mask >> bit & 1 == 1);
        let (first, last) = (bits.clone().next(), bits.clone().next_back());
        let (below, above) = (bits.clone().rfind(|bit| *bit < 32), bits.clone().find(|bit| *bit >= 32));
        for bit in [first, last, below, above].into_iter().flatten() {
            values.extend([under(0) ^ 1 << bit, under(random) ^ 1 << bit]);
        }
        values.push(value.rotate_left(32));
    }
    values
}

/// What a program compares the words of `seccomp_data` with.
#[derive(Clone, Debug)]
pub(in crate::arbitrary) struct Constants {
    words: [Vec<u32>; 16],
}

/// Where A comes from, at one place of a program.
#[derive(Clone, Debug, Default)]
struct From {
    /// The word's index, and what was done to it.
    word: Option<(usize, Vec<Insn>)>,
    x: Option<u32>,
}

/// So much work on a word is worked back through.
const WORK: usize = 6;

impl Constants {
    pub(in crate::arbitrary) fn of<'a>(filters: impl IntoIterator<Item = &'a Filter>) -> Self {
        let mut words: [BTreeSet<u32>; 16] = Default::default();
        for filter in filters {
            collect(filter, &mut words);
        }
        Self { words: words.map(|set| set.into_iter().collect()) }
    }

    fn of_word(&self, at: u32) -> &[u32] {
        &self.words[at as usize / 4]
    }
}

/// Follows A along the first path to each place.
fn collect(filter: &[Insn], words: &mut [BTreeSet<u32>; 16]) {
    let mut at_target: Vec<Option<From>> = vec![None; filter.len() + 1];
    let mut now = Some(From::default());
    for (at, insn) in filter.iter().enumerate() {
        let arrived = at_target[at].take();
        let Some(mut from) = now.take().or(arrived) else { continue };
        let mut jump = |skip: u32, from: &From| {
            let target = at_target.get_mut(at + 1 + skip as usize);
            if let Some(place @ None) = target {
                *place = Some(from.clone());
            }
        };
        match op::kind(insn.code) {
            None | Some(Kind::Return { .. }) => continue,
            Some(Kind::LoadData) => {
                from.word = (insn.k < SeccompData::LEN).then(|| (insn.k as usize / 4, Vec::new()));
            }
            Some(Kind::Load { x: true }) => from.x = Some(if insn.code == op::LDX_IMM { insn.k } else { 64 }),
            Some(Kind::Load { x: false } | Kind::LoadMemory { x: false } | Kind::Copy { to_x: false }) => {
                from.word = None;
            }
            Some(Kind::LoadMemory { x: true } | Kind::Copy { to_x: true }) => from.x = None,
            Some(Kind::Store { .. }) => {}
            Some(Kind::Alu { x, .. }) => {
                let by = if x { from.x } else { Some(insn.k) };
                match (&mut from.word, by) {
                    (Some((_, work)), Some(k)) if work.len() < WORK => work.push(Insn { k, ..*insn }),
                    _ => from.word = None,
                }
            }
            Some(Kind::Jump) => {
                jump(insn.k, &from);
                continue;
            }
            Some(Kind::Branch { op, x }) => {
                let k = if x { from.x } else { Some(insn.k) };
                if let (Some((word, work)), Some(k)) = (&from.word, k) {
                    words[*word].extend(compared(op, k).into_iter().map(|value| undone(work, value)));
                }
                jump(insn.jt.into(), &from);
                jump(insn.jf.into(), &from);
                continue;
            }
        }
        now = Some(from);
    }
}

/// Values on both sides of a comparison.
fn compared(operation: u16, k: u32) -> Vec<u32> {
    match operation {
        op::JSET => vec![k, 0, !k, k & k.wrapping_neg(), u32::MAX],
        op::JEQ => vec![k, k.wrapping_add(1)],
        _ => vec![k, k.wrapping_add(1), k.wrapping_sub(1)],
    }
}

/// The word from which this work makes the value, or comes near.
fn undone(work: &[Insn], value: u32) -> u32 {
    work.iter().rev().fold(value, |value, insn| match insn.code & 0xf0 {
        op::ADD => value.wrapping_sub(insn.k),
        op::SUB => value.wrapping_add(insn.k),
        op::XOR => value ^ insn.k,
        op::NEG => value.wrapping_neg(),
        op::MUL => value.checked_div(insn.k).unwrap_or(value),
        op::DIV => value.wrapping_mul(insn.k),
        op::LSH => value >> (insn.k % 32),
        op::RSH => value << (insn.k % 32),
        // What a mask takes away may be anything.
        op::AND => value & insn.k | !insn.k & 0xa5a5_a5a5,
        _ => value & !insn.k,
    })
}
