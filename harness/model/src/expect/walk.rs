//! The walk over an experiment's steps.

use super::install::as_call;
use super::machine::{Came, Machine, Mode, killed_by, signal};
use super::{Expectation, StepExpected, Value};
use crate::Abi;
use crate::experiment::{CLONE_VM, Call, Experiment, FORK_FLAGS, Op, THREAD_FLAGS, TaskId, layout};
use crate::mutant::{Mutant, is};
use crate::observation::End;
use crate::traits::Traits;

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

impl Machine<'_> {
    fn take(&mut self, id: TaskId, op: &Op) -> StepExpected {
        self.step = StepExpected::default();
        if self.stuck || self.tasks.get(&id).is_none_or(|task| task.end.is_some()) {
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
            Came::Forever => {
                self.stuck = true;
                self.task_mut(id).end = Some(End::TimedOut);
            }
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
                let call = as_call(install);
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
}
