//! i386 calls that stand for many, and pairs of which one is the other with wider arguments: a rule about one says
//! nothing about the other.

use super::compat;
use crate::attached::attach;
use crate::case::{is, staged};
use crate::script::SCRATCH;
use crate::{Case, Script};
use atlas_edge::Stage;
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action};

const EPERM: i64 = -1;
const SOCKET: u32 = 359;
const SOCKETCALL: u32 = 102;
const CLOCK_GETTIME: u32 = 265;
const CLOCK_GETTIME64: u32 = 403;
const AF_UNIX: u32 = libc::AF_UNIX as u32;

pub(crate) const CASES: &[Case] = &[
    staged(
        "abi::socketcall_makes_sockets",
        "i386's socketcall takes its arguments from memory: what a filter says of socket it does not say of that.",
        // i386 has socket since 4.3.
        &[Feature::ModeFilter, Feature::AbiI386, Feature::StatusUmask],
        observe_sockets,
        |_: &Traits| {
            vec![
                is("socket, denied", EPERM),
                is("socketcall makes one", 1),
                is("socketcall, denied", EPERM),
                is("socket makes one", 1),
            ]
        },
    ),
    staged(
        "abi::wider_twins",
        "i386's clock_gettime is denied, and clock_gettime64 tells the time: since 5.1 many of its calls have such a twin.",
        // The twins are of the release but one before clone3.
        &[Feature::ModeFilter, Feature::AbiI386, Feature::Clone3],
        observe_twins,
        |_: &Traits| vec![is("clock_gettime", EPERM), is("clock_gettime64", 0)],
    ),
];

fn by_i386(nr: u32, args: [u64; 3]) -> i64 {
    compat::call(Abi::I386, nr, args)
}

fn socket() -> i64 {
    by_i386(SOCKET, [AF_UNIX.into(), libc::SOCK_STREAM as u64, 0])
}

/// socketcall(2): the first of its calls is socket, whose arguments are three words.
fn socketcall() -> i64 {
    for (at, word) in (SCRATCH..).step_by(4).zip([AF_UNIX, libc::SOCK_STREAM as u32, 0]) {
        compat::put(at, word);
    }
    by_i386(SOCKETCALL, [1, SCRATCH, 0])
}

fn observe_sockets(stage: &Stage) {
    let one_if_made = |fd: i64| if fd >= 0 { 1 } else { fd };
    let deny = |name: &str| attach(Script::on(Abi::I386, name, Action::Errno(1)));
    let _ = stage.child(|stage| {
        deny("socket");
        stage.fact("socket, denied", socket());
        stage.fact("socketcall makes one", one_if_made(socketcall()));
    });
    let _ = stage.child(|stage| {
        deny("socketcall");
        stage.fact("socketcall, denied", socketcall());
        stage.fact("socket makes one", one_if_made(socket()));
    });
}

fn observe_twins(stage: &Stage) {
    attach(Script::on(Abi::I386, "clock_gettime", Action::Errno(1)));
    let monotonic = libc::CLOCK_MONOTONIC as u64;
    stage.fact("clock_gettime", by_i386(CLOCK_GETTIME, [monotonic, SCRATCH, 0]));
    stage.fact("clock_gettime64", by_i386(CLOCK_GETTIME64, [monotonic, SCRATCH, 0]));
}
