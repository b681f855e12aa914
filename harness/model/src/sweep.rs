//! The sweep: what a filter answers to every call there is a number for, none of them carried out.
//!
//! A [`marker`] filter is attached before the filter that is looked at. It answers every call with
//! one errno that the other filter never gives, so that no call runs, and an answer tells which of
//! the two decided: the errno of the marker says that the filter let the call through, by ALLOW,
//! LOG, TRACE or USER_NOTIF, all of which are weaker than ERRNO (seccomp(2), "Filters").
//!
//! The guest's half is `atlas_edge::sweep`; [`crate::expect::behind`] says what it must see.

use crate::abi::offset;
use crate::experiment::layout;
use crate::observation::Sigsys;
use crate::{Abi, Action, Call, Filter, bpf};
use serde::{Deserialize, Serialize};

/// Numbers from 0 that are asked for, without and with the x32 bit. The tables of all kernels so far
/// end below 600.
pub const NUMBERS: u32 = 1024;
/// Numbers at the edges of what a filter may compare with.
pub const EDGES: [u32; 4] = [Abi::X32_BIT - 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
/// How many calls a sweep of every number makes, and how many any sweep may make.
pub const COUNT: usize = 2 * (2 * NUMBERS as usize + EDGES.len());

/// What is to be swept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// The filter that is looked at.
    pub filter: Filter,
    /// The errno of the [`marker`].
    pub marker: u16,
    /// The calls.
    pub calls: Calls,
    /// Whether the tracer may suspend the filters of the task that makes the calling processes
    /// (`PTRACE_O_SUSPEND_SECCOMP`). It costs nothing but time where it may not or cannot.
    pub suspend: bool,
}

/// The calls of a sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Calls {
    /// Those of [`calls`], with these argument registers.
    Every([u64; 6]),
    /// These, [`COUNT`] at most.
    These(Vec<Call>),
}

impl Default for Calls {
    fn default() -> Self {
        Self::Every([0; 6])
    }
}

impl Calls {
    /// The calls, in the order in which they are made.
    #[must_use]
    pub fn list(&self) -> Vec<Call> {
        match self {
            Self::Every(args) => calls(*args),
            Self::These(calls) => calls.clone(),
        }
    }

    /// How many they are.
    ///
    /// ```
    /// use atlas_model::sweep::{self, Calls};
    /// assert_eq!(Calls::Every([0; 6]).count(), sweep::COUNT);
    /// assert_eq!(Calls::These(vec![]).count(), 0);
    /// ```
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Every(_) => COUNT,
            Self::These(calls) => calls.len(),
        }
    }
}

/// What came of one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It came back with this value: an errno negated, the marker's among them.
    Value(i64),
    /// It came as a SIGSYS that a handler saw.
    Trap(Sigsys),
    /// It ended the process by this signal.
    Killed(i32),
}

/// What was seen of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// One answer a call, in the order of [`Calls::list`].
    pub answers: Vec<Answer>,
    /// Whether the maker's filters were suspended, so that children inherited theirs.
    pub suspended: bool,
    /// How many processes were needed: one, and one more for each that a call ended.
    pub children: u32,
    /// How long it took in the guest, in microseconds.
    pub micros: u64,
}

/// The calls of a sweep: by the `syscall` instruction the numbers from 0, the same with the x32 bit,
/// and the [`EDGES`]; then the same numbers by `int $0x80`.
///
/// ```
/// use atlas_model::sweep;
/// assert_eq!(sweep::calls([0; 6]).len(), sweep::COUNT);
/// ```
#[must_use]
pub fn calls(args: [u64; 6]) -> Vec<Call> {
    let numbers = || (0..NUMBERS).chain((0..NUMBERS).map(|nr| nr | Abi::X32_BIT)).chain(EDGES);
    let by_syscall = numbers().filter_map(|nr| Some((Abi::of(Abi::X86_64.audit_arch(), nr)?, nr)));
    let by_int80 = numbers().map(|nr| (Abi::I386, nr));
    by_syscall.chain(by_int80).map(|(abi, nr)| Call { abi, nr: nr.into(), args }).collect()
}

/// The filter that goes below the one that is looked at: every call is answered with this errno, but
/// for calls from [`layout::SWEEP_IP`], by which the sweep itself goes on.
///
/// ```
/// use atlas_model::{Abi, Action, bpf, sweep};
/// use atlas_model::abi::SeccompData;
/// use atlas_model::experiment::layout;
/// let (marker, from) = (sweep::marker(4000), |ip| SeccompData { instruction_pointer: ip, ..SeccompData::default() });
/// let answer = |ip| Action::from_word(bpf::run(&marker, &from(ip), &bpf::Dialect::default()).word);
/// assert_eq!(answer(layout::SYSCALL_IP), Action::Errno(4000));
/// assert_eq!(answer(layout::SWEEP_IP), Action::Allow);
/// ```
#[must_use]
pub fn marker(errno: u16) -> Filter {
    Filter(vec![
        bpf::ld(offset::IP_LOW),
        bpf::jeq(layout::SWEEP_IP as u32, 0, 3),
        bpf::ld(offset::IP_HIGH),
        bpf::jeq((layout::SWEEP_IP >> 32) as u32, 0, 1),
        bpf::ret(Action::Allow),
        bpf::ret(Action::Errno(errno)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_call_is_there_once_and_under_its_abi() {
        let calls = calls([7; 6]);
        let of = |abi| calls.iter().filter(move |call| call.abi == abi).map(|call| call.nr as u32);
        let (native, x32, i386) = (of(Abi::X86_64), of(Abi::X32), of(Abi::I386));
        let native: BTreeSet<u32> = native.collect();
        assert_eq!(native.len(), 1024 + 3);
        assert!(native.contains(&0) && native.contains(&1023) && native.contains(&u32::MAX));
        let x32: BTreeSet<u32> = x32.collect();
        assert_eq!(x32.len(), 1024 + 1);
        assert!(x32.contains(&0x4000_0000) && x32.contains(&0x4000_03ff) && x32.contains(&0x7fff_ffff));
        assert_eq!(i386.collect::<BTreeSet<u32>>(), native.union(&x32).copied().collect());
        assert_eq!(calls.len(), COUNT);
    }

    #[test]
    fn the_marker_looks_at_both_halves_of_the_address() {
        use crate::abi::SeccompData;
        for ip in [layout::SWEEP_IP & 0xffff_ffff, layout::SWEEP_IP ^ 1 << 40, layout::INT80_IP] {
            let data = SeccompData { instruction_pointer: ip, ..SeccompData::default() };
            let word = bpf::run(&marker(9), &data, &bpf::Dialect::default()).word;
            assert_eq!(Action::from_word(word), Action::Errno(9), "{ip:#x}");
        }
    }
}
