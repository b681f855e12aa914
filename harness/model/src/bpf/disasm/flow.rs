//! What is known before each instruction, along every path that leads there.

use crate::abi::{Abi, offset};
use crate::bpf::Insn;
use crate::bpf::op::{self, Kind};

/// What A holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Number,
    Arch,
    /// Anything else, or not the same on every path.
    Other,
}

/// Which arches of an x86-64 kernel the checks passed so far leave possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arches(u8);

impl Arches {
    pub(super) const X86_64: Self = Self(1);
    pub(super) const I386: Self = Self(2);
    const ALL: Self = Self(3);

    fn of(word: u32) -> Self {
        let is = |abi: Abi| abi.audit_arch() == word;
        if is(Abi::X86_64) {
            Self::X86_64
        } else if is(Abi::I386) {
            Self::I386
        } else {
            Self(0)
        }
    }

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What is known before an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) a: Holds,
    pub(super) arches: Arches,
}

impl Known {
    pub(super) const AT_ENTRY: Self = Self { a: Holds::Other, arches: Arches::ALL };

    fn or(self, other: Self) -> Self {
        let a = if self.a == other.a { self.a } else { Holds::Other };
        Self { a, arches: Arches(self.arches.0 | other.arches.0) }
    }
}

/// What is known before each instruction; `None` where no path leads. Jumps only go forward, so one
/// pass will do. Only the arch check by JEQ narrows anything.
pub(super) fn known_at(insns: &[Insn]) -> Vec<Option<Known>> {
    let mut known: Vec<Option<Known>> = vec![None; insns.len()];
    if let Some(first) = known.first_mut() {
        *first = Some(Known::AT_ENTRY);
    }
    for (at, insn) in insns.iter().enumerate() {
        let Some(here) = known[at] else { continue };
        let mut reach = |skip: u32, there: Known| {
            // A filter that was not checked may jump anywhere.
            if let Some(target) = known.get_mut((at + 1).saturating_add(skip as usize)) {
                *target = Some(target.map_or(there, |other| other.or(there)));
            }
        };
        let with = |a: Holds| Known { a, ..here };
        match op::kind(insn.code) {
            Some(Kind::Return { .. }) => {}
            Some(Kind::Jump) => reach(insn.k, here),
            Some(Kind::Branch { op: op::JEQ, x: false }) if here.a == Holds::Arch => {
                let compared = Arches::of(insn.k).0;
                let leaving = |arches: u8| Known { arches: Arches(here.arches.0 & arches), ..here };
                reach(insn.jt.into(), leaving(compared));
                reach(insn.jf.into(), leaving(!compared));
            }
            Some(Kind::Branch { .. }) => {
                reach(insn.jt.into(), here);
                reach(insn.jf.into(), here);
            }
            Some(Kind::LoadData) => {
                let a = match insn.k {
                    offset::NR => Holds::Number,
                    offset::ARCH => Holds::Arch,
                    _ => Holds::Other,
                };
                reach(0, with(a));
            }
            Some(
                Kind::Store { .. }
                | Kind::Copy { to_x: true }
                | Kind::Load { x: true }
                | Kind::LoadMemory { x: true },
            ) => reach(0, here),
            _ => reach(0, with(Holds::Other)),
        }
    }
    known
}
