//! A call behind filters, timed from the inside.

use super::{Context, WARM_UP, answer, fault, fork, settle};
use atlas_edge::{stub, sys, timed};
use atlas_model::Filter;
use atlas_model::experiment::Call;
use atlas_wire::Measured;
use atlas_wire::measure::{Answerer, Behind};

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
const NEW_LISTENER: u32 = 8;

pub(super) fn measure(
    context: &Context<'_>,
    behind: &Behind,
    call: &Call,
    answerer: Answerer,
) -> Result<(), Measured> {
    let filters = match behind {
        Behind::Filters(filters) => filters.as_slice(),
        Behind::Nothing | Behind::Strict => &[],
    };
    // A listener's descriptor is made in the caller and used here.
    let flags = if matches!(answerer, Answerer::Listener(_)) { libc::CLONE_FILES } else { 0 };
    let pid = fork(flags);
    if pid == 0 {
        if flags == 0 {
            sys::prepare_descriptors(context.close);
        }
        caller(context, filters, call, answerer)
    }
    match answerer {
        _ if pid < 0 => {}
        Answerer::Kernel | Answerer::Handler => {}
        Answerer::Tracer => answer::trace(context, pid as i32)?,
        Answerer::Listener(reply) => answer::listen(context, pid as i32, reply)?,
    }
    context.wait(pid)
}

fn caller(context: &Context<'_>, filters: &[Filter], call: &Call, answerer: Answerer) -> ! {
    let sheet = context.sheet;
    if answerer == Answerer::Handler {
        stub::handle_by_nothing();
    }
    if answerer == Answerer::Tracer {
        answer::be_traced();
    }
    let overhead = timed::overhead(call.abi);
    settle();
    let _ = sys::no_new_privs();
    for (index, filter) in filters.iter().enumerate() {
        let last = index + 1 == filters.len();
        let listened = last && matches!(answerer, Answerer::Listener(_));
        let result = sys::install(filter, if listened { NEW_LISTENER } else { 0 });
        if result < 0 {
            sheet.refuse(index, result);
            fault()
        }
        if listened {
            sheet.put(result);
        }
    }
    for round in 0..WARM_UP + context.rounds {
        // SAFETY: pointers among the arguments are the host's, which may at worst hurt this process.
        let (result, span) = unsafe { timed::call(call) };
        if round >= WARM_UP {
            sheet.add(span.saturating_sub(overhead));
        }
        sheet.give(result);
    }
    sheet.finish();
    fault()
}
