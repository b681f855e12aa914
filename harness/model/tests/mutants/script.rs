//! Short ways to say experiments.

use atlas_model::abi::offset;
use atlas_model::bpf::{self, Insn};
use atlas_model::experiment::effects::Effect;
use atlas_model::experiment::{Call, Disposition, Experiment, Install, Op, Program, Step, TaskId, Via};
use atlas_model::{Abi, Action, Filter};

pub(crate) const GETPPID: u64 = 110;

/// An experiment on its way.
pub(crate) struct Script {
    pub(crate) experiment: Experiment,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self { experiment: Experiment::default() }
    }

    pub(crate) fn memory(mut self, word: u32) -> Self {
        self.experiment.memory.push((0, word.to_le_bytes().into()));
        self
    }

    fn step(mut self, task: TaskId, op: Op) -> Self {
        self.experiment.steps.push(Step { task, op });
        self
    }

    pub(crate) fn thread(self) -> Self {
        let child = self.experiment.tasks() as TaskId;
        self.step(0, Op::Thread { child })
    }

    pub(crate) fn fork(self) -> Self {
        let child = self.experiment.tasks() as TaskId;
        self.step(0, Op::Fork { child })
    }

    /// Attaches a filter by seccomp(2) with flags.
    pub(crate) fn attach(self, task: TaskId, flags: u32, insns: Vec<Insn>) -> Self {
        let program = Program::Filter(Filter(insns));
        self.step(task, Op::Install(Install { via: Via::Seccomp { flags }, program }))
    }

    /// Task 0 attaches a filter by prctl(2).
    pub(crate) fn filter(self, insns: Vec<Insn>) -> Self {
        let program = Program::Filter(Filter(insns));
        self.step(0, Op::Install(Install { via: Via::Prctl, program }))
    }

    pub(crate) fn call(self, task: TaskId, nr: u64, args: &[u64]) -> Self {
        self.call_by(Abi::X86_64, task, nr, args)
    }

    pub(crate) fn call_by(self, abi: Abi, task: TaskId, nr: u64, args: &[u64]) -> Self {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        self.step(task, Op::Call(Call { abi, nr, args: all }))
    }

    pub(crate) fn getppid(self, task: TaskId) -> Self {
        self.call(task, GETPPID, &[])
    }

    pub(crate) fn sigsys(self, disposition: Disposition) -> Self {
        self.step(0, Op::Sigsys(disposition))
    }

    pub(crate) fn tracer(mut self) -> Self {
        self.experiment.tracer = true;
        self
    }

    pub(crate) fn exec(self) -> Self {
        self.step(0, Op::Exec)
    }

    /// One effect behind a filter that answers its call, watched.
    pub(crate) fn watched(self, effect: &str, action: Action) -> Self {
        let effect = Effect::by_name(effect).expect("an effect");
        let call = effect.call(Abi::X86_64).expect("a native call");
        let filter = vec![
            bpf::ld(offset::NR),
            bpf::jeq(call.nr as u32, 0, 1),
            bpf::ret(action),
            bpf::ret(Action::Allow),
        ];
        let mut script = self.filter(filter).step(0, Op::Call(call));
        script.experiment.memory.extend(effect.memory(Abi::X86_64));
        script.experiment.watch = true;
        script
    }

    pub(crate) fn block(self) -> Self {
        self.step(0, Op::MaskSigsys { block: true })
    }

    pub(crate) fn rdtsc(self) -> Self {
        self.step(0, Op::Rdtsc)
    }

    pub(crate) fn no_new_privs(self) -> Self {
        self.call(0, 157, &[38, 1])
    }

    pub(crate) fn has_no_new_privs(self, task: TaskId) -> Self {
        self.call(task, 157, &[39])
    }

    pub(crate) fn strict(self, task: TaskId) -> Self {
        self.call(task, 157, &[22, 1])
    }

    /// setresuid to nobody.
    pub(crate) fn nobody(self) -> Self {
        self.call(0, 117, &[65_534; 3])
    }
}

pub(crate) fn allow() -> Vec<Insn> {
    vec![bpf::ret(Action::Allow)]
}

/// A filter that gives a word for one call and allows the others.
pub(crate) fn on_call(nr: u32, word: u32) -> Vec<Insn> {
    vec![bpf::ld(0), bpf::jeq(nr, 0, 1), bpf::ret_word(word), bpf::ret(Action::Allow)]
}

pub(crate) fn on_getppid(word: u32) -> Vec<Insn> {
    on_call(GETPPID as u32, word)
}
