//! `cargo bench -p atlas-benches --bench host`: what filters cost on this machine's own kernel, in time.
//!
//! The filters are attached to a thread each, so that the measuring process stays as it is. The JIT is
//! measured as it is set, and the other way where it can be switched; it is put back, come what may.

use atlas_benches::jit::{SWITCH, Switched, position};
use atlas_edge::sys;
use atlas_model::Filter;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use seccomp_atlas::bench::{compilers, filters};
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

/// The time that so many calls of getppid(2) take behind filters.
fn time(filters: &[Filter], calls: u64) -> Duration {
    let measured = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            assert_eq!(sys::no_new_privs(), 0, "no_new_privs");
            for filter in filters {
                let result = sys::install(filter, 0);
                assert_eq!(result, 0, "the host's kernel does not attach a filter: errno {}", -result);
            }
            let began = Instant::now();
            for _ in 0..calls {
                black_box(sys::number(libc::SYS_getppid, [0; 6]));
            }
            began.elapsed()
        });
        thread.join()
    });
    measured.expect("the measuring thread ends")
}

fn leg(criterion: &mut Criterion, name: &str) {
    let mut group = criterion.benchmark_group(name);
    let mut measure = |name: String, filters: Vec<Filter>| {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_custom(|calls| time(&filters, calls));
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
            if let Ok(filter) = compile(&sample.policy) {
                // Threads have to end, and criterion's clock may have to be read.
                let needed =
                    ["exit", "clock_gettime", "munmap", "madvise", "rt_sigprocmask", "futex", "sigaltstack"];
                if needed.iter().all(|call| compilers::allows(&filter, call)) {
                    measure(format!("policy/{}/{compiler}", sample.name), vec![filter]);
                }
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
    config = Criterion::default().without_plots().configure_from_args();
    targets = host
}
criterion_main!(benches);
