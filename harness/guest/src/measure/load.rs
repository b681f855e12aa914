//! The call that attaches a filter.

use super::{Context, WARM_UP, fault, fork, settle};
use atlas_edge::{sys, timed};
use atlas_model::experiment::{Call, Via};
use atlas_model::{Abi, Filter};
use atlas_wire::Measured;
use std::time::Duration;

/// How long new threads are given to fall asleep. Idle time passes at once under `-icount`.
const SETTLE: Duration = Duration::from_millis(2);

pub(super) fn measure(context: &Context<'_>, filter: &Filter, via: Via, threads: u8) -> Result<(), Measured> {
    let records = filter.to_bytes();
    let fprog = libc::sock_fprog { len: filter.0.len() as u16, filter: records.as_ptr().cast_mut().cast() };
    let pointer = (&raw const fprog) as u64;
    let (nr, args) = match via {
        Via::Prctl => {
            let mode = u64::from(libc::SECCOMP_MODE_FILTER);
            (libc::SYS_prctl, [libc::PR_SET_SECCOMP as u64, mode, pointer, 0, 0, 0])
        }
        Via::Seccomp { flags } => {
            let operation = u64::from(libc::SECCOMP_SET_MODE_FILTER);
            (libc::SYS_seccomp, [operation, flags.into(), pointer, 0, 0, 0])
        }
    };
    let call = Call { abi: Abi::X86_64, nr: nr as u64, args };
    let sheet = context.sheet;
    for round in 0..WARM_UP + context.rounds {
        let pid = fork(0);
        if pid == 0 {
            sys::prepare_descriptors(context.close);
            let _ = sys::no_new_privs();
            if timed::sleepers(threads - 1) != threads - 1 {
                sheet.refuse(0, -i64::from(libc::EAGAIN));
                fault()
            }
            sys::wait_for_child_signal(SETTLE);
            let overhead = timed::overhead(Abi::X86_64);
            settle();
            // SAFETY: the program lives in this process's copy of its parent's memory.
            let (result, span) = unsafe { timed::call(&call) };
            if result != 0 {
                sheet.refuse(0, if result < 0 { result } else { -i64::from(libc::ESRCH) });
            } else if round >= WARM_UP {
                sheet.add(span.saturating_sub(overhead));
            }
            sheet.give(result);
            sheet.finish();
            fault()
        }
        context.wait(pid)?;
    }
    Ok(())
}
