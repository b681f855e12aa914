//! What a guest costs that is booted, and one that is cloned from a template, side by side: alone, with
//! a case to ask, on all default kernels, in place of one that panicked, and how many experiments a
//! second follow. Under emulation these are times of this machine; the ratios are what to look at.
//!
//!     cargo bench -p atlas-benches --bench warm
//!     cargo bench -p atlas-benches --bench warm -- crash

use atlas_vm::kernels::{Kernel, Store};
use atlas_vm::templates::{ROOM, Templates};
use atlas_vm::{Accelerator, BootOptions, Machine};
use atlas_wire::{Item, Request};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use seccomp_atlas::event::Event;
use seccomp_atlas::fuzz::{self, Budget};
use seccomp_atlas::guests::Guests;
use seccomp_atlas::plan::{JitChoice, Plan, select};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tempfile::TempDir;

/// The case that is asked.
const CASE: &str = "errno::value";
/// How many experiments one sample has.
const EXPERIMENTS: u64 = 600;

/// The default kernels, and guests of both kinds; templates are in a directory that goes with this.
struct World {
    _directory: TempDir,
    kernels: Vec<Kernel>,
    guests: [(&'static str, Guests); 2],
    prepared: RefCell<HashSet<String>>,
}

impl World {
    fn new() -> Self {
        let kernels = Store::open().and_then(|store| store.default_kernels()).expect("a store of kernels");
        assert!(!kernels.is_empty(), "no kernels: run `atlas kernels fetch`");
        let directory = tempfile::tempdir().expect("a directory");
        let options = BootOptions { accelerator: Accelerator::tcg(), ..BootOptions::default() };
        let templates = Templates::at(directory.path(), ROOM).expect("room for templates");
        let warm = Guests { options: options.clone(), templates: Some(templates) };
        Self {
            _directory: directory,
            kernels,
            guests: [("boot", Guests::cold(options)), ("clone", warm)],
            prepared: RefCell::default(),
        }
    }

    /// The kernels' templates are made now if they have not been, so that no clone is charged for one.
    fn prepare(&self, kernels: &[Kernel], guests: &Guests) {
        let of_clones = kernels.iter().filter(|_| guests.are_cheap());
        for kernel in of_clones {
            if self.prepared.borrow_mut().insert(kernel.name.clone()) {
                drop(take(guests, kernel));
            }
        }
    }

    fn newest(&self) -> &Kernel {
        self.kernels.last().expect("there is one")
    }
}

fn take(guests: &Guests, kernel: &Kernel) -> Machine {
    guests.take(kernel, &mut |trouble| panic!("{trouble}")).unwrap_or_else(|error| panic!("{error}"))
}

/// Asks one case of some kernels, as `atlas run` does.
fn run(kernels: &[Kernel], guests: &Guests) {
    let plan = Plan {
        kernels: kernels.to_vec(),
        cases: select(&[CASE.into()], false).expect("there is such a case"),
        shard: None,
        jit: JitChoice::Both,
        guests: guests.clone(),
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        limit: Duration::from_secs(10),
        repeat: 1,
        done: BTreeSet::new(),
    };
    seccomp_atlas::run::run(&plan, &AtomicBool::new(false), &mut |event: &Event| {
        if let Event::CaseFinished(result) = event {
            assert!(!result.verdict.fails(), "{}", result.note);
        }
    });
}

/// Has a guest panic, and gets another one.
fn crash(guests: &Guests, kernel: &Kernel, machine: &mut Machine) {
    let items = vec![Item::Choreography("fault::panic".into())];
    let request = Request::Run { jit: None, limit_ms: 5000, items };
    assert!(machine.request(&request, Duration::from_secs(20)).is_err(), "it has not panicked");
    *machine = take(guests, kernel);
}

fn warm(criterion: &mut Criterion) {
    let world = World::new();
    for (name, all) in [("guest", false), ("case", false), ("case-on-all", true)] {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_millis(1));
        for (how, guests) in &world.guests {
            group.bench_function(BenchmarkId::from_parameter(how), |bencher| {
                let newest = std::slice::from_ref(world.newest());
                let kernels = if all { &world.kernels } else { newest };
                world.prepare(kernels, guests);
                match name {
                    "guest" => bencher.iter(|| take(guests, world.newest())),
                    _ => bencher.iter(|| run(kernels, guests)),
                }
            });
        }
        group.finish();
    }
    let mut group = criterion.benchmark_group("crash");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_millis(1));
    for (how, guests) in &world.guests {
        let mut machine = None;
        group.bench_function(BenchmarkId::from_parameter(how), |bencher| {
            let machine = machine.get_or_insert_with(|| take(guests, world.newest()));
            bencher.iter(|| crash(guests, world.newest(), machine));
        });
    }
    group.finish();
    experiments(criterion, &world);
}

/// How many experiments of a property a second one kernel carries out in as many guests as there are
/// processors, these and their probes included.
fn experiments(criterion: &mut Criterion, world: &World) {
    let mut group = criterion.benchmark_group("experiments");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_millis(1));
    group.throughput(Throughput::Elements(EXPERIMENTS));
    for (how, guests) in &world.guests {
        group.bench_function(BenchmarkId::from_parameter(how), |bencher| {
            world.prepare(std::slice::from_ref(world.newest()), guests);
            let property = atlas_properties::named("checker");
            let plan = fuzz::Plan {
                kernels: vec![world.newest().clone()],
                properties: vec![property.expect("there is such a property")],
                seed: 1,
                first: 0,
                budget: Budget::Trials(EXPERIMENTS),
                regressions: Vec::new(),
                jit: JitChoice::On,
                guests: guests.clone(),
                jobs: std::thread::available_parallelism().map_or(1, usize::from),
            };
            bencher.iter(|| fuzz::run(&plan, &AtomicBool::new(false), &mut |_| {}));
        });
    }
    group.finish();
}

criterion_group!(benches, warm);
criterion_main!(benches);
