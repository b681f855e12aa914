//! Profiles in the wild: what rules that were shipped let through, shown on each kernel.

use crate::attached::attach;
use crate::case::{is, staged};
use crate::{Case, Fact};
use atlas_edge::{Stage, sys};
use atlas_model::abi::offset;
use atlas_model::bpf::op;
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action, Filter, bpf};

const NEEDS: &[Feature] = &[Feature::ModeFilter];
const EPERM: i64 = 1;
/// A bit that no `int` has.
const ABOVE: u64 = 1 << 32;

pub(crate) const CASES: &[Case] = &[staged(
    "profiles::socket_family_outside_a_range",
    "Rules that let families below one and above another through let the one through with a bit above 31 set.",
    NEEDS,
    families,
    |_: &Traits| -> Vec<Fact> {
        vec![
            is("AF_UNIX", -EPERM),
            is("AF_UNIX with bit 32: a socket", 1),
            is("its SO_DOMAIN", i64::from(libc::AF_UNIX)),
        ]
    },
)];

/// The socket rules of container profiles since 2026 (`arg0 < 38`, `arg0 == 39` and `arg0 > 40` are let
/// through, anything else gets EPERM), as libseccomp compiles them, around AF_UNIX, which every kernel has.
fn family_rules(around: u32) -> Filter {
    Filter(vec![
        bpf::ld(offset::ARCH),
        bpf::jeq(Abi::X86_64.audit_arch(), 0, 7),
        bpf::ld(offset::NR),
        bpf::jeq(libc::SYS_socket as u32, 0, 5),
        bpf::ld(offset::arg_high(0)),
        bpf::jump(op::JGT, 0, 3, 0),
        bpf::ld(offset::arg_low(0)),
        bpf::jeq(around, 0, 1),
        bpf::ret(Action::Errno(EPERM as u16)),
        bpf::ret(Action::Allow),
    ])
}

fn families(stage: &Stage) {
    attach(family_rules(libc::AF_UNIX as u32));
    let socket = |family: u64| sys::number(libc::SYS_socket, [family, libc::SOCK_STREAM as u64, 0, 0, 0, 0]);
    let unix = libc::AF_UNIX as u64;
    stage.fact("AF_UNIX", socket(unix));
    let passed = socket(ABOVE | unix);
    stage.fact("AF_UNIX with bit 32: a socket", (passed >= 0).into());
    stage.fact("its SO_DOMAIN", domain(passed));
}

/// The family of a socket, or the errno negated.
fn domain(socket: i64) -> i64 {
    let (mut family, mut length) = (0_i32, 4_u32);
    let [level, option] = [libc::SOL_SOCKET as u64, libc::SO_DOMAIN as u64];
    let (room, length) = ((&raw mut family) as u64, (&raw mut length) as u64);
    // SAFETY: the value and its length live until the call returns.
    let result = unsafe { sys::raw(libc::SYS_getsockopt, [socket as u64, level, option, room, length, 0]) };
    if result == 0 { family.into() } else { result }
}
