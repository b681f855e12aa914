//! `cargo bench -p atlas-benches --bench host`: what filters cost on this machine's own kernel, in time.
//!
//! The filters are attached to a thread each, so that the measuring process stays as it is. Nothing is
//! changed on the host: its JIT is measured as it is set.

use atlas_edge::sys;
use atlas_model::Filter;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use seccomp_atlas::bench::{compilers, filters};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Where the JIT is switched.
const JIT: &str = "/proc/sys/net/core/bpf_jit_enable";

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

/// What can be said of the host's JIT, and of who may switch it.
fn jit() -> String {
    let may_switch = std::fs::OpenOptions::new().write(true).open(JIT).is_ok();
    let setting = match std::fs::read_to_string(JIT).map(|text| text.trim().to_owned()) {
        Ok(value) if value == "0" => "filters are interpreted (bpf_jit_enable is 0)".to_owned(),
        Ok(value) => format!("filters are compiled (bpf_jit_enable is {value})"),
        Err(error) => format!("whether filters are compiled is not known ({JIT}: {error})"),
    };
    let switch = if may_switch {
        "It is measured as it is set; a kernel built with CONFIG_BPF_JIT_ALWAYS_ON refuses 0"
    } else {
        "It cannot be switched from here, so there is one setting only; the guests of `--bench guest` have both"
    };
    format!("host: {setting}. {switch}.")
}

fn host(criterion: &mut Criterion) {
    println!("{}", jit());
    let mut group = criterion.benchmark_group("host");
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

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots().configure_from_args();
    targets = host
}
criterion_main!(benches);
