//! One call's way, and what its comparisons are of.

use super::{Test, Way};
use crate::abi::SeccompData;
use crate::bpf::op::{self, Kind};
use crate::bpf::{Dialect, Insn, MEMORY_WORDS, run_seen};

/// A way, and every comparison on it.
pub(super) struct Walked {
    pub(super) way: Way,
    pub(super) branches: Vec<Branch>,
}

/// A comparison whose outcome matters, or a return of what is not constant.
pub(super) struct Branch {
    /// The instruction.
    pub(super) at: usize,
    /// What it compared, where that is a word of the call or some of its bits.
    pub(super) test: Option<Test>,
}

/// What a register or a scratch word holds.
#[derive(Clone, Copy)]
enum Holds {
    Word { at: u32, mask: u32 },
    Constant(u32),
    Other,
}

/// Runs a call, and goes over its way once more to see what is compared.
pub(super) fn walk(insns: &[Insn], data: &SeccompData, dialect: &Dialect) -> Walked {
    let mut steps = Vec::new();
    let ran = run_seen(insns, data, dialect, |at| steps.push(at));
    let (mut a, mut x) = (Holds::Constant(0), Holds::Constant(0));
    let mut memory = [Holds::Constant(0); MEMORY_WORDS];
    let mut branches = Vec::new();
    for (index, &at) in steps.iter().enumerate() {
        let insn = insns[at];
        let cell = insn.k as usize % MEMORY_WORDS;
        match op::kind(insn.code) {
            // What is returned may be as many words as there are calls.
            Some(Kind::Return { a: true }) if !matches!(a, Holds::Constant(_)) => {
                branches.push(Branch { at, test: None });
            }
            None | Some(Kind::Jump | Kind::Return { .. }) => {}
            Some(Kind::LoadData) => a = Holds::Word { at: insn.k, mask: u32::MAX },
            Some(Kind::Load { x: into_x }) => {
                let value = if op::is_length(insn.code) { SeccompData::LEN } else { insn.k };
                *(if into_x { &mut x } else { &mut a }) = Holds::Constant(value);
            }
            Some(Kind::LoadMemory { x: into_x }) => *(if into_x { &mut x } else { &mut a }) = memory[cell],
            Some(Kind::Store { x: from_x }) => memory[cell] = if from_x { x } else { a },
            Some(Kind::Copy { to_x: true }) => x = a,
            Some(Kind::Copy { to_x: false }) => a = x,
            Some(Kind::Alu { op, x: by_x }) => {
                if op == op::DIV && by_x {
                    // A division by 0 ends the run, so it is a comparison too.
                    let holds = index + 1 == steps.len();
                    branches.extend(comparison(at, x, op::JEQ, Holds::Constant(0), holds));
                }
                let operand = if by_x { x } else { Holds::Constant(insn.k) };
                a = match (op, a, operand) {
                    (op::AND, Holds::Word { at, mask }, Holds::Constant(k)) => {
                        Holds::Word { at, mask: mask & k }
                    }
                    _ => Holds::Other,
                };
            }
            Some(Kind::Branch { op, x: by_x }) if insn.jt != insn.jf => {
                // The last instruction of a way decides, and is no comparison.
                let Some(next) = steps.get(index + 1) else { continue };
                let holds = *next == at + 1 + usize::from(insn.jt);
                let operand = if by_x { x } else { Holds::Constant(insn.k) };
                branches.extend(comparison(at, a, op, operand, holds));
            }
            Some(Kind::Branch { .. }) => {}
        }
    }
    let tests = branches.iter().filter_map(|branch| branch.test).collect();
    Walked { way: Way { data: *data, steps, tests, ran }, branches }
}

/// What an instruction compared; `None` for two constants, which compare as they do.
fn comparison(insn: usize, one: Holds, op: u16, other: Holds, holds: bool) -> Option<Branch> {
    let test = match (one, other) {
        (Holds::Word { at, mask }, Holds::Constant(k)) => Some(Test { at, mask, op, k, holds }),
        (Holds::Constant(_), Holds::Constant(_)) => return None,
        _ => None,
    };
    Some(Branch { at: insn, test })
}
