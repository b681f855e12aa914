//! What stands beside seccomp: Landlock, which judges files behind it, and the vDSO, which is before it.

use crate::attached::attach;
use crate::case::{is, staged};
use crate::{Case, Script};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action, Filter, bpf};

const NATIVE: Abi = Abi::X86_64;
const CREATE_RULESET: i64 = 444;
const RESTRICT_SELF: i64 = 446;
/// `LANDLOCK_ACCESS_FS_READ_FILE`.
const READ_FILE: u64 = 1 << 2;
const FILE: &std::ffi::CStr = c"/proc/self/status";

pub(crate) const CASES: &[Case] = &[
    staged(
        "entry::landlock_judges_behind_the_filter",
        "Of a call that both refuse the filter's errno comes back; what the filter allows Landlock still refuses.",
        &[Feature::ModeFilter, Feature::Landlock],
        observe_landlock,
        |_: &Traits| {
            vec![
                is("opened before", 1),
                is("restricted", 0),
                is("openat, by Landlock", -13),
                is("attached", 0),
                is("open, by the filter", -7),
                is("openat, by Landlock", -13),
                is("read of what was opened before", 1),
            ]
        },
    ),
    staged(
        "entry::landlock_can_be_refused",
        "A filter may refuse Landlock's own calls, and a program that asks for it then goes on without.",
        &[Feature::ModeFilter, Feature::Landlock],
        |stage| {
            let _ = sys::no_new_privs();
            let filter =
                vec![bpf::ld(0), bpf::jge(444, 0, 2), bpf::jgt(446, 1, 0), bpf::ret(Action::Errno(38))];
            let _ = sys::install_by_prctl(&Filter([filter, vec![bpf::ret(Action::Allow)]].concat()));
            stage.fact("asked for its version", version());
            stage.fact("opened", (open() >= 0).into());
        },
        |_: &Traits| vec![is("asked for its version", -38), is("opened", 1)],
    ),
    staged(
        "entry::vdso_is_not_seen",
        "A clock that the vDSO reads costs no call, so that a filter on clock_gettime does not see it (vdso(7)).",
        &[Feature::ModeFilter],
        observe_vdso,
        |_: &Traits| vec![is("by the library", 0), is("by the call", 1031)],
    ),
];

/// `landlock_create_ruleset` with `LANDLOCK_CREATE_RULESET_VERSION`.
fn version() -> i64 {
    sys::number(CREATE_RULESET, [0, 0, 1, 0, 0, 0])
}

/// The probe of Landlock: its version, which it does not have where the boot left it out.
pub(crate) fn observe_version(stage: &Stage) {
    stage.fact("version", version());
}

fn open() -> i64 {
    // SAFETY: the path is a C string of static life.
    unsafe { sys::raw(libc::SYS_openat, [libc::AT_FDCWD as u64, FILE.as_ptr() as u64, 0, 0, 0, 0]) }
}

fn observe_landlock(stage: &Stage) {
    let before = open();
    stage.fact("opened before", (before >= 0).into());
    let _ = sys::no_new_privs();
    let handled = [READ_FILE];
    // SAFETY: a struct landlock_ruleset_attr of its first field, which lives until the call returns.
    let ruleset = unsafe { sys::raw(CREATE_RULESET, [handled.as_ptr() as u64, 8, 0, 0, 0, 0]) };
    stage.fact("restricted", sys::number(RESTRICT_SELF, [ruleset as u64, 0, 0, 0, 0, 0]));
    stage.fact("openat, by Landlock", open());
    let filter = Script::on(NATIVE, "open", Action::Errno(7));
    stage.fact("attached", sys::install_by_prctl(&Filter(filter)));
    stage.fact("open, by the filter", sys::open(FILE, 0));
    stage.fact("openat, by Landlock", open());
    let mut byte = [0_u8];
    // SAFETY: one byte, which lives until the call returns.
    let read = unsafe { sys::raw(libc::SYS_read, [before as u64, byte.as_mut_ptr() as u64, 1, 0, 0, 0]) };
    stage.fact("read of what was opened before", read);
}

fn observe_vdso(stage: &Stage) {
    let behind = |body: fn()| {
        end_code(stage.child(|_| {
            attach(Script::on(NATIVE, "clock_gettime", Action::KillProcess));
            body();
        }))
    };
    // The coarse clocks are read from the vDSO's page whatever the clock source is.
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;
    let library = behind(|| {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the structure lives until the call returns.
        unsafe { libc::clock_gettime(CLOCK, &raw mut time) };
    });
    let call = behind(|| {
        let _ = sys::number(libc::SYS_clock_gettime, [CLOCK as u64, 0, 0, 0, 0, 0]);
    });
    stage.fact("by the library", library);
    stage.fact("by the call", call);
}
