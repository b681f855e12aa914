//! Experiments put together from generated parts.

use atlas_model::abi::{SeccompData, offset};
use atlas_model::bpf::{self, Filter};
use atlas_model::experiment::{Call, Disposition, Experiment, Install, Op, Program, Step, Via, layout};
use atlas_model::policy::Policy;
use atlas_model::{Abi, Action};

/// What the first filter of [`marked`] answers every call with. Kernels cap at 4095.
pub(crate) const MARK: u16 = 0xabc;

/// Steps of task 0.
pub(crate) fn steps(ops: impl IntoIterator<Item = Op>) -> Experiment {
    let steps = ops.into_iter().map(|op| Step { task: 0, op }).collect();
    Experiment { steps, ..Experiment::default() }
}

/// Attaches a filter by `prctl`, which every kernel with filters has.
pub(crate) fn install(filter: Filter) -> Op {
    Op::Install(Install { via: Via::Prctl, program: Program::Filter(filter) })
}

/// Makes SIGSYS seen.
pub(crate) const RECORD: Op = Op::Sigsys(Disposition::Record);

/// `prctl` of the native ABI, by which [`install`] attaches.
const PRCTL: u32 = 157;
/// `rt_sigreturn` of the native ABI, with which a handler returns.
const RT_SIGRETURN: u32 = 15;

/// The filter, behind instructions that let through what the rest of an experiment needs and nothing
/// else: attaching another filter, and returning from a handler. Generated calls may have the same
/// numbers, but neither that pointer nor that address.
pub(crate) fn behind_guard(filter: &Filter) -> Filter {
    let guard = [
        bpf::ld(offset::ARCH),
        bpf::jeq(Abi::X86_64.audit_arch(), 0, 8),
        bpf::ld(offset::NR),
        bpf::jeq(PRCTL, 0, 2),
        bpf::ld(offset::arg_low(2)),
        bpf::jeq(layout::FPROG as u32, 3, 4),
        bpf::jeq(RT_SIGRETURN, 0, 3),
        bpf::ld(offset::IP_LOW),
        bpf::jeq(layout::SIGRETURN_IP as u32, 0, 1),
        bpf::ret(Action::Allow),
    ];
    Filter(guard.into_iter().chain(filter.iter().copied()).collect())
}

/// A filter that answers every call with [`MARK`], so that no call runs, save what an experiment needs.
pub(crate) fn marked() -> Filter {
    behind_guard(&Filter(vec![bpf::ret(Action::Errno(MARK))]))
}

/// What a policy says of an experiment's call, as long as it does not look at the instruction pointer.
pub(crate) fn decision(policy: &Policy, call: &Call) -> Action {
    let data = SeccompData {
        nr: call.nr as u32,
        arch: call.abi.audit_arch(),
        args: call.args,
        ..SeccompData::default()
    };
    policy.decide(&data)
}
