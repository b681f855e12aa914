//! The measuring: guests booted with a clock that counts instructions, asked item by item.

use super::list::Item;
use super::measuring::{self, Count};
use super::results::{Bench, KernelBench, Leg, Mitigation, SCHEMA};
use super::{COMMAND_LINE, CPUS, fit, mitigations};
use crate::plan::JitChoice;
use crate::results::Jit;
use atlas_vm::kernels::Kernel;
use atlas_vm::{BootOptions, Error, Lost, Machine};
use atlas_wire::measure::Subject;
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
pub(super) const BOOT: Duration = Duration::from_secs(180);
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
    /// It is up, for this setting of the JIT.
    IsUp(&'a str, Jit),
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

    /// A machine that is up already.
    pub(super) fn of(machine: Machine) -> Self {
        Self(machine)
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

impl Count for Guest {
    fn count(&mut self, subject: &Subject, rounds: u32, jit: Jit) -> Result<Measured, Lost> {
        self.measure(subject, rounds, jit)
    }
}

/// What one guest is booted for.
#[derive(Clone, Copy)]
enum Part {
    /// The measurements with this of the settings of the JIT that the kernel turns out to have.
    Leg(usize),
    /// The look at the mitigations.
    Mitigations,
}

/// What came of it.
enum Came {
    Leg {
        release: String,
        cpu: String,
        leg: Leg,
    },
    Mitigations(Vec<Mitigation>),
    /// The kernel has no such setting.
    Nothing,
    Problem(String),
}

/// Measures everything: a guest for each kernel and setting of the JIT, so that one kernel keeps several
/// processors busy. `stop` ends it early; kernels that were not measured by then say so.
pub fn run(plan: &Plan, stop: &AtomicBool, tell: &(dyn Fn(Step<'_>) + Sync)) -> Bench {
    let parts = parts(plan);
    let next = AtomicUsize::new(0);
    let came: Mutex<Vec<Vec<(usize, Came)>>> = Mutex::new(plan.kernels.iter().map(|_| vec![]).collect());
    let done: Mutex<Vec<Option<KernelBench>>> = Mutex::new(vec![None; plan.kernels.len()]);
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs.clamp(1, (parts.len() * plan.kernels.len()).max(1)) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, SeqCst);
                    let (index, part) = (number / parts.len(), number % parts.len());
                    let Some(kernel) = plan.kernels.get(index) else { return };
                    let came_of_it = of_part(plan, kernel, parts[part], stop, tell);
                    let Ok(mut all) = came.lock() else { return };
                    all[index].push((part, came_of_it));
                    if all[index].len() == parts.len() {
                        let bench = together(kernel, std::mem::take(&mut all[index]));
                        tell(Step::Done(&kernel.name, bench.problem.as_deref()));
                        if let Ok(mut done) = done.lock() {
                            done[index] = Some(bench);
                        }
                    }
                }
            });
        }
    });
    let kernels = done.into_inner().unwrap_or_default();
    Bench {
        schema: SCHEMA,
        tool: env!("CARGO_PKG_VERSION").into(),
        qemu: atlas_vm::version().unwrap_or_else(|error| error.to_string()),
        append: plan.append.clone(),
        kernels: kernels.into_iter().flatten().collect(),
    }
}

/// The guests that each kernel is booted for, one at least.
fn parts(plan: &Plan) -> Vec<Part> {
    let legs = (0..plan.jit.settings(true).len()).map(Part::Leg);
    legs.chain(plan.mitigations.then_some(Part::Mitigations)).collect()
}

fn of_part(
    plan: &Plan,
    kernel: &Kernel,
    part: Part,
    stop: &AtomicBool,
    tell: &(dyn Fn(Step<'_>) + Sync),
) -> Came {
    if stop.load(SeqCst) {
        return Came::Problem("interrupted".into());
    }
    let Part::Leg(setting) = part else {
        return Came::Mitigations(mitigations::look(kernel, &plan.append));
    };
    tell(Step::Boots(&kernel.name));
    let mut guest = match Guest::boot(&kernel.path, &plan.append) {
        Ok(guest) => guest,
        Err(error) => return Came::Problem(format!("no boot: {error}")),
    };
    let Some(&jit) = guest.settings(plan.jit).get(setting) else { return Came::Nothing };
    tell(Step::IsUp(&kernel.name, jit));
    let (release, cpu) = (guest.0.hello().release.clone(), guest.0.cpu().into());
    let told = |name: &str| tell(Step::Measured(&kernel.name, jit, name));
    match measuring::leg(&plan.items, &mut guest, jit, stop, &told) {
        Ok(leg) => Came::Leg { release, cpu, leg },
        Err(problem) => Came::Problem(problem),
    }
}

/// A kernel's parts as one. A figure that breaks what must hold of all is a problem of the whole.
fn together(kernel: &Kernel, mut parts: Vec<(usize, Came)>) -> KernelBench {
    parts.sort_by_key(|(part, _)| *part);
    let mut bench = KernelBench { name: kernel.name.clone(), ..KernelBench::default() };
    for (_, came) in parts {
        match came {
            Came::Leg { release, cpu, leg } => {
                (bench.release, bench.cpu) = (release, cpu);
                bench.legs.push(leg);
            }
            Came::Mitigations(seen) => bench.mitigations = seen,
            Came::Nothing => {}
            Came::Problem(problem) => bench.problem = bench.problem.or(Some(problem)),
        }
    }
    let wrong = fit::wrong(&bench.legs);
    if bench.problem.is_none() && !wrong.is_empty() {
        bench.problem = Some(format!("measured the wrong thing: {}", wrong.join("; ")));
    }
    bench
}
