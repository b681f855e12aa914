//! The runner's tables on the host: what the guest must see, seen here too.

use atlas_cases::{Body, catalogue};
use atlas_edge::Stage;
use atlas_model::traits::Traits;

#[test]
fn the_runners_cases_hold_on_this_kernel_too() {
    let mut wrong = Vec::new();
    for case in catalogue().iter().filter(|case| case.name.starts_with("runner::")) {
        let Body::Choreography { observe, expect } = case.body else { continue };
        let stage = Stage::new().unwrap();
        let end = stage.child(observe);
        let (facts, wanted) = (stage.facts(), expect(&Traits::newest()));
        for (index, want) in wanted.iter().enumerate() {
            match facts.get(index) {
                Some((name, value)) if *name == want.name && want.want.takes(*value) => {}
                other => wrong.push(format!("{}: wanted {}, got {other:?}", case.name, want.name)),
            }
        }
        assert_eq!(facts.len(), wanted.len(), "{}: {end:?}", case.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
