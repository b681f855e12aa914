//! What the sandboxed runner costs: two programs, each in the runner and in a bare interpreter.

use super::item::Item;
use atlas_wire::measure::{Place, Subject};

/// The programs: a name, the code, its value, and how often it is evaluated.
pub const PROGRAMS: [(&str, &str, i64, u32); 2] = [
    ("1 + 1", "1 + 1", 2, 30),
    // Of a million instructions of the interpreter: a test counts them.
    ("a million instructions", "a = b = c = i = 0; while i < 166_665; i += 1; end; i", 166_665, 3),
];

/// Where they run.
const PLACES: [(&str, Place); 3] =
    [("bare", Place::Bare), ("in a session", Place::Session), ("by a new worker", Place::Worker)];

/// The measurements. A worker's life is full of allocations, so they are spreads.
#[must_use]
pub fn items() -> Vec<Item> {
    let item = |(name, code, value, rounds): (&str, &str, i64, u32), (place_name, place)| Item {
        name: format!("ruby/{name}/{place_name}"),
        subject: Subject::Ruby { code: code.into(), place },
        rounds,
        exact: false,
        returns: Some(value),
        baseline: None,
    };
    PROGRAMS.iter().flat_map(|program| PLACES.map(|place| item(*program, place))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mruby_runner::Sandbox;

    #[test]
    fn programs_are_as_long_as_they_say() {
        let mut sandbox = Sandbox::builder().build().unwrap();
        for (name, code, value, _) in PROGRAMS {
            let outcome = sandbox.eval(code).unwrap();
            assert_eq!(outcome.value(), Some(value.to_string().as_str()), "{name}");
            if name.starts_with("a million") {
                assert_eq!(outcome.usage.instructions, 1_000_000, "{name}");
            }
        }
    }
}
