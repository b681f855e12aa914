//! `cargo bench -p atlas-benches --bench guest`: what filters cost, in instructions that guests execute.
//!
//! Names are `kernel/jit/measurement`, as in `cargo bench -p atlas-benches --bench guest -- 7.3/jit_off`.
//! `ATLAS_KERNEL` names one kernel; otherwise all default ones are measured. A guest is there when
//! the first of its measurements is wanted, answers all of them, and ends with the last.
//!
//! Under `cargo test` each measurement is taken once, on the newest kernel.

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{BenchmarkId, Criterion, PlottingBackend, SamplingMode, Throughput};
use seccomp_atlas::bench::guest::{self, Guest};
use seccomp_atlas::bench::item::Item;
use seccomp_atlas::bench::list;
use seccomp_atlas::guests::{Guests, templates};
use seccomp_atlas::results::Jit;
use std::cell::{Cell, RefCell};
use std::time::Duration;

use atlas_vm::kernels::{Kernel, Store};
use atlas_wire::Measured;

/// The most rounds of one request.
const AT_ONCE: u64 = 10_000;

/// How far samples are moved from the figure, alternately up and down: by no part of an instruction that shows.
///
/// Criterion divides by the variance of samples, of a comparison and of a plot alike, and exact figures have
/// none: equal ones would differ by `p = NaN`. Moved so, their mean and median are the figure still, whether
/// there are ten of them or, with `--quick`, two; equal figures have `p` near 1, and one instruction
/// more is thousands of standard deviations away.
const NUDGE: f64 = 1.0 / 16384.0;

/// Instructions that a guest executes. Only a guest can count them, so benchmarks use
/// [`criterion::Bencher::iter_custom`], which takes no measurement here.
struct GuestInstructions;

impl Measurement for GuestInstructions {
    type Intermediate = ();
    type Value = f64;

    fn start(&self) {
        unreachable!("guests count by themselves: iter_custom")
    }

    fn end(&self, (): ()) -> f64 {
        unreachable!("guests count by themselves: iter_custom")
    }

    fn add(&self, one: &f64, other: &f64) -> f64 {
        one + other
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for GuestInstructions {
    fn format_value(&self, value: f64) -> String {
        // Exact figures are whole, but for the nudge; criterion's own format would cut digits off.
        let whole = (value - value.round()).abs() <= 2.0 * NUDGE;
        if whole { format!("{value:.0} insns") } else { format!("{value:.2} insns") }
    }

    fn scale_values(&self, _: f64, _: &mut [f64]) -> &'static str {
        "insns"
    }

    fn scale_throughputs(&self, _: f64, _: &Throughput, _: &mut [f64]) -> &'static str {
        "insns"
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "insns"
    }
}

/// One kernel with one setting of the JIT.
struct Bench<'a> {
    kernel: &'a Kernel,
    guests: &'a Guests,
    jit: Jit,
    guest: RefCell<Option<Guest>>,
    nudge: Cell<f64>,
}

impl Bench<'_> {
    /// Gets the guest if it is not there yet, which is not to be taken for a part of a measurement.
    fn have_guest(&self) {
        self.guest.borrow_mut().get_or_insert_with(|| {
            let guest = Guest::take(self.kernel, self.guests, &mut |trouble| eprintln!("{trouble}"));
            guest.unwrap_or_else(|error| panic!("{error}"))
        });
    }

    /// So many rounds of a measurement: the median, so many times. The few rounds that a tick of the
    /// clock falls into are no part of it.
    fn count(&self, item: &Item, rounds: u64) -> f64 {
        let mut guest = self.guest.borrow_mut();
        let guest = guest.as_mut().expect("it is there before it is asked");
        let mut left = rounds;
        let mut sum = 0;
        while left > 0 {
            let now = left.min(AT_ONCE);
            sum += match guest.measure(&item.subject, now as u32, self.jit) {
                Ok(Measured::Counted { instructions, .. }) => instructions.p50 * now,
                other => panic!("{}: {other:?}", item.name),
            };
            left -= now;
        }
        self.nudge.set(-self.nudge.get());
        sum as f64 + self.nudge.get() * rounds as f64
    }
}

/// What is steady, and there on every kernel: x32 is not.
fn items() -> Vec<Item> {
    list::all().into_iter().filter(|item| item.exact && !item.name.starts_with("entry/x32")).collect()
}

fn kernels(store: &Store) -> Vec<Kernel> {
    let kernels = match std::env::var("ATLAS_KERNEL") {
        Ok(named) => store.resolve(&named).map(|kernel| vec![kernel]),
        Err(_) => store.default_kernels(),
    };
    let kernels = kernels.unwrap_or_else(|error| panic!("{error}"));
    assert!(
        !kernels.is_empty(),
        "no kernels on this machine yet: `atlas kernels fetch` fetches the default ones"
    );
    kernels
}

/// How long a measurement may take, and how small the probability has to be that two figures differ by chance.
///
/// With `--quick` the start of the guest counts as well, and criterion would take the one sample that it has by then
/// for two. And two samples are so few that criterion does not go below 0.1 for any two figures.
fn limits() -> (Duration, f64) {
    let quick = std::env::args().any(|word| word == "--quick");
    if quick { (Duration::from_secs(180), 0.2) } else { (Duration::from_secs(1), 0.05) }
}

fn main() {
    let (time, significance) = limits();
    let mut criterion = Criterion::default()
        .with_measurement(GuestInstructions)
        // Whether a machine has gnuplot is to make no difference.
        .plotting_backend(PlottingBackend::Plotters)
        // Figures are the same in every sample; what criterion does by default is for those that are not.
        .sample_size(10)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(time)
        .significance_level(significance)
        .nresamples(1001)
        .noise_threshold(0.0)
        .configure_from_args();
    let items = items();
    let store = Store::open().unwrap_or_else(|error| panic!("{error}"));
    let mut kernels = kernels(&store);
    let templates = templates(&store).unwrap_or_else(|error| panic!("{error}"));
    let guests = guest::guests(Some(templates), &[]);
    // Cargo names `--bench` to what `cargo bench` runs; criterion takes its absence for a smoke as well.
    if !std::env::args().any(|word| word == "--bench") {
        kernels.drain(..kernels.len() - 1);
    }
    for kernel in kernels {
        for jit in [Jit::On, Jit::Off] {
            let (guest, nudge) = (RefCell::new(None), Cell::new(NUDGE));
            let bench = Bench { kernel: &kernel, guests: &guests, jit, guest, nudge };
            let mut group = criterion.benchmark_group(format!("{}/{}", kernel.name, jit.name()));
            group.sampling_mode(SamplingMode::Flat);
            for item in &items {
                group.bench_function(BenchmarkId::from_parameter(&item.name), |bencher| {
                    bench.have_guest();
                    bencher.iter_custom(|rounds| bench.count(item, rounds));
                });
            }
            group.finish();
        }
    }
    criterion.final_summary();
}
