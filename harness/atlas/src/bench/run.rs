//! The measuring: guests booted with a clock that counts instructions, asked item by item.

use super::fit;
use super::list::{Item, REFERENCE};
use super::results::{Bench, KernelBench, Leg, Mitigation, Row, SCHEMA, Spread};
use super::{COMMAND_LINE, CPUS};
use crate::plan::JitChoice;
use crate::results::Jit;
use atlas_vm::kernels::Kernel;
use atlas_vm::{BootOptions, Error, Lost, Machine};
use atlas_wire::measure::{Distribution, Subject};
use atlas_wire::{Measure, Measured, Request, Response};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// How long one measurement may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How much longer than the guest's own limit the host waits.
const MARGIN: Duration = Duration::from_secs(20);
/// How long a boot may take: counting makes guests slower.
const BOOT: Duration = Duration::from_secs(180);
/// A CPU model that kernels take for vulnerable to speculative store bypass, and whose switch emulation
/// accepts: family 17h has it in a register of its own (arch/x86/kernel/cpu/amd.c, MSR_AMD64_LS_CFG).
const VULNERABLE: &str = "EPYC";
/// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`.
const SPEC_ALLOW: u32 = 4;

/// What is to be measured.
pub struct Plan {
    /// The kernels, oldest first.
    pub kernels: Vec<Kernel>,
    /// The settings of the JIT.
    pub jit: JitChoice,
    /// The measurements.
    pub items: Vec<Item>,
    /// Whether to look at the mitigations of speculation, in a guest of its own.
    pub mitigations: bool,
    /// More words for the kernels' command lines.
    pub append: Vec<String>,
    /// How many guests run at once.
    pub jobs: usize,
}

/// How far it has come.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// A kernel boots.
    Boots(&'a str),
    /// It is up.
    IsUp(&'a str),
    /// A measurement was taken.
    Measured(&'a str, Jit, &'a str),
    /// A kernel is done with, for this reason where early.
    Done(&'a str, Option<&'a str>),
}

/// A booted guest that counts.
pub struct Guest(Machine);

impl Guest {
    /// Boots a kernel.
    ///
    /// # Errors
    /// As [`Machine::boot`].
    pub fn boot(image: &Path, append: &[String]) -> Result<Self, Error> {
        let words = COMMAND_LINE.into_iter().map(String::from).chain(append.iter().cloned());
        let options = BootOptions {
            icount: true,
            append: words.collect(),
            cpus: CPUS.map(String::from).to_vec(),
            limit: BOOT,
            ..BootOptions::default()
        };
        Machine::boot(image, &options).map(Self)
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.0
    }

    /// The settings of the JIT that it has, of those that are asked for.
    #[must_use]
    pub fn settings(&self, choice: JitChoice) -> &'static [Jit] {
        choice.settings(self.0.hello().jit.is_some())
    }

    /// Takes one measurement, in so many rounds.
    ///
    /// # Errors
    /// [`Lost`]; a guest is not to be asked again then.
    pub fn measure(&mut self, subject: &Subject, rounds: u32, jit: Jit) -> Result<Measured, Lost> {
        let jit = match jit {
            Jit::On => Some(true),
            Jit::Off => Some(false),
            Jit::Fixed => None,
        };
        let limit_ms = LIMIT.as_millis() as u32;
        let request = Request::Measure(Measure { jit, limit_ms, rounds, subject: subject.clone() });
        match self.0.request(&request, LIMIT + MARGIN)? {
            Response::Measured(measured) => Ok(measured),
            Response::Refused(why) => Ok(Measured::Impossible(why)),
            // The conversation lets no other answer through.
            Response::Hello(_) | Response::Ran(_) | Response::Swept(_) => {
                Ok(Measured::Impossible("another answer".into()))
            }
        }
    }
}

/// Measures everything. `stop` ends it early; kernels that were not measured by then say so.
pub fn run(plan: &Plan, stop: &AtomicBool, tell: &(dyn Fn(Step<'_>) + Sync)) -> Bench {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs.clamp(1, plan.kernels.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, SeqCst);
                    let Some(kernel) = plan.kernels.get(index) else { return };
                    let bench = of_kernel(plan, kernel, stop, tell);
                    tell(Step::Done(&kernel.name, bench.problem.as_deref()));
                    if let Ok(mut done) = done.lock() {
                        done.push((index, bench));
                    }
                }
            });
        }
    });
    let mut kernels = done.into_inner().unwrap_or_default();
    kernels.sort_by_key(|(index, _)| *index);
    Bench {
        schema: SCHEMA,
        tool: env!("CARGO_PKG_VERSION").into(),
        qemu: atlas_vm::version().unwrap_or_else(|error| error.to_string()),
        append: plan.append.clone(),
        kernels: kernels.into_iter().map(|(_, bench)| bench).collect(),
    }
}

fn of_kernel(
    plan: &Plan,
    kernel: &Kernel,
    stop: &AtomicBool,
    tell: &(dyn Fn(Step<'_>) + Sync),
) -> KernelBench {
    let mut bench = KernelBench { name: kernel.name.clone(), ..KernelBench::default() };
    if stop.load(SeqCst) {
        bench.problem = Some("interrupted".into());
        return bench;
    }
    tell(Step::Boots(&kernel.name));
    let mut guest = match Guest::boot(&kernel.path, &plan.append) {
        Ok(guest) => guest,
        Err(error) => {
            bench.problem = Some(format!("no boot: {error}"));
            return bench;
        }
    };
    tell(Step::IsUp(&kernel.name));
    bench.release.clone_from(&guest.0.hello().release);
    bench.cpu = guest.0.cpu().into();
    for &jit in guest.settings(plan.jit) {
        match of_leg(plan, &mut guest, jit, stop, &|name| tell(Step::Measured(&kernel.name, jit, name))) {
            Ok(leg) => bench.legs.push(leg),
            Err(problem) => {
                bench.problem = Some(problem);
                return bench;
            }
        }
    }
    let wrong = fit::wrong(&bench.legs);
    if !wrong.is_empty() {
        bench.problem = Some(format!("measured the wrong thing: {}", wrong.join("; ")));
    }
    drop(guest);
    if plan.mitigations && !stop.load(SeqCst) {
        bench.mitigations = mitigations(kernel, &plan.append);
    }
    bench
}

fn of_leg(
    plan: &Plan,
    guest: &mut Guest,
    jit: Jit,
    stop: &AtomicBool,
    tell: &dyn Fn(&str),
) -> Result<Leg, String> {
    let mut leg = Leg { jit, rows: vec![], fit: None, spreads: vec![] };
    for item in &plan.items {
        if stop.load(SeqCst) {
            return Err("interrupted".into());
        }
        let measured = measured(guest, item, jit).map_err(|lost| {
            format!("the guest was lost at {}, {}: {}", item.name, jit.name(), lost.reason)
        })?;
        if item.exact {
            let row = row(item, &measured, &leg);
            if item.name == REFERENCE && row.instructions.is_none() {
                return Err(format!("{}: {}: figures on this kernel would say nothing", item.name, row.note));
            }
            leg.rows.push(row);
        } else {
            leg.spreads.push(spread(item, &measured));
        }
        tell(&item.name);
    }
    leg.fit = fit::fit(&leg);
    Ok(leg)
}

/// How often a measurement that must be exact is taken before it counts as unsteady.
const TRIES: usize = 3;

/// One measurement. The serial line interrupts the guest by the host's clock, which the guest's
/// instructions do not count; where a round was hit, exact figures are taken again.
fn measured(guest: &mut Guest, item: &Item, jit: Jit) -> Result<Measured, Lost> {
    let mut measured = guest.measure(&item.subject, item.rounds, jit)?;
    for _ in 1..TRIES {
        let unsteady = |measured: &Measured| match measured {
            Measured::Counted { instructions, .. } => !instructions.is_steady(),
            _ => false,
        };
        if !(item.exact && unsteady(&measured)) {
            break;
        }
        measured = guest.measure(&item.subject, item.rounds, jit)?;
    }
    Ok(measured)
}

/// The distribution, or why there is none.
fn counted(item: &Item, measured: &Measured) -> Result<Distribution, String> {
    match measured {
        Measured::Counted { instructions, returned } => match item.returns {
            // ENOSYS, negated.
            Some(wanted) if *returned != wanted && *returned == -38 => Err("not there".into()),
            Some(wanted) if *returned != wanted => Err(format!("returned {returned} instead of {wanted}")),
            _ => Ok(*instructions),
        },
        Measured::NotAttached { filter, errno } => Err(format!("filter {filter} refused: errno {errno}")),
        Measured::Ended(how) => Err(format!("ended: {how}")),
        Measured::Impossible(why) => Err(why.clone()),
        Measured::Speculation(_) => Err("nothing was counted".into()),
    }
}

fn row(item: &Item, measured: &Measured, leg: &Leg) -> Row {
    let (length, steps) = item.lengths();
    let mut row = Row { name: item.name.clone(), length, steps, rounds: item.rounds, ..Row::default() };
    match counted(item, measured) {
        Ok(seen) if seen.is_steady() => row.instructions = Some(seen.min),
        Ok(Distribution { min, p10, p50, p90, .. }) => {
            row.note = format!("not steady: minimum {min}, p10 {p10}, p50 {p50}, p90 {p90}");
        }
        Err(note) => row.note = note,
    }
    let baseline = item.baseline.as_deref().and_then(|name| leg.figure(name));
    row.over = row.instructions.zip(baseline).map(|(figure, bare)| figure as i64 - bare as i64);
    row
}

fn spread(item: &Item, measured: &Measured) -> Spread {
    let of = Spread {
        name: item.name.clone(),
        length: item.lengths().0,
        rounds: item.rounds,
        ..Spread::default()
    };
    match counted(item, measured) {
        Ok(Distribution { min, p10, p50, p90, .. }) => Spread { min, p10, p50, p90, ..of },
        Err(note) => Spread { note, ..of },
    }
}

/// Looks at what attaching a filter changes in the mitigations of speculation, in a guest with a
/// vulnerable processor and the kernel's own settings.
fn mitigations(kernel: &Kernel, append: &[String]) -> Vec<Mitigation> {
    let none = |spec_allow, note: String| Mitigation {
        cpu: VULNERABLE.into(),
        spec_allow,
        note,
        ..Mitigation::default()
    };
    let options = BootOptions {
        append: append.to_vec(),
        cpus: vec![VULNERABLE.into()],
        limit: BOOT,
        ..BootOptions::default()
    };
    let mut guest = match Machine::boot(&kernel.path, &options) {
        Ok(machine) => Guest(machine),
        Err(error) => return vec![none(false, format!("no boot: {error}"))],
    };
    let mut look = |spec_allow| {
        let flags = if spec_allow { SPEC_ALLOW } else { 0 };
        match guest.measure(&Subject::Speculation { flags }, 1, Jit::Fixed) {
            Ok(Measured::Speculation(seen)) => Mitigation {
                vulnerability: seen.store_bypass,
                store_bypass: [seen.before[0], seen.after[0]],
                indirect_branch: [seen.before[1], seen.after[1]],
                status: [seen.status_before, seen.status_after],
                ..none(spec_allow, String::new())
            },
            Ok(other) => none(spec_allow, format!("{other:?}")),
            Err(lost) => none(spec_allow, lost.reason.to_string()),
        }
    };
    vec![look(false), look(true)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::filters;
    use crate::bench::list::{behind, native};

    fn item() -> Item {
        behind("x", vec![filters::compares(3)], native("getppid", 0).unwrap(), Some(1))
    }

    fn seen(min: u64, p90: u64, returned: i64) -> Measured {
        let instructions = Distribution { min, p10: p90, p50: p90, p90, count: 100 };
        Measured::Counted { instructions, returned }
    }

    fn leg() -> Leg {
        let reference = Row { name: REFERENCE.into(), instructions: Some(300), ..Row::default() };
        Leg { jit: Jit::On, rows: vec![reference], fit: None, spreads: vec![] }
    }

    #[test]
    fn a_steady_figure_is_a_row() {
        let row = row(&item(), &seen(400, 400, 1), &leg());
        assert_eq!((row.instructions, row.over, row.length, row.steps), (Some(400), Some(100), 5, 5));
    }

    #[test]
    fn four_figures_are_none() {
        let row = row(&item(), &seen(400, 401, 1), &leg());
        assert_eq!((row.instructions, row.over), (None, None));
        assert_eq!(row.note, "not steady: minimum 400, p10 401, p50 401, p90 401");
    }

    #[test]
    fn a_call_that_returns_something_else_is_not_measured() {
        assert_eq!(row(&item(), &seen(400, 400, -5), &leg()).note, "returned -5 instead of 1");
        assert_eq!(row(&item(), &seen(400, 400, -38), &leg()).note, "not there");
    }
}
