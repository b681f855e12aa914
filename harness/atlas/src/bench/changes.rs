//! Where the parts of a call's cost change from one kernel to the next.

use super::results::{Bench, Fit, KernelBench};
use crate::results::Jit;

/// One part of a sum.
type Part = fn(&Fit) -> i64;

/// The parts, by name.
const PARTS: [(&str, Part); 4] = [
    ("call", |fit| fit.call),
    ("entry", |fit| fit.entry),
    ("filter", |fit| fit.filter),
    ("compare", |fit| fit.compare),
];

/// A line for each pair of neighbours that differ in a part, both of whose sums are known.
#[must_use]
pub fn changes(bench: &Bench) -> Vec<String> {
    let neighbours = bench.kernels.windows(2);
    neighbours.filter_map(|pair| between(&pair[0], &pair[1])).collect()
}

fn between(before: &KernelBench, after: &KernelBench) -> Option<String> {
    let fit = |kernel: &KernelBench, jit| kernel.legs.iter().find(|leg| leg.jit == jit)?.fit;
    let step = |jit, part: Part| {
        let (old, new) = (part(&fit(before, jit)?), part(&fit(after, jit)?));
        (old != new).then(|| format!("{old} to {new}"))
    };
    let mut said = Vec::new();
    for (name, part) in PARTS {
        match (step(Jit::On, part), step(Jit::Off, part)) {
            (Some(on), Some(off)) if on == off => said.push(format!("{name} {on}")),
            (Some(on), Some(off)) => said.push(format!("{name} {on} (JIT off: {off})")),
            (Some(on), None) => said.push(format!("{name} {on} with the JIT")),
            (None, Some(off)) => said.push(format!("{name} {off} without the JIT")),
            (None, None) => {}
        }
    }
    (!said.is_empty()).then(|| format!("{} to {}: {}", before.name, after.name, said.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::Leg;

    fn kernel(name: &str, filter: [i64; 2], compare: [i64; 2]) -> KernelBench {
        let leg = |jit, at: usize| Leg {
            jit,
            fit: Some(Fit { call: 300, entry: 100, filter: filter[at], compare: compare[at], residual: 0 }),
            rows: Vec::new(),
            spreads: Vec::new(),
        };
        let legs = vec![leg(Jit::On, 0), leg(Jit::Off, 1)];
        KernelBench { name: name.into(), legs, ..KernelBench::default() }
    }

    #[test]
    fn what_changes_is_named_and_what_stays_is_not() {
        let mut kernels = vec![
            kernel("1", [80, 207], [2, 12]),
            kernel("2", [80, 207], [2, 12]),
            kernel("3", [56, 183], [2, 13]),
            kernel("4", [57, 183], [3, 14]),
            kernel("5", [58, 184], [4, 4]),
        ];
        let told = changes(&Bench { kernels: kernels.clone(), ..Bench::default() });
        assert_eq!(
            told,
            [
                "2 to 3: filter 80 to 56 (JIT off: 207 to 183), compare 12 to 13 without the JIT",
                "3 to 4: filter 56 to 57 with the JIT, compare 2 to 3 (JIT off: 13 to 14)",
                "4 to 5: filter 57 to 58 (JIT off: 183 to 184), compare 3 to 4 (JIT off: 14 to 4)",
            ]
        );
        // A kernel whose rows are no sum has nothing to be held against.
        kernels[3].legs.clear();
        assert_eq!(changes(&Bench { kernels, ..Bench::default() }).len(), 1);
    }
}
