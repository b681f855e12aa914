//! A call that ends its process, timed from the call to the reaping.

use super::{Context, fault, fork, settle};
use atlas_edge::{stub, sys};
use atlas_model::Filter;
use atlas_model::experiment::Call;
use atlas_wire::Measured;

pub(super) fn measure(context: &Context<'_>, filter: &Filter, call: &Call) -> Result<(), Measured> {
    let sheet = context.sheet;
    for _ in 0..context.rounds {
        let pid = fork(0);
        if pid == 0 {
            sys::prepare_descriptors(context.close);
            settle();
            let _ = sys::no_new_privs();
            let result = sys::install(filter, 0);
            if result < 0 {
                sheet.refuse(0, result);
                fault()
            }
            sheet.put(sys::rdtsc() as i64);
            // SAFETY: as in `call`.
            sheet.give(unsafe { stub::call(call) });
            // It came back, so this is no measurement of a death.
            sheet.finish();
            fault()
        }
        let status = sys::wait_for(pid as i32, libc::__WALL);
        let now = sys::rdtsc();
        if status < 0 {
            return Err(Measured::Impossible(format!("no process: errno {}", -status)));
        }
        if let Some((filter, errno)) = sheet.not_attached() {
            return Err(Measured::NotAttached { filter, errno });
        }
        if sheet.is_done() {
            return Err(Measured::Ended(format!("the call came back with {}", sheet.returned())));
        }
        sheet.add(now.wrapping_sub(sheet.word() as u64));
    }
    Ok(())
}
