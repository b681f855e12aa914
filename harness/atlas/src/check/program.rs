//! A program of the user's: handed to guests with its files, run behind the filter, and each of its calls judged.

use super::files::Files;
use crate::guests::Guests;
use crate::results::Jit;
use atlas_model::abi::{SeccompData, offset, syscalls};
use atlas_model::action::errno;
use atlas_model::bpf::{Dialect, Free};
use atlas_model::expect::{Expected, behind_from, is_for_probes};
use atlas_model::observation::End;
use atlas_model::sweep::Answer;
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Action, Filter, bpf};
use atlas_vm::Machine;
use atlas_vm::kernels::Kernel;
use atlas_wire::program::PART;
use atlas_wire::{Came, Made, Part, Request, Response, Trace, Traced};
use std::time::Duration;

/// How much longer than the guest's own limit the host waits for an answer.
const MARGIN: Duration = Duration::from_secs(8);
/// How long a part of a file may take on its way.
const PART_LIMIT: Duration = Duration::from_secs(30);

/// A program, and how it is to be run.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its name, which is its first argument.
    pub name: String,
    /// What it finds, itself included.
    pub files: Files,
    /// Where it is among them.
    pub path: String,
    /// Where it is run.
    pub directory: String,
    /// Its arguments behind the name.
    pub arguments: Vec<String>,
    /// Its environment, `NAME=value` each.
    pub environment: Vec<String>,
    /// How long it may take.
    pub limit: Duration,
    /// The exit status that it is to end with.
    pub status: i32,
}

/// A call that the filter denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The call, how often, and what came of it.
    pub made: Made,
    /// What the filter gave.
    pub action: Action,
    /// The instruction that decided.
    pub decided_at: usize,
    /// The arguments that the filter compared on its way there, ascending, from 0.
    pub looked_at: Vec<usize>,
}

/// A call that came out otherwise than the model says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The call, and what came of it.
    pub made: Made,
    /// What the model says.
    pub expected: String,
}

/// What became of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// How it ended; `None` when it had not when time was over.
    pub end: Option<End>,
    /// Whether it ended as it was to.
    pub well: bool,
    /// The calls that the filter denied, in their order.
    pub denied: Vec<Denied>,
    /// The calls that came out otherwise than the model says. One that did not come back is none: its task may have
    /// been ended by another, or by the clock.
    pub wrong: Vec<Wrong>,
    /// Whether the program attached a filter of its own, from which on nothing is judged.
    pub own_filter: bool,
    /// Everything that was seen.
    pub traced: Traced,
}

impl Program {
    /// Runs it in a guest of its own, for it may do there what it likes.
    ///
    /// # Errors
    /// A sentence on why it could not be run, or what became of the guest.
    pub fn run(
        &self,
        kernel: &Kernel,
        guests: &Guests,
        filter: &Filter,
        jit: Jit,
        traits: &Traits,
        tell: &dyn Fn(&str),
    ) -> Result<Ran, String> {
        let mut trouble = |line: String| tell(&format!("{}: {line}", kernel.name));
        let mut machine = guests.take(kernel, &mut trouble).map_err(|error| error.to_string())?;
        self.hand_over(&mut machine)?;
        let name = std::iter::once(self.name.clone());
        let request = Request::Trace(Trace {
            jit: jit.switch(),
            program: self.path.clone(),
            directory: self.directory.clone(),
            limit_ms: u32::try_from(self.limit.as_millis()).unwrap_or(u32::MAX),
            arguments: name.chain(self.arguments.iter().cloned()).collect(),
            environment: self.environment.clone(),
            filter: Some(filter.clone()),
        });
        match machine.request(&request, self.limit + MARGIN) {
            Ok(Response::Traced(traced)) => self.judge(traced, filter, traits),
            Ok(Response::Refused(why)) => Err(why),
            Ok(_) => Err("the guest answered something that was not asked".into()),
            Err(lost) => Err(format!("the guest was lost: {lost}")),
        }
    }

    fn hand_over(&self, machine: &mut Machine) -> Result<(), String> {
        for file in self.files.all() {
            let mut offset = 0;
            // A file without a byte is a file.
            let first = file.bytes.get(..PART).unwrap_or(&file.bytes);
            for bytes in std::iter::once(first).chain(file.bytes[first.len()..].chunks(PART)) {
                let (path, kind, bytes) = (file.path.clone(), file.kind, bytes.to_vec());
                let length = offset + bytes.len() as u64;
                match machine.request(&Request::Put(Part { path, kind, offset, bytes }), PART_LIMIT) {
                    Ok(Response::Stored(stored)) if stored == length => offset = length,
                    Ok(Response::Refused(why)) => return Err(why),
                    Ok(_) => return Err(format!("the guest did not take {} over", file.path)),
                    Err(lost) => return Err(format!("the guest was lost: {lost}")),
                }
            }
        }
        Ok(())
    }

    /// Judges what was seen.
    ///
    /// # Errors
    /// Where the filter was not attached.
    pub fn judge(&self, traced: Traced, filter: &Filter, traits: &Traits) -> Result<Ran, String> {
        if traced.attached != 0 {
            let errno = -traced.attached;
            let name = errno::name(errno).map(|name| format!(" {name}")).unwrap_or_default();
            return Err(format!("the filter was refused with errno {errno}{name}"));
        }
        let (mut denied, mut wrong) = (Vec::new(), Vec::new());
        let mut own_filter = false;
        for made in &traced.calls {
            let call = made.call();
            let ran = bpf::run(filter, &call.data_at(made.ip), &atlas_model::expect::dialect(traits));
            let action = Action::from_word(ran.word);
            own_filter |= attaches(made);
            if is_for_probes(&call) {
                continue;
            }
            if lets_through(action, traits) {
                if !own_filter && matches!(made.came, Came::Trapped(_)) {
                    wrong.push(Wrong { made: made.clone(), expected: "the filter lets it through".into() });
                }
                continue;
            }
            let looked_at = looked_at(filter, &call.data_at(made.ip));
            denied.push(Denied { made: made.clone(), action, decided_at: ran.decided_at, looked_at });
            if own_filter || made.came == Came::Never {
                continue;
            }
            let foreseen = behind_from(std::slice::from_ref(filter), &[(call, made.ip)], traits);
            let expected = foreseen.ok().and_then(|mut all| all.pop()).map(|foreseen| foreseen.answer);
            if let Some(expected) = expected.filter(|expected| !takes(expected, &made.came)) {
                wrong.push(Wrong { made: made.clone(), expected: said(&expected) });
            }
        }
        let well = traced.end == Some(End::Exited(self.status)) && traced.late.is_none();
        Ok(Ran { end: traced.end, well, denied, wrong, own_filter, traced })
    }
}

/// The arguments that a filter compares on a call's way.
fn looked_at(filter: &Filter, data: &SeccompData) -> Vec<usize> {
    let found = bpf::ways(filter, data, Free::Arguments, &Dialect::default(), 1);
    let compared = |at: u32| found.ways.iter().flat_map(|way| &way.tests).any(|test| test.at == at);
    let index = |index: &u32| compared(offset::arg_low(*index)) || compared(offset::arg_high(*index));
    (0..6).filter(index).map(|index| index as usize).collect()
}

/// Whether a call has put its task behind a filter, or into strict mode (prctl(2), seccomp(2)).
fn attaches(made: &Made) -> bool {
    const PR_SET_SECCOMP: u64 = 22;
    let setting = match syscalls::name(made.abi, made.nr) {
        Some("seccomp") => made.args[0] <= 1,
        Some("prctl") => made.args[0] as u32 == PR_SET_SECCOMP as u32,
        _ => false,
    };
    setting && matches!(made.came, Came::Back(0..))
}

fn lets_through(action: Action, traits: &Traits) -> bool {
    action == Action::Allow || action == Action::Log && traits.has(Feature::ActionLog)
}

/// Whether what came of a call is what must.
fn takes(expected: &Expected, came: &Came) -> bool {
    match (expected, came) {
        (Expected::Exactly(Answer::Value(value)), Came::Back(back)) => value == back,
        // Where it was made from is the program's affair.
        (Expected::Exactly(Answer::Trap(trap)), Came::Trapped(seen)) => {
            (trap.errno, trap.syscall, trap.arch) == (seen.errno, seen.syscall, seen.arch)
        }
        (Expected::OneOf(values), Came::Back(back)) => values.contains(back),
        _ => false,
    }
}

fn said(expected: &Expected) -> String {
    match expected {
        Expected::Exactly(Answer::Value(value)) => format!("it returns {value}"),
        Expected::Exactly(Answer::Trap(trap)) => format!("it is trapped with data {}", trap.errno),
        Expected::Exactly(Answer::Killed(signal)) => format!("it ends in signal {signal}"),
        Expected::OneOf(values) => format!("it returns one of {values:?}"),
        Expected::Runs => "it runs".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_model::Abi;
    use atlas_model::observation::Sigsys;

    fn program() -> Program {
        Program {
            name: "it".into(),
            files: Files::default(),
            path: "/it".into(),
            directory: "/".into(),
            arguments: vec![],
            environment: vec![],
            limit: Duration::ZERO,
            status: 3,
        }
    }

    fn made(nr: u32, came: Came) -> Made {
        Made { abi: Abi::X86_64, nr, args: [0; 6], ip: 0x1234, came, count: 1, path: None, task: 0 }
    }

    fn judged(calls: Vec<Made>) -> Ran {
        let filter = Filter(vec![
            bpf::ld(0),
            bpf::jeq(1, 0, 1),
            bpf::ret(Action::Errno(5000)),
            bpf::jeq(2, 0, 1),
            bpf::ret(Action::Trap(7)),
            bpf::jeq(3, 0, 1),
            bpf::ret(Action::KillProcess),
            bpf::jeq(4, 0, 1),
            bpf::ret(Action::UserNotif),
            bpf::jeq(5, 0, 1),
            bpf::ret(Action::Log),
            bpf::ret(Action::Allow),
        ]);
        let traced = Traced { end: Some(End::Exited(3)), calls, tasks: 1, ..Traced::default() };
        program().judge(traced, &filter, &Traits::newest()).unwrap()
    }

    fn trap(errno: i32) -> Came {
        let arch = Abi::X86_64.audit_arch();
        Came::Trapped(Sigsys { signo: 31, code: 1, errno, call_addr: 9, syscall: 2, arch, result: 2 })
    }

    #[test]
    fn what_the_filter_denied_is_told_and_what_came_otherwise_too() {
        let right = judged(vec![
            made(0, Came::Back(-1)),
            made(1, Came::Back(-4095)),
            made(2, trap(7)),
            made(3, Came::Never),
            made(4, Came::Back(-38)),
            made(5, Came::Back(0)),
            made(60, Came::Never),
        ]);
        assert!(right.well && right.wrong.is_empty(), "{:?}", right.wrong);
        let denied: Vec<(u32, usize)> = right.denied.iter().map(|it| (it.made.nr, it.decided_at)).collect();
        assert_eq!(denied, [(1, 2), (2, 4), (3, 6), (4, 8)]);
        for (call, expected) in [
            (made(1, Came::Back(-5000)), "it returns -4095"),
            (made(2, trap(8)), "it is trapped with data 7"),
            (made(2, Came::Back(0)), "it is trapped with data 7"),
            (made(3, Came::Back(-1)), "it ends in signal 31"),
            (made(4, Came::Back(0)), "it returns -38"),
            (made(9, trap(1)), "the filter lets it through"),
        ] {
            let wrong = judged(vec![call]).wrong;
            assert_eq!(wrong.len(), 1, "{expected}");
            assert_eq!(wrong[0].expected, expected);
        }
    }

    #[test]
    fn what_may_have_other_reasons_is_not_judged() {
        // Ended by another task, or by the clock.
        assert_eq!(judged(vec![made(1, Came::Never), made(2, Came::Never)]).wrong, []);
        // A filter of the program's own is stricter, and then so are the answers.
        let attach = Made { args: [1, 0, 0x7fff_0000, 0, 0, 0], ..made(317, Came::Back(0)) };
        let behind = judged(vec![attach.clone(), made(1, Came::Back(-13)), made(9, trap(1))]);
        assert!(behind.own_filter && behind.wrong.is_empty() && behind.denied.len() == 1);
        let failed = Made { came: Came::Back(-22), ..attach };
        assert_eq!(judged(vec![failed, made(1, Came::Back(-13))]).wrong.len(), 1);
    }

    #[test]
    fn a_filter_that_was_not_attached_is_an_error() {
        let traced = Traced { attached: -22, ..Traced::default() };
        let error = program().judge(traced, &Filter::default(), &Traits::newest()).unwrap_err();
        assert_eq!(error, "the filter was refused with errno 22 EINVAL");
    }
}
