//! Experiments written down as scripts.

use atlas_model::abi::{offset, syscalls};
use atlas_model::bpf::{self, Filter, Insn};
use atlas_model::experiment::effects::Effect;
use atlas_model::experiment::{
    Call, Disposition, Experiment, Install, Op, Program, Step, TaskId, Via, layout,
};
use atlas_model::{Abi, Action};

/// Writes an experiment step by step. Calls by name go by the script's ABI, everything else by the
/// native one.
///
/// ```
/// use atlas_cases::Script;
/// use atlas_model::{Abi, Action};
/// let experiment = Script::new(Abi::X86_64)
///     .no_new_privs()
///     .filter(Script::on(Abi::X86_64, "getppid", Action::Errno(1)))
///     .call("getppid", [])
///     .done();
/// assert_eq!(experiment.steps.len(), 3);
/// ```
#[derive(Clone, Debug)]
pub struct Script {
    abi: Abi,
    task: TaskId,
    experiment: Experiment,
}

impl Script {
    /// A script that makes its calls by an ABI, beginning with task 0.
    #[must_use]
    pub fn new(abi: Abi) -> Self {
        Self { abi, task: 0, experiment: Experiment::default() }
    }

    /// The experiment.
    #[must_use]
    pub fn done(self) -> Experiment {
        self.experiment
    }

    /// What follows is for this task.
    #[must_use]
    pub fn task(mut self, task: TaskId) -> Self {
        self.task = task;
        self
    }

    /// Any step.
    #[must_use]
    pub fn op(mut self, op: Op) -> Self {
        self.experiment.steps.push(Step { task: self.task, op });
        self
    }

    /// Bytes in the scratch area.
    #[must_use]
    pub fn memory(mut self, offset: u32, bytes: &[u8]) -> Self {
        self.experiment.memory.push((offset, bytes.to_vec()));
        self
    }

    /// A call by name; arguments not given are 0.
    #[must_use]
    pub fn call<const N: usize>(self, name: &str, args: [u64; N]) -> Self {
        let nr = u64::from(number(self.abi, name));
        self.number(nr, args)
    }

    /// A call by number.
    #[must_use]
    pub fn number<const N: usize>(self, nr: u64, args: [u64; N]) -> Self {
        let mut six = [0; 6];
        six[..N].copy_from_slice(&args);
        let abi = self.abi;
        self.op(Op::Call(Call { abi, nr, args: six }))
    }

    /// Calls that follow go by another ABI.
    #[must_use]
    pub fn by(mut self, abi: Abi) -> Self {
        self.abi = abi;
        self
    }

    /// `prctl(PR_SET_NO_NEW_PRIVS, 1)`.
    #[must_use]
    pub fn no_new_privs(self) -> Self {
        self.op(native("prctl", [38, 1, 0, 0, 0, 0]))
    }

    /// Gives root's privileges away: `setresuid` to nobody.
    #[must_use]
    pub fn become_nobody(self) -> Self {
        self.op(native("setresuid", [65_534, 65_534, 65_534, 0, 0, 0]))
    }

    /// Enters strict mode by prctl(2).
    #[must_use]
    pub fn strict(self) -> Self {
        self.op(native("prctl", [22, 1, 0, 0, 0, 0]))
    }

    /// Attaches a filter by prctl(2).
    #[must_use]
    pub fn filter(self, filter: Vec<Insn>) -> Self {
        self.install(Via::Prctl, Program::Filter(Filter(filter)))
    }

    /// Attaches a filter by seccomp(2) with flags.
    #[must_use]
    pub fn filter_with(self, flags: u32, filter: Vec<Insn>) -> Self {
        self.install(Via::Seccomp { flags }, Program::Filter(Filter(filter)))
    }

    /// Attaches anything by anything.
    #[must_use]
    pub fn install(self, via: Via, program: Program) -> Self {
        self.op(Op::Install(Install { via, program }))
    }

    /// Makes a process and goes on with the same task.
    #[must_use]
    pub fn fork(self, child: TaskId) -> Self {
        self.op(Op::Fork { child })
    }

    /// Makes a thread and goes on with the same task.
    #[must_use]
    pub fn thread(self, child: TaskId) -> Self {
        self.op(Op::Thread { child })
    }

    /// Makes a process that shares what these bits name (`atlas_model::experiment::SHARES`), and goes
    /// on with the same task.
    #[must_use]
    pub fn clone_with(self, child: TaskId, shares: u64) -> Self {
        self.op(Op::Clone { child, shares })
    }

    /// Executes the guest binary anew.
    #[must_use]
    pub fn exec(self) -> Self {
        self.op(Op::Exec)
    }

    /// The world is watched.
    #[must_use]
    pub fn watch(mut self) -> Self {
        self.experiment.watch = true;
        self
    }

    /// An effect's call with its scratch memory, by the script's ABI.
    ///
    /// # Panics
    /// When there is no such effect, or none by this ABI.
    #[must_use]
    pub fn effect(mut self, name: &str) -> Self {
        let effect = Effect::by_name(name).unwrap_or_else(|| panic!("there is no effect `{name}`"));
        assert!(effect.add_to(&mut self.experiment, self.task, self.abi), "`{name}` by {}", self.abi);
        self
    }

    /// Sets what SIGSYS does.
    #[must_use]
    pub fn sigsys(self, disposition: Disposition) -> Self {
        self.op(Op::Sigsys(disposition))
    }

    /// Blocks SIGSYS.
    #[must_use]
    pub fn mask_sigsys(self) -> Self {
        self.op(Op::MaskSigsys { block: true })
    }

    /// The filter that answers one call of one ABI with an action and allows everything else.
    #[must_use]
    pub fn on(abi: Abi, name: &str, action: Action) -> Vec<Insn> {
        Self::on_word(abi, name, action.word())
    }

    /// The same with a word that need not be an action.
    #[must_use]
    pub fn on_word(abi: Abi, name: &str, word: u32) -> Vec<Insn> {
        vec![
            bpf::ld(offset::ARCH),
            bpf::jeq(abi.audit_arch(), 0, 3),
            bpf::ld(offset::NR),
            bpf::jeq(number(abi, name), 0, 1),
            bpf::ret_word(word),
            bpf::ret(Action::Allow),
        ]
    }

    /// The filter that gives this action for a number, whatever the ABI, and allows everything else.
    #[must_use]
    pub fn on_number(nr: i32, action: Action) -> Vec<Insn> {
        vec![bpf::ld(offset::NR), bpf::jeq(nr as u32, 0, 1), bpf::ret(action), bpf::ret(Action::Allow)]
    }

    /// The filter that answers `getppid` of one ABI with a word a program computes: `body` leaves it
    /// in A. Everything else is allowed.
    #[must_use]
    pub fn computing(abi: Abi, body: &[Insn]) -> Vec<Insn> {
        let skip = body.len() as u8 + 1;
        let mut filter = vec![
            bpf::ld(offset::ARCH),
            bpf::jeq(abi.audit_arch(), 0, skip + 2),
            bpf::ld(offset::NR),
            bpf::jeq(number(abi, "getppid"), 0, skip),
        ];
        filter.extend_from_slice(body);
        filter.extend([bpf::ret_a(), bpf::ret(Action::Allow)]);
        filter
    }
}

/// A call by the native ABI whatever the script's is.
fn native(name: &str, args: [u64; 6]) -> Op {
    Op::Call(Call { abi: Abi::X86_64, nr: u64::from(number(Abi::X86_64, name)), args })
}

/// The number of a call that every kernel since 3.2 has.
///
/// # Panics
/// When the tables do not know the name: a mistake in a case, found by the test that makes them all.
pub(crate) fn number(abi: Abi, name: &str) -> u32 {
    syscalls::number(abi, name).unwrap_or_else(|| panic!("{abi} has no call `{name}`"))
}

/// A harmless place in the scratch area.
pub(crate) const SCRATCH: u64 = layout::SCRATCH;
/// The pipe that can be read.
pub(crate) const FD_READ: u64 = layout::FD_READ;
/// The pipe that can be written.
pub(crate) const FD_WRITE: u64 = layout::FD_WRITE;
