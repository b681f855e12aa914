//! Filters that the checker accepts.
//!
//! They are made of nodes (an arch check, a tree of numbers, an argument compared by halves), which are
//! laid out to instructions only then. So a filter shrinks by losing nodes, and is accepted at every step.

mod draw;
mod exit;
pub(super) mod layout;
pub(super) mod node;

use super::edge;
use crate::abi::Abi;
use crate::action::Action;
use crate::bpf::op::{self, Kind};
use crate::bpf::{Filter, Insn, MAX_INSNS};
use exit::Exit;
use layout::{Fill, Label, Layout, fits};
use node::Node;
use proptest::prelude::*;
use proptest::sample::select;

/// Filters that [`crate::bpf::check()`] accepts in every [`crate::bpf::Dialect`] that has XOR; shifts by
/// constants are by 31 at most. For dialects without XOR there is [`portable()`].
///
/// Most have up to 80 instructions, some up to 600, a few the full 4096. Fields that an operation does
/// not use are sometimes set, which kernels ignore.
pub fn valid() -> BoxedStrategy<Filter> {
    (draft(draw::exit()), topic()).prop_map(|(draft, topic)| draft.lay_out(&topic)).boxed()
}

/// As [`valid()`], without XOR, so that every dialect accepts it.
pub fn portable() -> BoxedStrategy<Filter> {
    let without_xor = |insn: Insn| match op::kind(insn.code) {
        Some(Kind::Alu { op: op::XOR, .. }) => Insn { code: insn.code ^ op::XOR ^ op::OR, ..insn },
        _ => insn,
    };
    valid().prop_map(move |filter| Filter(filter.0.into_iter().map(without_xor).collect())).boxed()
}

/// As [`valid()`], but the only words it can give are those of `actions`. A division by an X of 0, which
/// gives 0, is left in where that is one of them.
///
/// # Panics
/// Where there is no action.
pub fn returning(actions: Vec<Action>) -> BoxedStrategy<Filter> {
    let words: Vec<u32> = actions.into_iter().map(Action::word).collect();
    assert!(!words.is_empty(), "a filter has to give something");
    let no_zero_division = !words.contains(&0);
    (draft(draw::exit_with(select(words).boxed())), topic())
        .prop_map(move |(draft, topic)| Draft { no_zero_division, ..draft }.lay_out(&topic))
        .boxed()
}

pub(super) use draw::{exit_with as exit_of, word};

/// Numbers that several nodes are about.
pub(super) fn topic() -> BoxedStrategy<Vec<u32>> {
    let number = (0..5_u8, edge::number(Abi::X86_64), edge::any_number());
    let number = number.prop_map(|(how, native, any)| if how < 4 { native } else { any });
    proptest::collection::vec(number, 1..4).boxed()
}

/// A filter before it is laid out.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) nodes: Vec<Node>,
    /// The first is where the program ends when no node ends it.
    pub(super) exits: Vec<Exit>,
    /// Whether there is one of each exit, at the end, or one wherever one is needed.
    pub(super) share: bool,
    pub(super) fill: Option<Fill>,
    /// Bits for the fields that operations do not use.
    pub(super) noise: Option<u32>,
    pub(super) no_zero_division: bool,
    /// A scratch word that nothing touches but what surrounds a hole.
    pub(super) untouched: Option<u32>,
}

pub(super) fn draft(exit: BoxedStrategy<Exit>) -> BoxedStrategy<Draft> {
    let exits = proptest::collection::vec(exit, 1..5);
    // What makes most of a program goes first when it shrinks.
    (draw::fill(), draw::noise(), any::<bool>(), draw::nodes(), exits)
        .prop_map(|(fill, noise, share, nodes, exits)| Draft {
            nodes,
            exits,
            share,
            fill,
            noise,
            no_zero_division: false,
            untouched: None,
        })
        .boxed()
}

impl Draft {
    /// The same with other words.
    pub(super) fn with_words(&self, other: impl Fn(u32) -> u32) -> Self {
        let exits = self.exits.iter().map(|exit| exit.with_word(&other)).collect();
        Self { exits, ..self.clone() }
    }

    pub(super) fn lay_out(&self, topic: &[u32]) -> Filter {
        self.with_hole(topic).0
    }

    /// The filter, and where the last hole is in it.
    pub(super) fn with_hole(&self, topic: &[u32]) -> (Filter, Option<usize>) {
        let mut layout = Layout::new(&self.exits, self.share, topic);
        layout.no_zero_division = self.no_zero_division;
        layout.untouched = self.untouched;
        for node in self.nodes.iter().rev() {
            if fits(layout.here(), node.most()) {
                node.lay(&mut layout);
                layout.begins.push(layout.here());
            }
        }
        let hole: Option<Label> = layout.hole;
        let mut insns = layout.finish();
        if let Some(fill) = self.fill {
            insns = fill.put(insns);
        }
        debug_assert!(insns.len() <= MAX_INSNS.max(self.fill.map_or(0, |fill| fill.to)));
        if let Some(bits) = self.noise {
            insns.iter_mut().for_each(|insn| *insn = with_noise(*insn, bits));
        }
        let place = hole.map(|label| insns.len() - label);
        (Filter(insns), place)
    }
}

/// Sets the fields that the operation does not use.
fn with_noise(insn: Insn, bits: u32) -> Insn {
    let Some(kind) = op::kind(insn.code) else { return insn };
    let jumps = matches!(kind, Kind::Branch { .. });
    let uses_k = match kind {
        Kind::Alu { op, x } => !x && op != op::NEG,
        Kind::Branch { x, .. } => !x,
        Kind::Load { .. } => matches!(insn.code, op::LD_IMM | op::LDX_IMM),
        Kind::Copy { .. } | Kind::Return { a: true } => false,
        _ => true,
    };
    let [jt, jf, ..] = bits.to_le_bytes();
    Insn {
        code: insn.code,
        jt: if jumps { insn.jt } else { jt },
        jf: if jumps { insn.jf } else { jf },
        k: if uses_k { insn.k } else { bits },
    }
}
