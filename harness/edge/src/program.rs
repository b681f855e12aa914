//! A user's program behind a filter, and every system call that it makes.
//!
//! The program is a process of its own that a tracer follows: PID 1, by ptrace(2), from one call to the
//! next. Since 4.8 a tracer hears of a call before a filter judges it (kernel/entry/common.c
//! syscall_trace_enter), so a call that a filter answers or kills for is seen like any other. Before it
//! was the other way round, but those kernels do not say what call it is
//! (`PTRACE_GET_SYSCALL_INFO`, since 5.3) and are refused.
//!
//! A filter that asks for a tracer (`SECCOMP_RET_TRACE`) does not get this one: without
//! `PTRACE_O_TRACESECCOMP` its calls fail with ENOSYS, as they do where nobody traces
//! (kernel/seccomp.c __seccomp_filter).

mod child;
mod ledger;
mod names;
mod output;
mod root;
mod stops;
mod tracer;

use crate::sys::{self, Children};
use atlas_model::observation::End;
use atlas_wire::{Trace, Traced};
use child::{Gate, Plan};
use output::Output;
use std::ffi::CStr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};
use tracer::Tracer;

/// How long output stays in its pipe at most while tasks make calls or wait.
const LOOK: Duration = Duration::from_millis(2);
/// How many of its tasks' changes are taken when time is over: a program of many fast calls goes on.
const LAST_NEWS: usize = 64;

/// Runs a program as its tracer, until all the processes and threads that it came to have
/// ended or time runs out. Every other process of the guest is gone afterwards. `root` is the directory that is
/// its root, and has to be a mount; `close` lists descriptors that the program shall not have.
///
/// It runs as root, with an empty standard input, and nothing but the filter confines it: it may
/// have changed files and settings of the guest, or have halted it. Whoever needs the guest as it
/// was takes a clone for each program.
///
/// A tracer has its limits. The program can find out that it has one, and cannot have another (ptrace(2)).
/// What it starts with `CLONE_UNTRACED` is not seen (kernel/fork.c kernel_clone), only waited for. Calls by the
/// vsyscall page reach a filter without being seen (arch/x86/entry/vsyscall/vsyscall_64.c
/// emulate_vsyscall).
///
/// # Errors
/// A sentence: the program cannot be asked for in this way, there was no process for it, or the kernel
/// does not tell a tracer of calls.
pub fn carry_out(trace: &Trace, root: &CStr, limit: Duration, close: &[i32]) -> Result<Traced, String> {
    let plan = Plan::of(trace, root)?;
    let gate = Gate::get().map_err(|errno| format!("no memory for the program's start: errno {}", -errno))?;
    gate.reset();
    let ((stdout, out_end), (stderr, err_end)) = (Output::new()?, Output::new()?);
    let mut outputs = [stdout, stderr];
    let starved = starved();
    let start = Instant::now();
    let pid = crate::stage::fork();
    if pid == 0 {
        child::run(&plan, gate, [out_end.as_raw_fd(), err_end.as_raw_fd()], close)
    }
    if pid < 0 {
        return Err(format!("there was no process for the program: errno {}", -pid));
    }
    drop((out_end, err_end));
    let first = pid as i32;
    let mut tracer = match Tracer::seize(first, gate, trace.filter.clone()) {
        Ok(tracer) => tracer,
        Err(problem) => {
            sys::kill_everything(std::iter::once(first));
            return Err(problem);
        }
    };
    gate.open();
    let in_time = watch(&mut tracer, &mut outputs, start + limit);
    let micros = start.elapsed().as_micros() as u64;
    sys::kill_everything(std::iter::once(first));
    outputs.iter_mut().for_each(Output::drain);
    let attached = match (gate.attached(), in_time) {
        (Some(attached), _) => attached,
        (None, true) if gate.rooted() < 0 => {
            return Err(format!("the program got no root directory: errno {}", -gate.rooted()));
        }
        (None, true) => return Err("the program's process ended before it attached the filter".into()),
        (None, false) => return Err("time was over before the program was begun".into()),
    };
    let [stdout, stderr] = outputs;
    let cut = stdout.cut || stderr.cut;
    let seen = tracer.close();
    let ended = if attached < 0 { Some(End::NeverMade) } else { seen.end };
    Ok(Traced {
        attached,
        end: ended,
        late: (!in_time).then_some(seen.late),
        calls: seen.calls,
        left_out: seen.left_out,
        stdout: stdout.bytes,
        stderr: stderr.bytes,
        cut,
        missed: seen.missed,
        starved: starved.zip(self::starved()).map(|(before, after)| after.saturating_sub(before)),
        tasks: seen.tasks,
        micros,
    })
}

/// How many processes the kernel has ended for want of memory.
fn starved() -> Option<u64> {
    let counts = sys::read_file("/proc/vmstat")?;
    counts.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
}

/// Whether all tasks ended just before time ran out, of which nobody was told yet.
fn ended_at_last(tracer: &mut Tracer) -> bool {
    for _ in 0..LAST_NEWS {
        match sys::look_at_children() {
            Children::News(pid, status) => tracer.attend(pid, status),
            Children::Nothing => return false,
            Children::Nobody => return true,
        }
    }
    false
}

/// Attends to all tasks until there are none. Returns false when time ran out first.
///
/// What happens to a task raises SIGCHLD, so a program of many fast calls waits for nobody. That output
/// has come does not, and is looked for.
fn watch(tracer: &mut Tracer, outputs: &mut [Output; 2], deadline: Instant) -> bool {
    let mut drained = Instant::now();
    loop {
        let now = Instant::now();
        if now >= deadline {
            return ended_at_last(tracer);
        }
        if now - drained >= LOOK {
            outputs.iter_mut().for_each(Output::drain);
            drained = now;
        }
        match sys::look_at_children() {
            Children::News(pid, status) => tracer.attend(pid, status),
            Children::Nothing => sys::wait_for_child_signal(LOOK.min(deadline - now)),
            Children::Nobody => return true,
        }
    }
}
