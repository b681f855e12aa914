//! The tracer: what each task of a program is in, and how it goes on.

use super::child::Gate;
use super::ledger::{Begun, Decision, Ledger, SYS_SECCOMP};
use super::names::{Missed, name_of};
use super::stops::{self, Stop};
use crate::{ptrace, sys};
use atlas_model::observation::{End, Sigsys};
use atlas_model::{Call, Filter};
use atlas_wire::program::{LeftOut, MAX_LATE};
use atlas_wire::{Came, Late, Made};
use std::collections::BTreeMap;

/// What a call stops a task by, with `PTRACE_O_TRACESYSGOOD`.
const CALL_STOP: i32 = libc::SIGTRAP | 0x80;

/// `PTRACE_O_TRACESYSGOOD`, `TRACEFORK`, `TRACEVFORK`, `TRACECLONE`, `TRACEEXEC` and `EXITKILL`
/// (include/uapi/linux/ptrace.h).
const OPTIONS: u64 = 1 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 20;

/// A task that has not ended.
struct Task {
    number: u32,
    open: Option<Open>,
}

/// A call that is not over.
struct Open {
    begun: Begun,
    /// The call was not made: seccomp has put the registers back as they were, and this is what the result's
    /// holds now. SIGSYS is on its way, to be delivered or to end the task.
    undone: Option<i64>,
}

/// Follows a program.
pub(super) struct Tracer {
    first: i32,
    gate: &'static Gate,
    filter: Option<Filter>,
    tasks: BTreeMap<i32, Task>,
    /// How many tasks have been seen.
    seen: u32,
    /// How many calls have been begun.
    begun: u64,
    ledger: Ledger,
    missed: Missed,
    /// The first task is the program by now.
    executed: bool,
    end: Option<End>,
}

/// What a tracer has seen.
pub(super) struct Seen {
    pub(super) end: Option<End>,
    /// The tasks that have not ended.
    pub(super) late: Vec<Late>,
    pub(super) calls: Vec<Made>,
    pub(super) left_out: LeftOut,
    pub(super) missed: Vec<String>,
    pub(super) tasks: u32,
}

impl Tracer {
    /// Begins to follow a process that waits at the gate.
    ///
    /// # Errors
    /// A sentence, where it cannot be followed.
    pub(super) fn seize(first: i32, gate: &'static Gate, filter: Option<Filter>) -> Result<Self, String> {
        let ask = || {
            ptrace::seize(first, OPTIONS)?;
            // Stops at calls begin with a stop.
            ptrace::interrupt(first)?;
            let _ = sys::wait_for(first, libc::__WALL);
            stops::stop(first)
        };
        match ask() {
            Ok(_) => ptrace::go_on_to_a_call(first, 0),
            // EIO is what ptrace(2) says of requests that it does not know.
            Err(errno) if errno == -i64::from(libc::EIO) => {
                let lacks = "this kernel does not tell a tracer of calls: it has no PTRACE_GET_SYSCALL_INFO";
                return Err(format!("{lacks}, which came with 5.3"));
            }
            Err(errno) => return Err(format!("the program could not be traced: errno {}", -errno)),
        }
        let tasks = BTreeMap::from([(first, Task { number: 0, open: None })]);
        let (ledger, missed) = (Ledger::default(), Missed::default());
        Ok(Self { first, gate, filter, tasks, seen: 1, begun: 0, ledger, missed, executed: false, end: None })
    }

    /// Takes a wait status: notes what it says, and lets a stopped task go on.
    pub(super) fn attend(&mut self, tid: i32, status: i32) {
        if !libc::WIFSTOPPED(status) {
            return self.ended(tid, status);
        }
        let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
        if event == libc::PTRACE_EVENT_EXEC {
            self.executed(tid);
        } else {
            // Its maker's stop may come later than the first of its own.
            self.tasks.entry(tid).or_insert_with(|| {
                self.seen += 1;
                Task { number: self.seen - 1, open: None }
            });
        }
        match (event, signal) {
            (0, CALL_STOP) => {
                self.call(tid);
                ptrace::go_on_to_a_call(tid, 0);
            }
            (0, signal) => {
                if signal == libc::SIGSYS {
                    self.trapped(tid);
                }
                ptrace::go_on_to_a_call(tid, signal);
            }
            // A group-stop (ptrace(2), "Group-stop"); the event is also that of new tasks.
            (libc::PTRACE_EVENT_STOP, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) => {
                ptrace::leave_stopped(tid);
            }
            _ => ptrace::go_on_to_a_call(tid, 0),
        }
    }

    /// A call begins or is over.
    fn call(&mut self, tid: i32) {
        let stop = stops::stop(tid);
        if matches!(stop, Ok(Stop::Entry { .. })) {
            // No call is begun before the one before it is over. Should one be, it is not lost.
            self.over(tid, Came::Never);
        }
        let Some(task) = self.tasks.get_mut(&tid) else { return };
        match stop {
            // What comes before is how the program is started.
            Ok(Stop::Entry { abi, nr, args, ip }) if self.gate.attached() == Some(0) => {
                let call = Call { abi, nr: nr.into(), args };
                let decision = Decision::of(self.filter.as_ref(), &call, ip);
                let path = if decision.lets_through() { None } else { name_of(tid, &call) };
                let begun = Begun { at: self.begun, task: task.number, abi, nr, args, ip, decision, path };
                self.begun += 1;
                task.open = Some(Open { begun, undone: None });
            }
            Ok(Stop::Exit(result)) => {
                let Some(open) = &mut task.open else { return };
                // seccomp puts the number back into the result's register (syscall_rollback) when it raises
                // SIGSYS (kernel/seccomp.c __seccomp_filter), and the task stops at this end all the same.
                if result as u32 == open.begun.nr && stops::pending_signal(tid).is_some_and(|it| raised(&it))
                {
                    open.undone = Some(result);
                    return;
                }
                if result == -i64::from(libc::ENOENT) && open.begun.decision.lets_through() {
                    self.missed.note(tid, &open.begun.call());
                }
                self.over(tid, Came::Back(result));
                if tid == self.first && !self.executed {
                    // The execve of the program has returned, so there is none.
                    self.end = Some(End::NeverMade);
                    sys::kill(tid, libc::SIGKILL);
                }
            }
            // Killed meanwhile, which its end will say.
            Ok(_) | Err(_) => {}
        }
    }

    /// A SIGSYS is about to be delivered.
    fn trapped(&mut self, tid: i32) {
        let open = self.tasks.get(&tid).and_then(|task| task.open.as_ref());
        let undone = open.and_then(|open| open.undone);
        if let (Some(result), Some(signal)) = (undone, stops::signal(tid).filter(raised)) {
            self.over(tid, Came::Trapped(Sigsys { result, ..signal }));
        }
    }

    /// A task has executed an image. One that was not its process's leader has the leader's id now; the
    /// leader is gone without a word (ptrace(2), "execve(2) under ptrace").
    fn executed(&mut self, tid: i32) {
        self.executed |= tid == self.first;
        let before = ptrace::message(tid).map_or(tid, |before| before as i32);
        if before != tid
            && let Some(task) = self.tasks.remove(&before)
        {
            self.over(tid, Came::Never);
            self.tasks.insert(tid, task);
        }
    }

    fn ended(&mut self, tid: i32, status: i32) {
        self.over(tid, Came::Never);
        self.tasks.remove(&tid);
        if tid == self.first {
            self.end = self.end.or(Some(sys::end_of(status)));
        }
    }

    /// Notes what came of the call that a task is in, if it is in one.
    fn over(&mut self, tid: i32, came: Came) {
        if let Some(open) = self.tasks.get_mut(&tid).and_then(|task| task.open.take()) {
            self.ledger.note(&open.begun, came);
        }
    }

    /// Ends the account: what is still open never came back.
    pub(super) fn close(mut self) -> Seen {
        let late =
            |task: &Task| Late { task: task.number, call: task.open.as_ref().map(|open| open.begun.call()) };
        let mut late: Vec<Late> = self.tasks.values().map(late).collect();
        late.sort_by_key(|late| late.task);
        late.truncate(MAX_LATE);
        let left: Vec<i32> = self.tasks.keys().copied().collect();
        left.into_iter().for_each(|tid| self.over(tid, Came::Never));
        let (calls, left_out) = self.ledger.close();
        Seen { end: self.end, late, calls, left_out, missed: self.missed.close(), tasks: self.seen }
    }
}

/// Whether seccomp has raised it.
fn raised(signal: &Sigsys) -> bool {
    signal.code == SYS_SECCOMP
}
