//! Filters that the checker refuses: accepted ones with one rule broken, and soup.

use super::program::node::{Around, Node};
use super::program::{self, Draft, exit_of, valid, word};
use crate::bpf::{self, Filter, Insn, MAX_INSNS, MEMORY_WORDS, Rule, op};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A way to break one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Break {
    /// No instruction at all.
    Empty,
    /// More than 4096 instructions.
    TooLong,
    /// A code that is none of classic BPF's.
    UnknownCode,
    /// A code that reads packets.
    PacketCode,
    /// MOD, by a constant or X.
    Modulo,
    /// MOD by the constant 0.
    ModuloByZero,
    /// Division by the constant 0.
    DivisionByZero,
    /// A shift by a constant of 32 or more. Dialects with `wide_shift` accept it.
    WideShift,
    /// A load within the data, not at a multiple of four.
    Unaligned,
    /// A load beyond the data, and not of the range of socket extensions.
    Beyond,
    /// A load of the range of socket extensions.
    Extension,
    /// A scratch word beyond the last is loaded or stored.
    MemoryRange,
    /// A scratch word is loaded that is stored nowhere.
    MemoryNever,
    /// A scratch word is loaded that one of two paths has stored.
    MemoryOnOnePath,
    /// A scratch word is loaded whose store nothing leads to.
    MemoryUnreached,
    /// `jt` leads past the end.
    JumpTrue,
    /// `jf` leads past the end.
    JumpFalse,
    /// An unconditional jump leads past the end.
    JumpAlways,
    /// An unconditional jump so far that it would come back round to the program.
    JumpAround,
    /// The last instruction is no return.
    NoReturn,
}

impl Break {
    /// Every way.
    pub const ALL: [Self; 20] = [
        Self::Empty,
        Self::TooLong,
        Self::UnknownCode,
        Self::PacketCode,
        Self::Modulo,
        Self::ModuloByZero,
        Self::DivisionByZero,
        Self::WideShift,
        Self::Unaligned,
        Self::Beyond,
        Self::Extension,
        Self::MemoryRange,
        Self::MemoryNever,
        Self::MemoryOnOnePath,
        Self::MemoryUnreached,
        Self::JumpTrue,
        Self::JumpFalse,
        Self::JumpAlways,
        Self::JumpAround,
        Self::NoReturn,
    ];

    /// The rule that is broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Empty | Self::TooLong => Rule::Length,
            Self::UnknownCode => Rule::Code,
            Self::PacketCode | Self::Modulo => Rule::SocketsOnly,
            Self::ModuloByZero | Self::DivisionByZero => Rule::DivisionByZero,
            Self::WideShift => Rule::Shift,
            Self::Unaligned | Self::Beyond | Self::Extension => Rule::DataOffset,
            Self::MemoryRange => Rule::MemoryRange,
            Self::MemoryNever | Self::MemoryOnOnePath | Self::MemoryUnreached => Rule::MemoryUnset,
            Self::JumpTrue | Self::JumpFalse | Self::JumpAlways | Self::JumpAround => Rule::Jump,
            Self::NoReturn => Rule::NoReturn,
        }
    }
}

/// A filter with one rule broken.
#[derive(Clone, Debug)]
pub struct Broken {
    /// In which way.
    pub by: Break,
    /// The filter.
    pub filter: Filter,
    /// The instruction at fault; the last one where it is the whole program.
    pub at: usize,
    /// The same filter with nothing broken, accepted wherever XOR is. Only `at` differs, except by
    /// [`Break::Empty`] and [`Break::TooLong`].
    pub whole: Filter,
}

/// Accepted filters with exactly one rule broken, by every [`Break`] alike. The checker refuses all of
/// them in the default dialect; older ones accept [`Break::WideShift`].
pub fn broken() -> BoxedStrategy<Filter> {
    one_broken().prop_map(|broken| broken.filter).boxed()
}

/// As [`broken()`], with what is broken and the filter as it was before.
pub fn one_broken() -> BoxedStrategy<Broken> {
    let draft = program::draft(exit_of(word()));
    (
        select(Break::ALL.to_vec()),
        draft,
        proptest::arbitrary::any::<u8>(),
        proptest::arbitrary::any::<u32>(),
        program::topic(),
    )
        .prop_map(|(by, draft, place, bits, topic)| by.apply(draft, place.into(), bits, &topic))
        .boxed()
}

/// Soup: instructions of any bytes, or with codes and operands that are mostly known.
pub fn soup() -> BoxedStrategy<Filter> {
    let bytes = vec(proptest::num::u64::ANY, 0..60).prop_map(|records| {
        let bytes: Vec<u8> = records.into_iter().flat_map(u64::to_le_bytes).collect();
        Filter::from_bytes(&bytes).expect("whole records")
    });
    prop_oneof![3 => vec(insn(), 0..40).prop_map(Filter), 1 => bytes].boxed()
}

/// Accepted filters, broken ones and soup.
pub fn any() -> BoxedStrategy<Filter> {
    prop_oneof![2 => valid(), 2 => broken(), 1 => soup()].boxed()
}

/// The codes of packets (net/core/filter.c chk_code_allowed).
const PACKET_CODES: [u16; 6] = [0x28, 0x30, 0x40, 0x48, 0x50, 0xb1];

impl Break {
    fn apply(self, mut draft: Draft, place: usize, bits: u32, topic: &[u32]) -> Broken {
        let around = match self {
            Self::MemoryOnOnePath => Around::StoreOnOnePath(bits),
            Self::MemoryUnreached => Around::StoreUnreached,
            _ => Around::Nothing,
        };
        let memory = around != Around::Nothing || self == Self::MemoryNever;
        if memory {
            draft.untouched = Some(bits % MEMORY_WORDS as u32);
        }
        // A conditional jump past the end has to be near it.
        let at_end = matches!(self, Self::JumpTrue | Self::JumpFalse);
        let index = if at_end { draft.nodes.len() } else { place % (draft.nodes.len() + 1) };
        let original = draft.nodes.clone();
        draft.nodes.insert(index, Node::Hole(around));
        let (mut whole, mut hole) = draft.with_hole(topic);
        // The checker takes every scratch word for stored where nothing leads.
        if memory && hole.is_none_or(|at| !reached(&whole, at)) {
            draft.nodes = original;
            draft.nodes.insert(0, Node::Hole(around));
            (whole, hole) = draft.with_hole(topic);
        }
        let mut filter = whole.clone();
        let last = whole.len() - 1;
        let at = match self {
            Self::Empty => {
                filter.0.clear();
                0
            }
            Self::TooLong => {
                let length = match bits % 8 {
                    0..4 => MAX_INSNS + 1,
                    4 | 5 => MAX_INSNS + 2 + bits as usize % 100,
                    6 => 2 * MAX_INSNS,
                    // The most that a sock_fprog can say.
                    _ => 0xffff,
                };
                let missing = length - filter.len();
                filter.0.splice(0..0, std::iter::repeat_n(bpf::ld(0), missing));
                length - 1
            }
            Self::NoReturn => last,
            _ => hole.unwrap_or(last),
        };
        if let Some(insn) = self.insn(bits, last - at.min(last), draft.untouched.unwrap_or(0)) {
            filter.0[at] = insn;
        }
        Broken { by: self, filter, at, whole }
    }

    /// The instruction that breaks the rule, with so many behind it.
    fn insn(self, bits: u32, behind: usize, word: u32) -> Option<Insn> {
        let insn = |code, k| Insn { code, jt: 0, jf: 0, k };
        // Which of several ways, and a number besides.
        let (way, number) = (bits as usize % 7, bits >> 3);
        let behind = behind as u32;
        let jump_by = |jt, jf| bpf::jeq(number, jt, jf);
        Some(match self {
            Self::Empty | Self::TooLong => return None,
            Self::UnknownCode => insn(unknown_code(bits), number % 64),
            Self::PacketCode => insn(PACKET_CODES[way % 6], number % 64),
            Self::Modulo if way % 2 == 0 => bpf::alu_x(op::MOD),
            Self::Modulo => bpf::alu(op::MOD, number | 1),
            Self::ModuloByZero => bpf::alu(op::MOD, 0),
            Self::DivisionByZero => bpf::alu(op::DIV, 0),
            Self::WideShift => {
                let count = [32, 33, 63, 64, 0x8000_0000, u32::MAX, 32 | number][way];
                bpf::alu(if number % 2 == 0 { op::LSH } else { op::RSH }, count)
            }
            Self::Unaligned => bpf::ld(4 * (number % 16) + 1 + bits % 3),
            Self::Beyond => {
                bpf::ld([64, 68, 65, 0x8000_0000, 0xffff_efff, 128, 64 + number % 0x10_0000][way])
            }
            Self::Extension => {
                bpf::ld([0xffff_f000, 0xffff_f03c, 0xffff_f040, u32::MAX, 0xffff_f002][way % 5])
            }
            Self::MemoryRange => {
                let word = [16, 17, 31, 32, 0x8000_0000, u32::MAX, 16 + number][way];
                insn([op::ST, op::STX, op::LD_MEM, op::LDX_MEM][number as usize % 4], word)
            }
            Self::MemoryNever | Self::MemoryOnOnePath | Self::MemoryUnreached => {
                insn(if way % 2 == 0 { op::LD_MEM } else { op::LDX_MEM }, word)
            }
            Self::JumpTrue => jump_by(past(behind, bits), 0),
            Self::JumpFalse => jump_by(0, past(behind, bits)),
            Self::JumpAlways => {
                bpf::ja([behind, behind + 1, behind + number % 4096, 0x7fff_ffff, 0x8000_0000][way % 5])
            }
            // To the instruction itself, the one behind it, or some before it.
            Self::JumpAround => bpf::ja(u32::MAX - number % 5),
            Self::NoReturn => [bpf::ld(0), bpf::neg(), bpf::st(0), bpf::txa(), bpf::imm(number)][way % 5],
        })
    }
}

/// Whether any path leads to an instruction, as the checker sees paths: a return does not end one.
fn reached(filter: &Filter, place: usize) -> bool {
    let mut leads = vec![false; filter.len() + 1];
    leads[0] = true;
    for (at, insn) in filter.iter().enumerate().take(place) {
        if !leads[at] {
            continue;
        }
        let mut to = |skip: u32| leads[at + 1 + skip as usize] = true;
        match op::kind(insn.code) {
            Some(op::Kind::Jump) => to(insn.k),
            Some(op::Kind::Branch { .. }) => {
                to(insn.jt.into());
                to(insn.jf.into());
            }
            _ => to(0),
        }
    }
    leads[place]
}

/// From just past the end to as far as a conditional jump can.
fn past(behind: u32, bits: u32) -> u8 {
    let first = behind.min(255);
    (first + bits % 5 * (255 - first) / 4) as u8
}

/// Any code that neither seccomp nor sockets accept: half of them known ones with a bit flipped.
fn unknown_code(bits: u32) -> u16 {
    let unknown = |code: u16| {
        let packets = PACKET_CODES.contains(&code) || matches!(code & !op::X, 0x94);
        op::kind(code).is_none() && !packets
    };
    let known: Vec<u16> = (0..=0xff).filter(|&code| op::kind(code).is_some()).collect();
    let start = match bits % 2 {
        0 => known[(bits >> 1) as usize % known.len()] ^ 1 << (bits >> 8 & 15),
        _ => (bits >> 1) as u16,
    };
    (0..=u16::MAX)
        .map(|by| start.wrapping_add(by))
        .find(|&code| unknown(code))
        .expect("most codes are unknown")
}

/// Codes that seccomp accepts, a few that it does not, and now and then any.
fn code() -> impl Strategy<Value = u16> {
    let operations: Vec<u16> =
        [op::ALU, op::JMP].iter().flat_map(|class| (0..32).map(move |bits| class | bits << 3)).collect();
    let others = vec![
        op::LD_ABS,
        op::LD_IMM,
        op::LDX_IMM,
        op::LD_LEN,
        op::LDX_LEN,
        op::LD_MEM,
        op::LDX_MEM,
        op::ST,
        op::STX,
        op::JA,
        op::RET_K,
        op::RET_A,
        op::TAX,
        op::TXA,
    ];
    prop_oneof![40 => select(others), 30 => select(operations), 1 => proptest::num::u16::ANY]
}

fn operand() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..18, (0_u32..17).prop_map(|word| 4 * word), proptest::num::u32::ANY]
}

fn insn() -> impl Strategy<Value = Insn> {
    (code(), 0_u8..6, 0_u8..6, operand()).prop_map(|(code, jt, jf, k)| Insn { code, jt, jf, k })
}
