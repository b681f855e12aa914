//! `cargo bench -p atlas-benches --bench guest`: what filters cost, in instructions that guests execute.
//!
//! Names are `kernel/jit/measurement`, as in `cargo bench -p atlas-benches --bench guest -- 7.3/jit_off`.
//! `ATLAS_KERNEL` names one kernel; otherwise all default ones are measured. A guest boots when the first
//! of its measurements is wanted, answers all of them, and ends with the last.
//!
//! Under `cargo test` each measurement is taken once, on the newest kernel.

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use seccomp_atlas::bench::list::{self, Item};
use seccomp_atlas::bench::run::Guest;
use seccomp_atlas::results::Jit;
use std::cell::RefCell;
use std::time::Duration;

use atlas_vm::kernels::{Kernel, Store};
use atlas_wire::Measured;

/// The most rounds of one request.
const AT_ONCE: u64 = 10_000;

/// Instructions that a guest executes. Only a guest can count them, so benchmarks use
/// [`criterion::Bencher::iter_custom`], which takes no measurement here.
struct GuestInstructions;

impl Measurement for GuestInstructions {
    type Intermediate = ();
    type Value = u64;

    fn start(&self) {
        unreachable!("guests count by themselves: iter_custom")
    }

    fn end(&self, (): ()) -> u64 {
        unreachable!("guests count by themselves: iter_custom")
    }

    fn add(&self, one: &u64, other: &u64) -> u64 {
        one + other
    }

    fn zero(&self) -> u64 {
        0
    }

    fn to_f64(&self, value: &u64) -> f64 {
        *value as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for GuestInstructions {
    fn format_value(&self, value: f64) -> String {
        // Exact figures are whole; criterion's own format would cut digits off.
        if value.fract() == 0.0 { format!("{value:.0} insns") } else { format!("{value:.2} insns") }
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
    jit: Jit,
    guest: RefCell<Option<Guest>>,
}

impl Bench<'_> {
    /// Boots the guest if it has not been, which is not to be taken for a part of a measurement.
    fn boot(&self) {
        self.guest.borrow_mut().get_or_insert_with(|| {
            Guest::boot(&self.kernel.path, &[]).unwrap_or_else(|error| panic!("{error}"))
        });
    }

    /// So many rounds of a measurement: the median, so many times. The few rounds that a tick of the
    /// clock falls into are no part of it.
    fn count(&self, item: &Item, rounds: u64) -> u64 {
        let mut guest = self.guest.borrow_mut();
        let guest = guest.as_mut().expect("it was booted before it is asked");
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
        sum
    }
}

/// What is steady, and there on every kernel: x32 is not.
fn items() -> Vec<Item> {
    list::all().into_iter().filter(|item| item.exact && !item.name.starts_with("entry/x32")).collect()
}

fn kernels() -> Vec<Kernel> {
    let store = Store::open().unwrap_or_else(|error| panic!("{error}"));
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

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(GuestInstructions)
        .without_plots()
        // Figures are the same in every sample; what criterion does by default is for those that are not.
        .sample_size(10)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_millis(500))
        .nresamples(1001)
        .noise_threshold(0.0)
        .configure_from_args();
    let items = items();
    let mut kernels = kernels();
    // Cargo names `--bench` to what `cargo bench` runs; criterion takes its absence for a smoke as well.
    if !std::env::args().any(|word| word == "--bench") {
        kernels.drain(..kernels.len() - 1);
    }
    for kernel in kernels {
        for jit in [Jit::On, Jit::Off] {
            let bench = Bench { kernel: &kernel, jit, guest: RefCell::new(None) };
            let mut group = criterion.benchmark_group(format!("{}/{}", kernel.name, jit.name()));
            group.sampling_mode(SamplingMode::Flat);
            for item in &items {
                group.bench_function(BenchmarkId::from_parameter(&item.name), |bencher| {
                    bench.boot();
                    bencher.iter_custom(|rounds| bench.count(item, rounds));
                });
            }
            group.finish();
        }
    }
    criterion.final_summary();
}
