//! The cost of a call behind filters as a sum of parts, and what must hold of any figures.

use super::item::REFERENCE;
use super::list::{COMPARES, DEPTH_COMPARES, DEPTHS};
use super::results::{Fit, Leg};
use crate::results::Jit;

/// Takes a leg's figures apart. The four unknowns come from four rows; all the others are held against
/// them. `None` where one of the four was not measured, or the two with compares only are not a whole
/// number a compare apart.
#[must_use]
pub fn fit(leg: &Leg) -> Option<Fit> {
    let figure = |name: &str| leg.figure(name).and_then(|figure| i64::try_from(figure).ok());
    let compares = |count: usize| figure(&format!("compares/{count}"));
    let depth = |count: usize| figure(&format!("depth/{count}"));
    let call = figure(REFERENCE)?;
    let (few, many) = (COMPARES[1], COMPARES[7]);
    let (difference, count) = (compares(many)? - compares(few)?, (many - few) as i64);
    if difference % count != 0 {
        return None;
    }
    let compare = difference / count;
    // Two depths are so many filters apart.
    let (shallow, deep) = (DEPTHS[0], DEPTHS[6]);
    let (difference, count) = (depth(deep)? - depth(shallow)?, (deep - shallow) as i64);
    if difference % count != 0 {
        return None;
    }
    let filter = difference / count - DEPTH_COMPARES as i64 * compare;
    let entry = depth(shallow)? - call - filter - DEPTH_COMPARES as i64 * compare;
    let sum = |filters: usize, compares: usize| {
        call + entry + filters as i64 * (filter + compares as i64 * compare)
    };
    let of_compares = COMPARES.into_iter().filter_map(|count| Some((compares(count)?, sum(1, count))));
    let of_depths = DEPTHS.into_iter().filter_map(|count| Some((depth(count)?, sum(count, DEPTH_COMPARES))));
    let off = of_compares.chain(of_depths).map(|(measured, fitted)| (measured - fitted).abs());
    Some(Fit { call, entry, filter, compare, residual: off.max().unwrap_or_default() })
}

/// What is wrong with a kernel's figures as a whole: sentences, none where nothing is. Figures that break
/// one of these measure something else than they say.
#[must_use]
pub fn wrong(legs: &[Leg]) -> Vec<String> {
    let mut wrong = Vec::new();
    for leg in legs {
        for row in leg.rows.iter().filter(|row| row.over.is_some_and(|over| over <= 0) && row.length > 0) {
            let over = row.over.unwrap_or_default();
            // An answered call is not carried out, which may cost less than the filter.
            if !row.name.starts_with("action/errno") {
                wrong.push(format!("{} costs {over} more than no filter, JIT {}", row.name, leg.jit.name()));
            }
        }
    }
    let leg = |jit| legs.iter().find(|leg| leg.jit == jit);
    if let (Some(on), Some(off)) = (leg(Jit::On), leg(Jit::Off)) {
        for count in [100, 1000] {
            let name = format!("compares/{count}");
            if let (Some(on), Some(off)) = (on.figure(&name), off.figure(&name))
                && on >= off
            {
                wrong.push(format!("{name} costs {on} with the JIT and {off} without: it was not switched"));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::Row;

    fn leg(jit: Jit, cost: impl Fn(usize, usize) -> u64) -> Leg {
        let row = |name: String, instructions: u64| Row {
            name,
            length: 1,
            instructions: Some(instructions),
            over: Some(instructions as i64 - 300),
            ..Row::default()
        };
        let mut rows: Vec<Row> =
            COMPARES.iter().map(|&count| row(format!("compares/{count}"), cost(1, count))).collect();
        rows.extend(DEPTHS.iter().map(|&depth| row(format!("depth/{depth}"), cost(depth, DEPTH_COMPARES))));
        rows.push(Row { length: 0, over: None, ..row(REFERENCE.into(), 300) });
        Leg { jit, rows, fit: None, spreads: vec![] }
    }

    fn sum(compare: usize) -> impl Fn(usize, usize) -> u64 {
        move |filters, compares| (300 + 50 + filters * (70 + compares * compare)) as u64
    }

    #[test]
    fn parts_are_found_again() {
        let fitted = fit(&leg(Jit::Off, sum(13))).unwrap();
        assert_eq!(fitted, Fit { call: 300, entry: 50, filter: 70, compare: 13, residual: 0 });
    }

    #[test]
    fn what_does_not_fit_is_the_residual() {
        let bent = |filters, compares| sum(2)(filters, compares) + if compares == 100 { 5 } else { 0 };
        assert_eq!(fit(&leg(Jit::On, bent)).unwrap().residual, 5);
        // One compare less than a whole number a compare.
        let crooked = |filters, compares| sum(2)(filters, compares) + u64::from(compares == 4094);
        assert_eq!(fit(&leg(Jit::On, crooked)), None);
    }

    #[test]
    fn figures_of_something_else_are_found_out() {
        assert_eq!(wrong(&[leg(Jit::On, sum(2)), leg(Jit::Off, sum(13))]), [""; 0]);
        // The JIT was on in both.
        assert_eq!(wrong(&[leg(Jit::On, sum(2)), leg(Jit::Off, sum(2))]).len(), 2);
        // A filter that costs nothing.
        assert!(!wrong(&[leg(Jit::On, |_, _| 300)]).is_empty());
    }
}
