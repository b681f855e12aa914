//! What programs are made of. A node falls through to the next, and any node may be left out: what is
//! left is still a program.

use super::exit::Test;
use super::layout::{Label, Layout};
use crate::abi::offset;
use crate::bpf::{self, Insn, op};

/// A number of a call: one's own, or one that others are about too.
#[derive(Clone, Copy, Debug)]
pub(in crate::arbitrary) enum Number {
    Topic(u8),
    Own(u32),
}

impl Number {
    fn of(self, topic: &[u32]) -> u32 {
        match self {
            Self::Own(number) => number,
            Self::Topic(index) => topic.get(usize::from(index) % topic.len().max(1)).copied().unwrap_or(0),
        }
    }
}

/// Where a jump leads.
#[derive(Clone, Copy, Debug)]
pub(in crate::arbitrary) enum Target {
    Next,
    Ahead(u8),
    Exit(u8),
}

impl Target {
    fn lay(self, layout: &mut Layout<'_>, next: Label) -> Label {
        match self {
            Self::Next => next,
            Self::Ahead(nodes) => layout.ahead(nodes),
            Self::Exit(index) => layout.exit(index),
        }
    }
}

/// How a field of 64 bits is compared.
#[derive(Clone, Copy, Debug)]
pub(in crate::arbitrary) enum Wide {
    Equal,
    Greater,
    GreaterOrEqual,
    Set,
    Masked(u64),
}

/// What a long jump leads over.
#[derive(Clone, Copy, Debug)]
pub(in crate::arbitrary) enum Pad {
    Sums,
    Loads,
    Comparisons,
    Returns,
}

/// One piece of a program.
#[derive(Clone, Debug)]
pub(in crate::arbitrary) enum Node {
    /// Instructions one after the other, none a jump.
    Plain(Vec<Insn>),
    /// Leaves for other arches, or for this one.
    Arch { arch: u32, other: bool, exit: u8 },
    /// Compares the number one by one.
    List { numbers: Vec<Number>, exit: u8 },
    /// Finds the number by halving.
    Tree { numbers: Vec<(Number, u8)> },
    /// Compares a field of 64 bits, 0 being the instruction pointer; `not` leaves where it is untrue.
    Wide { field: u32, wide: Wide, value: u64, not: bool, exit: u8 },
    /// Loads, computes, and compares: a masked argument, for example.
    Test { before: Vec<Insn>, test: Test, yes: Target, no: Target },
    /// Jumps over nodes.
    Jump(u8),
    /// Jumps over so many instructions, by `jt` or by `jf`.
    Far { test: Test, over: usize, pad: Pad, by_jf: bool },
    /// Ends.
    Stop(u8),
    /// An instruction that is to be replaced by another.
    Hole(Around),
}

/// What stands around a hole. The scratch word is [`Layout::untouched`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::arbitrary) enum Around {
    Nothing,
    /// A store of the scratch word in front, on one path of two.
    StoreOnOnePath(u32),
    /// A store of the scratch word in front, where nothing leads.
    StoreUnreached,
}

impl Node {
    /// At least as many instructions as it becomes.
    pub(in crate::arbitrary) fn most(&self) -> usize {
        match self {
            Self::Plain(insns) => 2 * insns.len(),
            Self::Test { before, .. } => 2 * before.len() + 13,
            Self::List { numbers, .. } => 9 * numbers.len() + 8,
            Self::Tree { numbers } => 12 * numbers.len() + 8,
            Self::Far { over, .. } => over + 5,
            _ => 24,
        }
    }

    pub(in crate::arbitrary) fn lay(&self, layout: &mut Layout<'_>) {
        let next = layout.here();
        match self {
            Self::Plain(insns) => plain(layout, insns),
            &Self::Arch { arch, other, exit } => {
                let exit = layout.exit(exit);
                let (yes, no) = if other { (next, exit) } else { (exit, next) };
                layout.branch(Test::equal(arch), yes, no);
                layout.push(bpf::ld(offset::ARCH));
            }
            Self::List { numbers, exit } => {
                let rows = numbers.iter().map(|number| (number.of(layout.topic), *exit));
                list(layout, &rows.collect::<Vec<_>>(), next);
                layout.push(bpf::ld(offset::NR));
            }
            Self::Tree { numbers } => {
                let rows = numbers.iter().map(|(number, exit)| (number.of(layout.topic), *exit));
                let mut rows: Vec<_> = rows.collect();
                rows.sort_unstable();
                rows.dedup_by_key(|row| row.0);
                tree(layout, &rows, next);
                layout.push(bpf::ld(offset::NR));
            }
            &Self::Wide { field, wide, value, not, exit } => {
                let exit = layout.exit(exit);
                let (yes, no) = if not { (next, exit) } else { (exit, next) };
                wide.lay(layout, 8 + 8 * (field % 7), value, yes, no);
            }
            Self::Test { before, test, yes, no } => {
                let no = no.lay(layout, next);
                let yes = yes.lay(layout, next);
                layout.branch(*test, yes, no);
                plain(layout, before);
            }
            Self::Jump(nodes) => layout.goto(layout.ahead(*nodes)),
            &Self::Far { test, over, pad, by_jf } => {
                let pads: Vec<Insn> = (0..over).map(|at| pad.insn(at as u32, layout)).collect();
                layout.run(&pads);
                let after = layout.here();
                let (yes, no) = if by_jf { (after, next) } else { (next, after) };
                layout.branch(test, yes, no);
            }
            Self::Stop(exit) => {
                let exit = layout.exit(*exit);
                if exit != layout.here() {
                    layout.goto(exit);
                }
            }
            Self::Hole(around) => {
                layout.push(bpf::imm(0));
                let hole = layout.here();
                layout.hole = Some(hole);
                let store = bpf::st(layout.untouched.unwrap_or(0));
                match *around {
                    Around::Nothing => {}
                    Around::StoreOnOnePath(k) => {
                        layout.push(store);
                        layout.branch(Test::equal(k), hole, layout.here());
                    }
                    Around::StoreUnreached => {
                        layout.push(store);
                        layout.goto(hole);
                    }
                }
            }
        }
    }
}

fn plain(layout: &mut Layout<'_>, insns: &[Insn]) {
    for insn in insns.iter().rev() {
        let insn = match op::kind(insn.code) {
            Some(op::Kind::LoadMemory { .. } | op::Kind::Store { .. }) => {
                Insn { k: layout.scratch(insn.k), ..*insn }
            }
            _ => *insn,
        };
        layout.push(insn);
        if layout.no_zero_division && insn.code == op::ALU | op::DIV | op::X {
            layout.push(bpf::ldx_imm(1 + layout.here() as u32 % 7));
        }
    }
}

fn list(layout: &mut Layout<'_>, rows: &[(u32, u8)], miss: Label) {
    let mut no = miss;
    for &(number, exit) in rows.iter().rev() {
        let yes = layout.exit(exit);
        layout.branch(Test::equal(number), yes, no);
        no = layout.here();
    }
}

/// As libseccomp lays numbers out when it is told to optimise: halved until a few are left.
fn tree(layout: &mut Layout<'_>, rows: &[(u32, u8)], miss: Label) {
    if rows.len() <= 2 {
        return list(layout, rows, miss);
    }
    let (lower, upper) = rows.split_at(rows.len() / 2);
    tree(layout, upper, miss);
    let right = layout.here();
    tree(layout, lower, miss);
    let left = layout.here();
    layout.branch(Test { op: op::JGE, x: false, k: upper[0].0 }, right, left);
}

impl Wide {
    fn lay(self, layout: &mut Layout<'_>, at: u32, value: u64, yes: Label, no: Label) {
        let (low_at, high_at) = (at + offset::arg_low(0) - 16, at + offset::arg_high(0) - 16);
        let mask = if let Self::Masked(mask) = self { mask } else { u64::MAX };
        let halves = |value: u64| (value as u32, (value >> 32) as u32);
        let ((low, high), (low_mask, high_mask)) = (halves(value & mask), halves(mask));
        let load = |layout: &mut Layout<'_>, at, mask| {
            if matches!(self, Self::Masked(_)) {
                layout.push(bpf::alu(op::AND, mask));
            }
            layout.push(bpf::ld(at));
        };
        let test = |op, k| Test { op, x: false, k };
        let low_op = match self {
            Self::Equal | Self::Masked(_) => op::JEQ,
            Self::Greater => op::JGT,
            Self::GreaterOrEqual => op::JGE,
            Self::Set => op::JSET,
        };
        layout.branch(test(low_op, low), yes, no);
        load(layout, low_at, low_mask);
        let lower = layout.here();
        match self {
            Self::Equal | Self::Masked(_) => layout.branch(test(op::JEQ, high), lower, no),
            Self::Set => layout.branch(test(op::JSET, high), yes, lower),
            Self::Greater | Self::GreaterOrEqual => {
                layout.branch(test(op::JEQ, high), lower, no);
                let equal = layout.here();
                layout.branch(test(op::JGT, high), yes, equal);
            }
        }
        load(layout, high_at, high_mask);
    }
}

impl Pad {
    fn insn(self, at: u32, layout: &Layout<'_>) -> Insn {
        match self {
            Self::Sums => bpf::alu(op::ADD, at),
            Self::Loads => bpf::ld(4 * (at % 16)),
            Self::Comparisons => bpf::jeq(at, 0, 0),
            Self::Returns => layout.word(at).map_or(bpf::imm(at), bpf::ret_word),
        }
    }
}
