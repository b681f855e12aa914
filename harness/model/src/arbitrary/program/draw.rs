//! How nodes are drawn. What is simpler stands first, as shrinking goes that way.

use super::exit::{Exit, Test};
use super::layout::Fill;
use super::node::{Node, Number, Pad, Target, Wide};
use crate::abi::{Abi, SeccompData, offset};
use crate::action::Action;
use crate::arbitrary::edge;
use crate::bpf::{self, Insn, MAX_INSNS, op};
use crate::experiment::layout as fixed;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Every action with data bits, those included that have no use for them, and words of no action.
pub(in crate::arbitrary) fn word() -> BoxedStrategy<u32> {
    const ACTIONS: [Action; 8] = [
        Action::Allow,
        Action::Errno(0),
        Action::KillProcess,
        Action::KillThread,
        Action::Trap(0),
        Action::UserNotif,
        Action::Trace(0),
        Action::Log,
    ];
    const UNKNOWN: [u32; 10] = [1, 2, 4, 6, 0x7fbf, 0x7ffd, 0x8001, 0x8005, 0xffff, 0xc000];
    const DATA: [u32; 6] = [4094, 4095, 4096, 0x7fff, 0x8000, 0xffff];
    (0..23_u8, 0..8_u8, any::<u32>())
        .prop_map(|(how, data, bits)| {
            let part = (bits >> 16) as usize;
            let data = match data {
                0..3 => 0,
                3..6 => bits % 40,
                6 => DATA[bits as usize % DATA.len()],
                _ => bits & 0xffff,
            };
            match how {
                0..20 => ACTIONS[part % ACTIONS.len()].word() | data,
                20 | 21 => UNKNOWN[part % UNKNOWN.len()] << 16 | data,
                _ => bits,
            }
        })
        .boxed()
}

pub(super) fn exit() -> BoxedStrategy<Exit> {
    prop_oneof![9 => exit_with(word()), 1 => Just(Exit::Whatever)].boxed()
}

pub(in crate::arbitrary) fn exit_with(word: BoxedStrategy<u32>) -> BoxedStrategy<Exit> {
    let how = prop_oneof![10 => Just(0_u8), 4 => 1_u8..5];
    (word, how, any::<u32>())
        .prop_map(|(word, how, by)| match how {
            0 => Exit::Word(word),
            1 => Exit::Loaded(word),
            2 => Exit::Added(word, by),
            3 => Exit::Copied(word),
            _ => Exit::Stored(word, by),
        })
        .boxed()
}

/// A few nodes mostly, many now and then.
pub(super) fn nodes() -> BoxedStrategy<Vec<Node>> {
    let more = prop_oneof![24 => Just(vec![]), 4 => vec(node(), 0..24), 1 => vec(node(), 0..60)];
    (more, vec(node(), 0..9)).prop_map(|(more, few)| [more, few].concat()).boxed()
}

pub(super) fn fill() -> BoxedStrategy<Option<Fill>> {
    let to = prop_oneof![
        10 => 81_usize..600,
        2 => Just(MAX_INSNS),
        1 => Just(MAX_INSNS - 1),
    ];
    let fill = (to, any::<bool>()).prop_map(|(to, runs)| Some(Fill { to, runs }));
    prop_oneof![40 => Just(None), 1 => fill].boxed()
}

pub(super) fn noise() -> BoxedStrategy<Option<u32>> {
    prop_oneof![7 => Just(None), 1 => any::<u32>().prop_map(Some)].boxed()
}

fn number() -> BoxedStrategy<Number> {
    (0..5_u8, any::<u8>(), any::<u32>())
        .prop_map(|(topic, how, bits)| match topic {
            0 | 1 => Number::Topic(how),
            _ => Number::Own(edge::any_number_of(how, bits)),
        })
        .boxed()
}

/// An offset of any word of the data.
fn field() -> impl Strategy<Value = u32> + Clone {
    (0..9_u8, 0..48_u32).prop_map(|(how, which)| match how {
        0 | 1 => offset::NR,
        2..6 => offset::arg_low(which % 6),
        6 | 7 => offset::arg_high(which % 6),
        _ => 4 * (which % (SeccompData::LEN / 4)),
    })
}

/// What X can do to A.
const BY_X: [u16; 9] = [op::ADD, op::SUB, op::MUL, op::DIV, op::OR, op::AND, op::LSH, op::RSH, op::XOR];

/// An operation by a constant that is accepted.
fn alu() -> impl Strategy<Value = Insn> + Clone {
    (0..12_u8, edge::word()).prop_map(|(how, k)| alu_of(how, k))
}

fn alu_of(how: u8, k: u32) -> Insn {
    const PLAIN: [u16; 8] = [op::ADD, op::AND, op::SUB, op::OR, op::XOR, op::MUL, op::ADD, op::AND];
    match how {
        0..8 => bpf::alu(PLAIN[usize::from(how)], k),
        8 => bpf::alu(op::LSH, k % 32),
        9 => bpf::alu(op::RSH, k % 32),
        10 => bpf::alu(op::DIV, k.max(1)),
        _ => bpf::neg(),
    }
}

fn insn() -> impl Strategy<Value = Insn> + Clone {
    const COPIES: [Insn; 2] = [bpf::tax(), bpf::txa()];
    const LENGTHS: [Insn; 2] = [bpf::ld_len(), bpf::ldx_len()];
    (0..16_u8, any::<u8>(), edge::word(), field()).prop_map(|(how, which, k, at)| {
        let (which, cell) = (usize::from(which), u32::from(which) % 16);
        match how {
            0..3 => bpf::ld(at),
            3..6 => alu_of((which % 12) as u8, k),
            6..9 => bpf::alu_x(BY_X[which % BY_X.len()]),
            9 | 10 => COPIES[which % 2],
            11 | 12 => [bpf::st, bpf::stx, bpf::ld_mem, bpf::ldx_mem][which / 16 % 4](cell),
            13 => bpf::imm(k),
            14 => bpf::ldx_imm(k),
            _ => LENGTHS[which % 2],
        }
    })
}

fn test() -> impl Strategy<Value = Test> + Clone {
    const OPS: [u16; 4] = [op::JEQ, op::JGT, op::JGE, op::JSET];
    (0..16_u8, edge::word()).prop_map(|(how, k)| Test { op: OPS[usize::from(how % 4)], x: how >= 12, k })
}

fn target() -> impl Strategy<Value = Target> + Clone {
    (0..5_u8, any::<u8>()).prop_map(|(how, which)| match how {
        0 | 1 => Target::Next,
        2 | 3 => Target::Exit(which),
        _ => Target::Ahead(1 + which % 5),
    })
}

/// A word of the data, masked or shifted perhaps, and compared with what it may well be.
fn on_a_field() -> BoxedStrategy<Node> {
    let before = (field(), vec(alu(), 0..3)).prop_map(|(at, alu)| [vec![bpf::ld(at)], alu].concat());
    let masked = (field(), edge::word(), edge::word()).prop_map(|(at, mask, value)| {
        (vec![bpf::ld(at), bpf::alu(op::AND, mask)], Test::equal(value & mask))
    });
    let any = (before, test()).prop_map(|(before, test)| (before, Test { x: false, ..test }));
    (prop_oneof![masked, any], target(), target())
        .prop_map(|((before, test), yes, no)| Node::Test { before, test, yes, no })
        .boxed()
}

/// A word compared with X, or worked on by X.
fn by_x() -> BoxedStrategy<Node> {
    let into_x = (0..3_u8, field(), edge::word()).prop_map(|(how, at, k)| match how {
        0 => vec![bpf::ldx_imm(k)],
        1 => vec![bpf::ld(at), bpf::tax()],
        _ => vec![bpf::imm(k), bpf::st(at / 4), bpf::ldx_mem(at / 4)],
    });
    // Divisions more often, as they may end the program.
    let ops = [&BY_X[..], &[op::DIV; 4]].concat();
    let work = vec(select(ops).prop_map(bpf::alu_x), 0..3);
    let before =
        (into_x, field(), work).prop_map(|(into_x, at, work)| [into_x, vec![bpf::ld(at)], work].concat());
    (before, test(), target(), target())
        .prop_map(|(before, test, yes, no)| Node::Test { before, test, yes, no })
        .boxed()
}

fn wide() -> BoxedStrategy<Node> {
    const WIDE: [Wide; 4] = [Wide::Equal, Wide::Greater, Wide::GreaterOrEqual, Wide::Set];
    const POINTERS: [u64; 3] = [fixed::SYSCALL_IP, fixed::INT80_IP, fixed::STUB];
    (0..27_u32, 0..8_usize, edge::long(), edge::long(), any::<bool>(), any::<u8>())
        .prop_map(|(field, how, value, mask, not, exit)| {
            let wide = WIDE.get(how / 2).copied().filter(|_| how % 2 == 0).unwrap_or(Wide::Masked(mask));
            match field {
                0..24 => Node::Wide { field: 1 + field % 6, wide, value, not, exit },
                _ => Node::Wide { field: 0, wide, value: POINTERS[field as usize % 3], not, exit },
            }
        })
        .boxed()
}

fn far() -> BoxedStrategy<Node> {
    let over = prop_oneof![1 => 0_usize..253, 3 => select(vec![253, 254, 256, 257]), 3 => Just(255), 1 => 258_usize..300];
    let pad = select(vec![Pad::Sums, Pad::Loads, Pad::Comparisons, Pad::Returns]);
    (test(), over, pad, any::<bool>())
        .prop_map(|(test, over, pad, by_jf)| Node::Far { test, over, pad, by_jf })
        .boxed()
}

fn arch() -> BoxedStrategy<Node> {
    let (native, i386, aarch64) = (Abi::X86_64.audit_arch(), Abi::I386.audit_arch(), 0xc000_00b7);
    (0..16_u8, any::<u8>())
        .prop_map(move |(how, exit)| match how {
            0..10 => Node::Arch { arch: native, other: true, exit },
            10 => Node::Arch { arch: i386, other: true, exit },
            11..14 => Node::Arch { arch: i386, other: false, exit },
            14 => Node::Arch { arch: native, other: false, exit },
            // The other way round no call of an x86 kernel would get past it.
            _ => Node::Arch { arch: aarch64, other: false, exit },
        })
        .boxed()
}

fn node() -> BoxedStrategy<Node> {
    let rows = vec((number(), any::<u8>()), 1..12);
    prop_oneof![
        40 => vec(insn(), 1..8).prop_map(Node::Plain),
        40 => (vec(number(), 1..6), any::<u8>()).prop_map(|(numbers, exit)| Node::List { numbers, exit }),
        20 => rows.prop_map(|numbers| Node::Tree { numbers }),
        20 => arch(),
        40 => wide(),
        40 => on_a_field(),
        40 => by_x(),
        6 => (0_u8..4).prop_map(Node::Jump),
        4 => any::<u8>().prop_map(Node::Stop),
        12 => far(),
    ]
    .boxed()
}
