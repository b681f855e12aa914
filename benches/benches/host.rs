//! `cargo bench -p atlas-benches --bench host`: what filters cost on this machine's own kernel, in time.
//!
//! The filters are attached in a child each, so that the measuring process stays as it is. The JIT is
//! measured as it is set, and the other way where it can be switched; it is put back, come what may.

use atlas_benches::jit::{SWITCH, Switched, position};
use atlas_edge::{Stage, sys};
use atlas_model::Filter;
use atlas_model::observation::End;
use criterion::{BenchmarkId, Criterion, PlottingBackend, criterion_group, criterion_main};
use seccomp_atlas::bench::{compilers, filters};
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

/// The calls that a policy has to allow: the measured one, and the one by which a child ends. The clock is read
/// without a call, where it can be.
const NEEDED: [&str; 2] = ["getppid", "exit"];

/// The time that so many calls of getppid(2) take behind filters, in a child that has them.
fn time(stage: &Stage, filters: &[Filter], calls: u64) -> Duration {
    stage.clear();
    let end = stage.child(|stage| {
        stage.fact("nanoseconds", measure(filters, calls));
        // More policies allow it than the end of a whole process, which a stage's children come to by themselves.
        let _ = sys::number(libc::SYS_exit, [0; 6]);
    });
    assert_eq!(end, End::Exited(0), "the measuring child's end");
    let result = stage.facts().first().expect("a child that ends has reported").1;
    match u64::try_from(result) {
        Ok(nanos) => Duration::from_nanos(nanos),
        Err(_) => panic!(
            "the host's kernel does not attach a filter, or has no clock without a call: errno {}",
            -result
        ),
    }
}

/// The child's part, which may make no call that a policy denies: nanoseconds, or an errno, negated.
fn measure(filters: &[Filter], calls: u64) -> i64 {
    let refused = |result: i64| (result < 0).then_some(result);
    if let Some(errno) = refused(sys::no_new_privs()) {
        return errno;
    }
    if let Some(errno) = filters.iter().find_map(|filter| refused(sys::install(filter, 0))) {
        return errno;
    }
    let Some(began) = now() else { return -i64::from(libc::EPERM) };
    for _ in 0..calls {
        black_box(sys::number(libc::SYS_getppid, [0; 6]));
    }
    now().map_or(-i64::from(libc::EPERM), |ended| ended - began)
}

/// Nanoseconds; `None` where the clock takes a call, and a filter denies it.
fn now() -> Option<i64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is ours.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    (result == 0).then_some(time.tv_sec * 1_000_000_000 + time.tv_nsec)
}

fn leg(criterion: &mut Criterion, leg: &str) {
    let stage =
        Stage::new().unwrap_or_else(|errno| panic!("no page to share with children: errno {}", -errno));
    let mut group = criterion.benchmark_group(leg);
    let mut measure = |name: String, filters: Vec<Filter>| {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_custom(|calls| time(&stage, &filters, calls));
        });
    };
    measure("no filter".into(), vec![]);
    for count in [0, 10, 100, 1000, 4094] {
        measure(format!("compares/{count}"), vec![filters::compares(count)]);
    }
    for depth in [1, 8, 64] {
        measure(format!("depth/{depth}"), vec![filters::compares(10); depth]);
    }
    measure("cache/at work/1000".into(), vec![filters::number_only(1000)]);
    measure("cache/defeated/1000".into(), vec![filters::number_and_argument(1000)]);
    for sample in compilers::samples() {
        for (compiler, compile) in compilers::COMPILERS {
            let name = format!("policy/{}/{compiler}", sample.name);
            match compile(&sample.policy) {
                Ok(filter) => match NEEDED.iter().find(|call| !compilers::allows(&filter, call)) {
                    None => measure(name, vec![filter]),
                    Some(call) => {
                        println!("{leg}/{name}: not here, the policy denies {call}");
                    }
                },
                Err(error) => println!("{leg}/{name}: not here, the compiler makes nothing of it: {error}"),
            }
        }
    }
    group.finish();
}

/// The host's JIT as it is set, and then the other way where the kernel can be switched, which is put back.
/// Says what cannot be had, and why.
fn host(criterion: &mut Criterion) {
    let path = Path::new(SWITCH);
    let now = match position(path) {
        Ok(now) => now,
        Err(error) => {
            println!(
                "host: whether filters are compiled is not known ({SWITCH}: {error}): measured as it is"
            );
            return leg(criterion, "host/jit_unknown");
        }
    };
    let (is, other, wanted) = if now == "0" { ("off", "on", "1") } else { ("on", "off", "0") };
    println!("host: the JIT is {is} (bpf_jit_enable is {now})");
    leg(criterion, &format!("host/jit_{is}"));
    match Switched::to(path, wanted) {
        Ok(_switched) => leg(criterion, &format!("host/jit_{other}")),
        Err(error) => println!(
            "host: this machine cannot switch its JIT {other} from here ({error}): JIT {is} is all that was measured. \
             Switching takes root, and a kernel built without CONFIG_BPF_JIT_ALWAYS_ON; the guests of \
             `--bench guest` have both settings"
        ),
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().plotting_backend(PlottingBackend::Plotters).configure_from_args();
    targets = host
}
criterion_main!(benches);
