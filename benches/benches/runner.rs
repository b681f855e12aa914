//! `cargo bench -p atlas-benches`: what an evaluation costs, and next to it what it cannot cost less
//! than. Criterion's figures come first, each step of an evaluation among them, then three tables:
//! percentiles, throughput, and where the time goes.

use atlas_benches::jit::{SWITCH, Switched, position};
use atlas_benches::{Child, InProcess, fork, percentile, times};
use criterion::{Criterion, criterion_group};
use mruby_runner::{Limits, Policy, Sandbox, Steps};
use std::ffi::CString;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long nothing is done before the call that is the first one after, in seconds; this variable of the
/// environment says otherwise.
const IDLE: (&str, u64) = ("ATLAS_BENCH_IDLE", 60);
/// What the work of 10 ms is made of.
const TEN_MILLISECONDS: Duration = Duration::from_millis(10);

/// Limits by which a machine that is busy with other things does not end a measurement.
fn patient() -> Limits {
    let mut limits = Limits::default();
    limits.wall = Duration::from_secs(30);
    limits
}

fn sandbox() -> Sandbox {
    Sandbox::builder().limits(patient()).build().expect("a sandbox")
}

fn eval(sandbox: &mut Sandbox, code: &str) -> Duration {
    let outcome = sandbox.eval(code).expect("an evaluation");
    assert!(outcome.value().is_some(), "{outcome:?}");
    outcome.usage.wall
}

/// Ruby that works for about 10 ms in this process: calls, strings, arrays, hashes.
fn work() -> String {
    let of = |rounds: u64| {
        format!(
            "h = {{}}\n{rounds}.times {{ |i| k = \"k#{{i % 97}}\"; h[k] = (h[k] || 0) + [i, 1].max }}\nh.size"
        )
    };
    let mut mruby = InProcess::open();
    let code = CString::new(of(5000)).expect("no NUL");
    let time = percentile(&times(20, || mruby.eval(&code)), 50);
    of((5000.0 * TEN_MILLISECONDS.as_secs_f64() / time.as_secs_f64()) as u64)
}

fn small(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("1 + 1");
    let mut mruby = InProcess::open();
    let code = c"1 + 1".to_owned();
    group.bench_function("in process, no sandbox", |bench| bench.iter(|| mruby.eval(&code)));
    let mut fresh = sandbox();
    let mut for_session = sandbox();
    let mut session = for_session.session();
    group.bench_function("in a session", |bench| {
        bench.iter(|| session.eval("1 + 1").expect("an evaluation"));
    });
    group.bench_function("fork, exit, wait", |bench| bench.iter(|| fork(Child::Exit)));
    group.bench_function("a fresh worker", |bench| bench.iter(|| eval(&mut fresh, "1 + 1")));
    group.bench_function("fork, exec of true, exit, wait", |bench| bench.iter(|| fork(Child::Exec)));
    group.bench_function("a fresh sandbox", |bench| bench.iter(|| eval(&mut sandbox(), "1 + 1")));
    group.finish();
}

fn large(criterion: &mut Criterion) {
    let code = work();
    let mut group = criterion.benchmark_group("10 ms of Ruby");
    let text = CString::new(code.as_str()).expect("no NUL");
    let mut mruby = InProcess::open();
    group.bench_function("in process, no sandbox", |bench| bench.iter(|| mruby.eval(&text)));
    mruby.count_instructions();
    group.bench_function("in process, with an instruction hook", |bench| bench.iter(|| mruby.eval(&text)));
    let mut sandbox = sandbox();
    let mut session = sandbox.session();
    group.bench_function("in a session", |bench| {
        bench.iter(|| session.eval(&code).expect("an evaluation").value().is_some());
    });
    drop(session);
    group.bench_function("a fresh worker", |bench| bench.iter(|| eval(&mut sandbox, &code)));
    group.finish();
}

/// A sandbox that times its steps.
fn timed() -> Sandbox {
    Sandbox::builder().limits(patient()).time_steps(true).build().expect("a sandbox")
}

/// The steps of one evaluation. Where a processor's counter is of no use there are none, and no benchmark.
fn steps_of(sandbox: &mut Sandbox) -> Steps {
    let outcome = sandbox.eval("1 + 1").expect("an evaluation");
    assert_eq!(outcome.value(), Some("2"), "{outcome:?}");
    outcome.usage.steps.expect("a time stamp counter that is the same on every processor")
}

/// Each step of a fresh worker's life, measured apart, and then what it is to load the filter without the
/// kernel's JIT.
fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("steps");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    let mut sandbox = timed();
    let names = Steps::default().named().map(|(name, _)| name);
    let found = position(Path::new(SWITCH)).unwrap_or_else(|error| error.to_string());
    let measure = |at: usize, sandbox: &mut Sandbox, rounds| -> Duration {
        (0..rounds).map(|_| steps_of(sandbox).named()[at].1).sum()
    };
    for (at, name) in names.into_iter().enumerate() {
        let name = if name == "filter" { format!("filter, JIT {found}") } else { name.to_owned() };
        group.bench_function(name, |bench| {
            bench.iter_custom(|rounds| measure(at, &mut sandbox, rounds));
        });
    }
    let filter = names.iter().position(|name| *name == "filter").expect("a step");
    let other = if found == "0" { "1" } else { "0" };
    match Switched::to(Path::new(SWITCH), other) {
        Ok(_switched) => {
            group.bench_function(format!("filter, JIT {other}"), |bench| {
                bench.iter_custom(|rounds| measure(filter, &mut sandbox, rounds));
            });
        }
        Err(error) => println!("steps/filter: JIT {found} only; {SWITCH} cannot be set to {other}: {error}"),
    }
    // The zygote kills, and says that the worker is gone: a session's worker is dismissed so.
    group.bench_function("teardown by a kill", |bench| {
        bench.iter_custom(|rounds| {
            let mut sandbox = timed();
            let killed = (0..rounds).map(|_| {
                let mut session = sandbox.session();
                session.eval("1 + 1").expect("an evaluation");
                let began = Instant::now();
                drop(session);
                began.elapsed()
            });
            killed.sum()
        });
    });
    group.finish();
}

fn micros(time: Duration) -> String {
    format!("{:.0} µs", time.as_secs_f64() * 1e6)
}

fn percentiles(rounds: usize, idle: Duration) {
    println!("\n{rounds} times `1 + 1`          p50        p99        worst      first after {idle:?} idle");
    let row = |name: &str, round: &mut dyn FnMut()| {
        let times = times(rounds, &mut *round);
        std::thread::sleep(idle);
        let began = Instant::now();
        round();
        let first = began.elapsed();
        let worst = times.last().copied().unwrap_or_default();
        let [p50, p99] = [50, 99].map(|of| micros(percentile(&times, of)));
        println!("{name:24} {p50:>10} {p99:>10} {:>10} {:>10}", micros(worst), micros(first));
    };
    let mut mruby = InProcess::open();
    let code = c"1 + 1".to_owned();
    row("in process, no sandbox", &mut || {
        black_box(mruby.eval(&code));
    });
    let mut of_session = sandbox();
    let mut session = of_session.session();
    row("in a session", &mut || drop(session.eval("1 + 1").expect("an evaluation")));
    row("fork, exit, wait", &mut || fork(Child::Exit));
    let mut fresh = sandbox();
    row("a fresh worker", &mut || {
        eval(&mut fresh, "1 + 1");
    });
}

fn throughput(time: Duration) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("\nfresh workers per second, on {cores} cores");
    for sandboxes in [1, 2, 4] {
        let until = Instant::now() + time;
        let done: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..sandboxes)
                .map(|_| {
                    scope.spawn(|| {
                        let mut sandbox = sandbox();
                        let mut done = 0;
                        while Instant::now() < until {
                            eval(&mut sandbox, "1 + 1");
                            done += 1;
                        }
                        done
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread")).sum()
        });
        println!("{sandboxes} sandboxes in threads  {:>8.0}", f64::from(done) / time.as_secs_f64());
    }
}

/// Where a fresh worker's time goes, and what other policies and limits add. Medians: where two lie within
/// each other's noise, the difference may be negative, and is printed so.
fn sum(rounds: usize) {
    let of = |policy, memory, code: &'static str| {
        let mut limits = patient();
        limits.memory = memory;
        let mut sandbox = Sandbox::builder().policy(policy).limits(limits).build().expect("a sandbox");
        percentile(&times(rounds, || eval(&mut sandbox, code)), 50)
    };
    const MEMORY: usize = 16 << 20;
    let bare = percentile(&times(rounds, || fork(Child::Exit)), 50);
    let strict = of(Policy::Strict, MEMORY, "1 + 1");
    let mode1 = of(Policy::Mode1, MEMORY, "1 + 1");
    let diagnose = of(Policy::Diagnose, MEMORY, "1 + 1");
    let large = of(Policy::Strict, 1 << 30, "1 + 1");
    let touched = of(Policy::Strict, MEMORY, "x = (1..15).map { 'x' * 900_000 }; 1");
    let signed = |a: Duration, b: Duration| format!("{:+.0} µs", (a.as_secs_f64() - b.as_secs_f64()) * 1e6);
    let ratio = strict.as_secs_f64() / bare.as_secs_f64();
    println!("\na fresh worker {} = {ratio:.1} x fork, exit, wait {}", micros(strict), micros(bare));
    let mut sandbox = timed();
    let all: Vec<Steps> = (0..rounds).map(|_| steps_of(&mut sandbox)).collect();
    for (at, (name, _)) in Steps::default().named().into_iter().enumerate() {
        let mut times: Vec<Duration> = all.iter().map(|steps| steps.named()[at].1).collect();
        times.sort_unstable();
        println!("{name:68} {:>10}", micros(percentile(&times, 50)));
    }
    for (what, cost) in [
        ("a filter, against strict mode (which the master looks up in /proc)", signed(strict, mode1)),
        ("a filter that traps, against one that kills", signed(diagnose, strict)),
        ("1 GiB of memory that is not used, against 16 MiB", signed(large, strict)),
        ("13 MiB of memory that is used", signed(touched, strict)),
    ] {
        println!("{what:68} {cost:>10}");
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().configure_from_args().sample_size(60);
    targets = small, large, steps
}

fn main() {
    // `cargo test`, `cargo bench -- --test` and `--quick` ask for little more than whether everything runs.
    let test = !std::env::args().any(|argument| argument == "--bench")
        || std::env::args().any(|argument| argument == "--test" || argument == "--quick");
    benches();
    Criterion::default().configure_from_args().final_summary();
    if std::env::args().skip(1).any(|argument| !argument.starts_with('-')) {
        // Someone has asked for certain ones of Criterion's.
        return;
    }
    if test {
        percentiles(20, Duration::ZERO);
        throughput(Duration::from_millis(20));
        sum(5);
    } else {
        let idle = std::env::var(IDLE.0).map_or(IDLE.1, |given| given.parse().expect("whole seconds"));
        percentiles(5000, Duration::from_secs(idle));
        throughput(Duration::from_secs(3));
        sum(1000);
    }
}
