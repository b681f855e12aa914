//! A kernel accepts a program if and only if the model does, with the same errno.

use crate::script::{install, steps};
use crate::trial::{Isolation, Property, Trial};
use atlas_model::arbitrary::{broken, call};
use atlas_model::bpf::{self, Filter, Insn, op};
use atlas_model::experiment::{Install, Op, Program, Via};
use proptest::prelude::*;

pub(crate) const CHECKER: Property = Property {
    name: "checker",
    about: "A kernel accepts a program if and only if the model does, with the same errno.",
    isolation: Isolation::Bare,
    share: 300,
    strategy,
    statement: |_, _| Vec::new(),
};

/// The program attached, and one call after it, which shows whether it is in force.
fn strategy() -> BoxedStrategy<Trial> {
    let by_seccomp = prop_oneof![3 => Just(false), 1 => Just(true)];
    (prop_oneof![3 => broken::any(), 2 => edge()], call::harmless(), by_seccomp)
        .prop_map(|(filter, call, by_seccomp)| {
            let attach = if by_seccomp {
                Op::Install(Install { via: Via::Seccomp { flags: 0 }, program: Program::Filter(filter) })
            } else {
                install(filter)
            };
            steps([attach, Op::Call(call)]).into()
        })
        .boxed()
}

/// One instruction at the edge of what is accepted, on either side, and a few returns behind it.
fn edge() -> impl Strategy<Value = Filter> {
    let mut all: Vec<Insn> = Vec::new();
    all.extend(
        [14, 15, 16, 17]
            .iter()
            .flat_map(|&at| [bpf::st(at), bpf::stx(at), bpf::ld_mem(at), bpf::ldx_mem(at)]),
    );
    all.extend([56, 60, 61, 64, 68].map(bpf::ld));
    all.extend((0..5).flat_map(|far| [bpf::ja(far), bpf::jeq(0, far as u8, 0), bpf::jset(1, 0, far as u8)]));
    all.extend([0xffff_fffe, 0xffff_ffff].map(bpf::ja));
    all.extend([op::LSH, op::RSH].iter().flat_map(|&shift| [30, 31, 32, 33].map(|by| bpf::alu(shift, by))));
    all.extend([op::DIV, op::MOD].iter().flat_map(|&divide| [0, 1, 2].map(|by| bpf::alu(divide, by))));
    let allow = bpf::ret_word(0x7fff_0000);
    let before =
        prop::sample::select(vec![vec![], vec![], vec![allow], vec![bpf::ja(0)], vec![bpf::jeq(0, 1, 0)]]);
    (before, prop::sample::select(all), 0..4_usize).prop_map(move |(before, insn, returns)| {
        Filter(before.into_iter().chain([insn]).chain(std::iter::repeat_n(allow, returns)).collect())
    })
}
