//! Figures held against earlier ones.

use super::results::Bench;

/// A row that costs more than it did.
#[derive(Clone, Debug, PartialEq)]
pub struct Worse {
    /// Kernel, setting of the JIT, and row.
    pub name: String,
    /// What it cost.
    pub before: u64,
    /// What it costs.
    pub now: u64,
}

impl Worse {
    /// By how many per cent.
    #[must_use]
    pub fn percent(&self) -> f64 {
        100.0 * (self.now as f64 - self.before as f64) / self.before as f64
    }
}

/// The rows that are more than so many per cent worse, and how many rows both have. A row of which only
/// one has a figure is not compared.
#[must_use]
pub fn worse(old: &Bench, new: &Bench, percent: f64) -> (Vec<Worse>, usize) {
    let mut compared = 0;
    let mut worse = Vec::new();
    for kernel in &new.kernels {
        let Some(earlier) = old.kernels.iter().find(|old| old.name == kernel.name) else { continue };
        for leg in &kernel.legs {
            let Some(earlier) = earlier.legs.iter().find(|old| old.jit == leg.jit) else { continue };
            for row in &leg.rows {
                let (Some(before), Some(now)) = (earlier.figure(&row.name), row.instructions) else {
                    continue;
                };
                compared += 1;
                let one =
                    Worse { name: format!("{}/{}/{}", kernel.name, leg.jit.name(), row.name), before, now };
                if now > before && one.percent() > percent {
                    worse.push(one);
                }
            }
        }
    }
    (worse, compared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::{KernelBench, Leg, Row};
    use crate::results::Jit;

    fn bench(figures: &[(&str, Option<u64>)]) -> Bench {
        let rows = figures.iter().map(|(name, instructions)| Row {
            name: (*name).into(),
            instructions: *instructions,
            ..Row::default()
        });
        let leg = Leg { jit: Jit::On, rows: rows.collect(), fit: None, spreads: vec![] };
        let kernel = KernelBench { name: "6.12".into(), legs: vec![leg], ..KernelBench::default() };
        Bench { kernels: vec![kernel], ..Bench::default() }
    }

    #[test]
    fn what_got_worse_by_more_is_found() {
        let old = bench(&[("a", Some(1000)), ("b", Some(1000)), ("c", Some(1000)), ("d", None)]);
        let new =
            bench(&[("a", Some(1020)), ("b", Some(1021)), ("c", Some(500)), ("d", Some(9)), ("e", Some(1))]);
        let (found, compared) = worse(&old, &new, 2.0);
        assert_eq!(found, [Worse { name: "6.12/jit_on/b".into(), before: 1000, now: 1021 }]);
        assert_eq!(compared, 3);
        assert_eq!(worse(&old, &new, 0.0).0.len(), 2);
        assert_eq!(worse(&Bench::default(), &new, 0.0), (vec![], 0));
    }
}
