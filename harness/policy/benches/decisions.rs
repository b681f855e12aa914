//! `cargo bench -p atlas-policy`: how many decisions a second the host makes, by a policy and by the
//! filters that the compilers make of it, and how many calls a second the property compares.

use atlas_model::abi::SeccompData;
use atlas_model::bpf::{Dialect, run};
use atlas_model::policy::{Comparison, Condition, Policy, Rule};
use atlas_model::{Abi, Action};
use atlas_policy::{Compiler, agrees_as, calls_near};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

/// Forty calls allowed, every other one with two conditions: of the size of a container's policy.
fn policy() -> Policy {
    let conditions = |nr: u32| {
        let on = |arg, comparison, value| Condition { arg, comparison, value };
        match nr % 2 {
            0 => vec![],
            _ => {
                vec![on(0, Comparison::Less, 0x1_0000_0000 + u64::from(nr)), on(1, Comparison::Masked(7), 5)]
            }
        }
    };
    let rule = |nr| Rule { abi: Abi::X86_64, nr, conditions: conditions(nr), action: Action::Allow };
    let kill = Action::KillProcess;
    Policy { abis: vec![Abi::X86_64], foreign: kill, default: kill, rules: (0..40).map(rule).collect() }
}

fn decisions(criterion: &mut Criterion) {
    let policy = policy();
    let calls: Vec<SeccompData> = calls_near(&policy);
    let mut group = criterion.benchmark_group("decisions");
    group.throughput(Throughput::Elements(calls.len() as u64));
    group.bench_function("policy", |bench| {
        bench.iter(|| {
            calls.iter().map(|call| policy.decide(black_box(call)).word()).fold(0, u32::wrapping_add)
        });
    });
    for compiler in Compiler::ALL {
        let filter = compiler.compile(&policy).expect("a filter");
        let word = |call| run(&filter, black_box(call), &Dialect::default()).word;
        group.bench_function(compiler.name(), |bench| {
            bench.iter(|| calls.iter().map(word).fold(0, u32::wrapping_add));
        });
        group.bench_function(format!("{compiler}, compared"), |bench| {
            bench.iter(|| agrees_as(compiler, &policy, &filter, calls.iter().copied()));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("compile");
    for compiler in Compiler::ALL {
        group.bench_function(compiler.name(), |bench| bench.iter(|| compiler.compile(&policy)));
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
