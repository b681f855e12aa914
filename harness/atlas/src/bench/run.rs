//! The measuring: guests with a clock that counts instructions, asked item by item.

use super::guest::{self, Guest};
use super::item::Item;
use super::measuring;
use super::results::{Bench, KernelBench, Leg, Mitigation, SCHEMA};
use super::{fit, mitigations};
use crate::plan::JitChoice;
use crate::results::Jit;
use atlas_vm::kernels::Kernel;
use atlas_vm::templates::Templates;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

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
    /// The templates that guests which count are cloned from; `None` where each is to be booted.
    pub templates: Option<Templates>,
    /// How many guests run at once.
    pub jobs: usize,
}

/// How far it has come.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// A guest of a kernel is wanted.
    Wants(&'a str),
    /// Something is wrong with a template, as this sentence says; a guest comes all the same.
    TemplateTrouble(&'a str),
    /// It is up, for this setting of the JIT.
    IsUp(&'a str, Jit),
    /// A measurement was taken.
    Measured(&'a str, Jit, &'a str),
    /// A kernel is done with, for this reason where early.
    Done(&'a str, Option<&'a str>),
}

/// What one guest is for.
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
    let doors: Vec<Mutex<()>> = plan.kernels.iter().map(|_| Mutex::default()).collect();
    let done: Mutex<Vec<Option<KernelBench>>> = Mutex::new(vec![None; plan.kernels.len()]);
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs.clamp(1, (parts.len() * plan.kernels.len()).max(1)) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, SeqCst);
                    let (index, part) = (number / parts.len(), number % parts.len());
                    let Some(kernel) = plan.kernels.get(index) else { return };
                    let came_of_it = of_part(plan, (kernel, &doors[index]), parts[part], stop, tell);
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

/// The guests of each kernel, one at least.
fn parts(plan: &Plan) -> Vec<Part> {
    let legs = (0..plan.jit.settings(true).len()).map(Part::Leg);
    legs.chain(plan.mitigations.then_some(Part::Mitigations)).collect()
}

/// Does a part. Where there are templates, one at a time goes through a kernel's door: whoever comes second finds the
/// first one's.
fn of_part(
    plan: &Plan,
    (kernel, door): (&Kernel, &Mutex<()>),
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
    tell(Step::Wants(&kernel.name));
    let guests = guest::guests(plan.templates.clone(), &plan.append);
    let mut trouble = |why: String| tell(Step::TemplateTrouble(&why));
    let taken = {
        let _alone = plan.templates.as_ref().map(|_| door.lock());
        Guest::take(kernel, &guests, &mut trouble)
    };
    let mut guest = match taken {
        Ok(guest) => guest,
        Err(error) => return Came::Problem(format!("no guest: {error}")),
    };
    let Some(&jit) = guest.settings(plan.jit).get(setting) else { return Came::Nothing };
    tell(Step::IsUp(&kernel.name, jit));
    let (release, cpu) = (guest.machine().hello().release.clone(), guest.machine().cpu().into());
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
