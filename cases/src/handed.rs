//! getppid, handed to a listener: what most choreographies with one are about.

use crate::{Script, listener};
use atlas_edge::{Stage, sys};
use atlas_model::bpf::Filter;
use atlas_model::{Abi, Action};

/// The filter that hands getppid to a listener.
pub(crate) fn filter() -> Filter {
    Filter(Script::on(Abi::X86_64, "getppid", Action::UserNotif))
}

/// Attaches the notifying filter to this process, whose children make the calls.
pub(crate) fn listener(stage: &Stage) -> i32 {
    listener_with(stage, 0)
}

/// The same with more flags.
pub(crate) fn listener_with(stage: &Stage, flags: u32) -> i32 {
    let _ = sys::no_new_privs();
    let fd = listener::attach(&filter(), flags);
    if fd < 0 {
        stage.fact("the listener could not be had", fd);
        sys::exit(1)
    }
    fd as i32
}

/// The call that the filter hands over.
pub(crate) fn getppid() -> i64 {
    sys::number(libc::SYS_getppid, [0; 6])
}

/// Waits for a process to end.
pub(crate) fn finish(pid: i32) {
    let _ = sys::wait_for(pid, libc::__WALL);
}
