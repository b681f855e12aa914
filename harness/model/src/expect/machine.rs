//! The model's state: tasks, processes, and what they have.

use super::own::{Own, at_start};
use super::{StepExpected, Value};
use crate::action::Action;
use crate::bpf::Filter;
use crate::experiment::{Disposition, Experiment, TaskId, layout};
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
    /// It is made for ever, and nobody's turn comes any more.
    Forever,
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
    /// Whether a step goes on for ever.
    pub(super) stuck: bool,
    /// What the step under way shows.
    pub(super) step: StepExpected,
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
            world: at_start(),
            world_unknown: false,
            stuck: false,
            step: StepExpected::default(),
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

/// What an action's name is good for in an explanation.
pub(super) fn decided(action: Action, filter: usize, of: usize, at: usize) -> String {
    format!("{action} by instruction {at} of filter {filter} of {of}, counted from the newest")
}
