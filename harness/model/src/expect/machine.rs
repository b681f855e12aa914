//! Tasks, processes and the walk over the steps.

use super::world::{self, Own};
use super::{Expectation, StepExpected, Value};
use crate::Abi;
use crate::action::Action;
use crate::bpf::Filter;
use crate::experiment::{
    CLONE_VM, Call, Disposition, Experiment, FORK_FLAGS, Op, THREAD_FLAGS, TaskId, layout,
};
use crate::mutant::{Mutant, is};
use crate::observation::End;
use crate::traits::Traits;
use crate::world::World;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// SIGSYS, SIGSEGV, SIGILL and SIGKILL on x86.
pub(super) mod signal {
    pub(in crate::expect) const ILL: i32 = 4;
    pub(in crate::expect) const KILL: i32 = 9;
    pub(in crate::expect) const SEGV: i32 = 11;
    pub(in crate::expect) const SYS: i32 = 31;
}

/// Seccomp state of a task (`struct seccomp` in the kernel's `task_struct`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Disabled,
    Strict,
    Filter,
}

/// An attached filter.
#[derive(Debug)]
pub(super) struct Attached {
    /// Unique within the experiment: a filter is another's ancestor by identity, not by content.
    pub(super) id: usize,
    pub(super) filter: Filter,
    pub(super) listener: bool,
}

/// A task.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// The task that leads the process.
    pub(super) leader: TaskId,
    /// The task whose thread id it has: itself, or after `execve` the leader.
    pub(super) identity: TaskId,
    pub(super) mode: Mode,
    /// Newest last.
    pub(super) filters: Vec<Rc<Attached>>,
    pub(super) no_new_privs: bool,
    /// CAP_SYS_ADMIN in its user namespace; the first task is root.
    pub(super) privileged: bool,
    pub(super) sigsys_blocked: bool,
    pub(super) own: Own,
    pub(super) end: Option<End>,
}

impl Task {
    /// As if its maker had none.
    pub(super) fn forget_filters(&mut self) {
        self.mode = Mode::Disabled;
        self.filters.clear();
    }
}

/// A process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    /// What SIGSYS does, which `CLONE_SIGHAND` shares.
    pub(super) sigsys: Rc<Cell<Disposition>>,
    /// Exit status the leader left when it ended before other threads.
    pub(super) leader_end: Option<End>,
}

/// How a step's call came out.
pub(super) enum Came {
    /// It returned.
    Back(Value),
    /// Its thread ends with what a wait would then show if it is the last one.
    ThreadEnds(End),
    /// Its process ends.
    ProcessEnds(End),
}

/// The model's state.
pub(super) struct Machine<'a> {
    pub(super) traits: &'a Traits,
    pub(super) experiment: &'a Experiment,
    pub(super) tasks: BTreeMap<TaskId, Task>,
    pub(super) processes: BTreeMap<TaskId, Process>,
    pub(super) attached: usize,
    pub(super) pipe_left: u64,
    /// The world but for its tasks.
    pub(super) world: World,
    /// A call ran of which nobody knows what it did.
    pub(super) world_unknown: bool,
    /// What the step under way shows.
    pub(super) step: StepExpected,
}

/// What a kernel with these traits must show of an experiment.
#[must_use]
pub fn expect(experiment: &Experiment, traits: &Traits) -> Expectation {
    let mut machine = Machine::new(experiment, traits);
    let steps = experiment.steps.iter().map(|step| machine.take(step.task, &step.op)).collect();
    let tasks = (0..experiment.tasks()).map(|task| match machine.tasks.get(&(task as TaskId)) {
        None => End::NeverMade,
        Some(task) => task.end.unwrap_or(End::Alive),
    });
    let tasks = tasks.collect();
    Expectation { steps, tasks, world: machine.world_changes() }
}

fn plain(nr: u64, args: [u64; 6]) -> Call {
    Call { abi: Abi::X86_64, nr, args }
}

impl<'a> Machine<'a> {
    pub(super) fn new(experiment: &'a Experiment, traits: &'a Traits) -> Self {
        let first = Task {
            leader: 0,
            identity: 0,
            mode: Mode::Disabled,
            filters: Vec::new(),
            no_new_privs: false,
            privileged: true,
            sigsys_blocked: false,
            own: Own::first(),
            end: None,
        };
        let process = Process { sigsys: Rc::new(Cell::new(Disposition::Default)), leader_end: None };
        Self {
            traits,
            experiment,
            tasks: BTreeMap::from([(0, first)]),
            processes: BTreeMap::from([(0, process)]),
            attached: 0,
            pipe_left: layout::PIPE_BYTES,
            world: world::at_start(),
            world_unknown: false,
            step: StepExpected::default(),
        }
    }

    fn take(&mut self, id: TaskId, op: &Op) -> StepExpected {
        self.step = StepExpected::default();
        if self.tasks.get(&id).is_none_or(|task| task.end.is_some()) {
            return StepExpected::default();
        }
        self.step.reached = true;
        match self.came_out(id, op) {
            Came::Back(value) => {
                self.world_unknown |= value == Value::Any;
                self.step.returned = Some(value);
            }
            Came::ThreadEnds(end) => self.end_thread(id, end),
            Came::ProcessEnds(end) => self.end_process(id, end),
        }
        std::mem::take(&mut self.step)
    }

    fn came_out(&mut self, id: TaskId, op: &Op) -> Came {
        match op {
            Op::Call(call) => self.call(id, call),
            Op::Rdtsc if self.task(id).mode == Mode::Strict && !is(Mutant::StrictRdtsc) => {
                self.step.why = "strict mode forbids RDTSC".into();
                Came::ProcessEnds(killed_by(signal::SEGV))
            }
            Op::Rdtsc => Came::Back(Value::Exactly(0)),
            Op::Install(install) => {
                let call = install::as_call(install);
                self.guarded(id, &call, |machine| machine.install(id, install))
            }
            Op::Sigsys(disposition) => {
                let call = plain(13, [signal::SYS as u64, layout::SIGACTION, 0, 8, 0, 0]);
                self.guarded(id, &call, |machine| {
                    machine.process(id).sigsys.set(*disposition);
                    Value::Exactly(0)
                })
            }
            Op::MaskSigsys { block } => {
                let call = plain(14, [u64::from(!block), layout::SIGSET, 0, 8, 0, 0]);
                self.guarded(id, &call, |machine| {
                    machine.task_mut(id).sigsys_blocked = *block;
                    Value::Exactly(0)
                })
            }
            Op::Fork { child } => {
                let tid = layout::tid_word(*child);
                let call = plain(56, [FORK_FLAGS, 0, tid, tid, 0, 0]);
                self.guarded(id, &call, |machine| machine.make_process(id, *child, 0))
            }
            Op::Thread { child } => {
                let tid = layout::tid_word(*child);
                let call = plain(56, [THREAD_FLAGS, layout::stack_top(*child), tid, tid, 0, 0]);
                self.guarded(id, &call, |machine| machine.make_thread(id, *child))
            }
            Op::Clone { child, shares } => {
                let tid = layout::tid_word(*child);
                let stack = if shares & CLONE_VM != 0 { layout::stack_top(*child) } else { 0 };
                let call = plain(56, [FORK_FLAGS | shares, stack, tid, tid, 0, 0]);
                self.guarded(id, &call, |machine| machine.make_process(id, *child, *shares))
            }
            Op::Exec => {
                let pointers = [layout::EXEC_PATH, layout::EXEC_ARGV, layout::EXEC_ENVP, 0, 0, 0];
                self.guarded(id, &plain(59, pointers), |machine| machine.execute(id))
            }
        }
    }

    pub(super) fn task(&self, id: TaskId) -> &Task {
        &self.tasks[&id]
    }

    pub(super) fn task_mut(&mut self, id: TaskId) -> &mut Task {
        self.tasks.get_mut(&id).expect("the task takes a step, so it was made")
    }

    pub(super) fn process(&self, id: TaskId) -> &Process {
        &self.processes[&self.task(id).leader]
    }

    pub(super) fn process_mut(&mut self, id: TaskId) -> &mut Process {
        let leader = self.task(id).leader;
        self.processes.get_mut(&leader).expect("every leader has a process")
    }
}

/// The end of a process by a signal. Guests run with a core limit of 0, so no core-dump flag.
pub(super) fn killed_by(signal: i32) -> End {
    End::Signaled { signal, core: false }
}

use super::install;

/// What an action's name is good for in an explanation.
pub(super) fn decided(action: Action, filter: usize, of: usize, at: usize) -> String {
    format!("{action} by instruction {at} of filter {filter} of {of}, counted from the newest")
}
