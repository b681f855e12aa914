//! One guest's measurements: asked item by item, held against what they have to be.

use super::fit;
use super::item::{Item, REFERENCE};
use super::results::{Leg, Row, Spread};
use crate::results::Jit;
use atlas_vm::Lost;
use atlas_wire::Measured;
use atlas_wire::measure::{Distribution, Subject};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// How often a measurement that must be exact is taken before it counts as unsteady.
const TRIES: usize = 3;
/// ENOSYS, negated: what a call of an ABI that is not there returns.
const NO_CALL: i64 = -38;

/// Who counts: a guest, or in tests somebody who counts wrongly.
pub(super) trait Count {
    /// Takes one measurement, in so many rounds.
    fn count(&mut self, subject: &Subject, rounds: u32, jit: Jit) -> Result<Measured, Lost>;
}

/// All measurements with one setting of the JIT, or the reason why figures of this guest would say nothing.
pub(super) fn leg(
    items: &[Item],
    guest: &mut dyn Count,
    jit: Jit,
    stop: &AtomicBool,
    tell: &dyn Fn(&str),
) -> Result<Leg, String> {
    let mut leg = Leg { jit, rows: vec![], fit: None, spreads: vec![] };
    for item in items {
        if stop.load(SeqCst) {
            return Err("interrupted".into());
        }
        let measured = measured(guest, item, jit).map_err(|lost| {
            format!("the guest was lost at {}, {}: {}", item.name, jit.name(), lost.reason)
        })?;
        if item.exact {
            let row = row(item, &measured, &leg);
            if item.name == REFERENCE && row.instructions.is_none() {
                return Err(format!("{}: {}: figures on this kernel would say nothing", item.name, row.note));
            }
            leg.rows.push(row);
        } else {
            leg.spreads.push(spread(item, &measured));
        }
        tell(&item.name);
    }
    leg.fit = fit::fit(&leg);
    Ok(leg)
}

/// One measurement. The serial line interrupts the guest by the host's clock, which the guest's
/// instructions do not count; where a round was hit, exact figures are taken again.
fn measured(guest: &mut dyn Count, item: &Item, jit: Jit) -> Result<Measured, Lost> {
    let mut measured = guest.count(&item.subject, item.rounds, jit)?;
    for _ in 1..TRIES {
        let unsteady = |measured: &Measured| match measured {
            Measured::Counted { instructions, .. } => !instructions.is_steady(),
            _ => false,
        };
        if !(item.exact && unsteady(&measured)) {
            break;
        }
        measured = guest.count(&item.subject, item.rounds, jit)?;
    }
    Ok(measured)
}

/// The distribution, or why there is none.
fn counted(item: &Item, measured: &Measured) -> Result<Distribution, String> {
    match measured {
        Measured::Counted { instructions, returned } => match item.returns {
            Some(wanted) if *returned != wanted && *returned == NO_CALL => Err("not there".into()),
            Some(wanted) if *returned != wanted => Err(format!("returned {returned} instead of {wanted}")),
            _ => Ok(*instructions),
        },
        Measured::NotAttached { filter, errno } => Err(format!("filter {filter} refused: errno {errno}")),
        Measured::Ended(how) => Err(format!("ended: {how}")),
        Measured::Impossible(why) => Err(why.clone()),
        Measured::Speculation(_) => Err("nothing was counted".into()),
    }
}

fn row(item: &Item, measured: &Measured, leg: &Leg) -> Row {
    let (length, steps) = item.lengths();
    let mut row = Row { name: item.name.clone(), length, steps, rounds: item.rounds, ..Row::default() };
    match counted(item, measured) {
        Ok(seen) if seen.is_steady() => row.instructions = Some(seen.min),
        Ok(Distribution { min, p10, p50, p90, .. }) => {
            row.note = format!("not steady: minimum {min}, p10 {p10}, p50 {p50}, p90 {p90}");
        }
        Err(note) => row.note = note,
    }
    let baseline = item.baseline.as_deref().and_then(|name| leg.figure(name));
    row.over = row.instructions.zip(baseline).map(|(figure, bare)| figure as i64 - bare as i64);
    row
}

fn spread(item: &Item, measured: &Measured) -> Spread {
    let of = Spread {
        name: item.name.clone(),
        length: item.lengths().0,
        rounds: item.rounds,
        ..Spread::default()
    };
    match counted(item, measured) {
        Ok(Distribution { min, p10, p50, p90, .. }) => Spread { min, p10, p50, p90, ..of },
        Err(note) => Spread { note, ..of },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::filters;
    use crate::bench::item::{behind, native};
    use crate::bench::list::all;
    use atlas_wire::measure::Behind;

    fn item() -> Item {
        behind("x", vec![filters::compares(3)], native("getppid", 0).unwrap(), Some(1))
    }

    fn seen(min: u64, p90: u64, returned: i64) -> Measured {
        let instructions = Distribution { min, p10: p90, p50: p90, p90, count: 100 };
        Measured::Counted { instructions, returned }
    }

    fn leg_with_reference() -> Leg {
        let reference = Row { name: REFERENCE.into(), instructions: Some(300), ..Row::default() };
        Leg { jit: Jit::On, rows: vec![reference], fit: None, spreads: vec![] }
    }

    #[test]
    fn a_steady_figure_is_a_row() {
        let row = row(&item(), &seen(400, 400, 1), &leg_with_reference());
        assert_eq!((row.instructions, row.over, row.length, row.steps), (Some(400), Some(100), 5, 5));
    }

    #[test]
    fn four_figures_are_none() {
        let row = row(&item(), &seen(400, 401, 1), &leg_with_reference());
        assert_eq!((row.instructions, row.over), (None, None));
        assert_eq!(row.note, "not steady: minimum 400, p10 401, p50 401, p90 401");
    }

    #[test]
    fn a_call_that_returns_something_else_is_not_measured() {
        let leg = leg_with_reference();
        assert_eq!(row(&item(), &seen(400, 400, -5), &leg).note, "returned -5 instead of 1");
        assert_eq!(row(&item(), &seen(400, 400, -38), &leg).note, "not there");
    }

    /// A machine whose calls cost 300, and 50 and its steps behind filters, with something wrong.
    struct Machine {
        /// What a step costs with the JIT, and without.
        step: [u64; 2],
        /// What having a filter costs.
        entry: i64,
        /// By how much the slowest rounds are slower.
        wobble: u64,
        asked: u32,
    }

    const GOOD: Machine = Machine { step: [2, 13], entry: 50, wobble: 0, asked: 0 };

    impl Count for Machine {
        fn count(&mut self, subject: &Subject, rounds: u32, jit: Jit) -> Result<Measured, Lost> {
            self.asked += 1;
            let item = Item { subject: subject.clone(), ..item() };
            let filtered = matches!(subject, Subject::Call { behind: Behind::Filters(_), .. });
            let steps = u64::from(item.lengths().1) * self.step[usize::from(jit == Jit::Off)];
            let cost = if filtered { (300 + self.entry) as u64 + steps } else { 300 };
            let instructions =
                Distribution { min: cost, p10: cost, p50: cost, p90: cost + self.wobble, count: rounds };
            Ok(Measured::Counted { instructions, returned: 1 })
        }
    }

    fn legs(mut machine: Machine) -> Result<Vec<Leg>, String> {
        let wanted = |item: &Item| item.name == REFERENCE || item.name.starts_with("compares/");
        let items: Vec<Item> = all().into_iter().filter(wanted).collect();
        let mut of = |jit| leg(&items, &mut machine, jit, &AtomicBool::new(false), &|_| {});
        Ok(vec![of(Jit::On)?, of(Jit::Off)?])
    }

    #[test]
    fn a_good_machine_is_believed() {
        assert_eq!(fit::wrong(&legs(GOOD).unwrap()), [""; 0]);
    }

    #[test]
    fn a_kernel_with_unsteady_figures_is_refused() {
        let refused = legs(Machine { wobble: 1, ..GOOD }).unwrap_err();
        assert_eq!(
            refused,
            "call/getppid: not steady: minimum 300, p10 300, p50 300, p90 301: figures on this kernel would say nothing"
        );
    }

    #[test]
    fn a_jit_that_was_not_switched_and_a_filter_for_nothing_are_found_out() {
        let wrong = |machine| fit::wrong(&legs(machine).unwrap()).join("\n");
        let same = wrong(Machine { step: [13, 13], ..GOOD });
        assert!(same.contains("compares/100 costs 1676 with the JIT and 1676 without"), "{same}");
        let nothing = wrong(Machine { step: [0, 1], entry: 0, ..GOOD });
        assert!(nothing.contains("compares/0 costs 0 more than no filter"), "{nothing}");
    }
}
