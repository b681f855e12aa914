//! The table of effects against the paper interpreter.

use atlas_model::bpf::{self, Filter};
use atlas_model::expect::{Value, compare, expect};
use atlas_model::experiment::effects::{self, Effect};
use atlas_model::experiment::{Experiment, Install, Op, Program, Step, Via, layout};
use atlas_model::observation::{End, Observation, StepSeen, TaskSeen};
use atlas_model::traits::{Feature, Traits};
use atlas_model::world::{Change, Of};
use atlas_model::{Abi, Action};
use proptest::prelude::*;
use std::collections::BTreeSet;

const ABIS: [Abi; 2] = [Abi::X86_64, Abi::I386];

fn watched(filter: Option<Filter>) -> Experiment {
    let install = |filter| Install { via: Via::Prctl, program: Program::Filter(filter) };
    let steps = filter.map(|filter| Step { task: 0, op: Op::Install(install(filter)) });
    Experiment { watch: true, steps: steps.into_iter().collect(), ..Experiment::default() }
}

/// A filter that answers calls with EPERM, all or none.
fn all(forbidden: bool) -> Filter {
    Filter(vec![bpf::ret(if forbidden { Action::Errno(1) } else { Action::Allow })])
}

#[test]
fn every_effect_is_known_by_its_call_and_reaches_both_abis() {
    assert!(effects::ALL.len() >= 25);
    let names: BTreeSet<_> = effects::ALL.iter().map(|effect| effect.name).collect();
    assert_eq!(names.len(), effects::ALL.len(), "a name stands twice");
    for effect in effects::ALL {
        assert!(effect.call(Abi::X32).is_none());
        for abi in ABIS {
            let call = effect.call(abi).unwrap_or_else(|| panic!("{} by {abi}", effect.name));
            assert!(call.args.iter().all(|arg| *arg < 1 << 32), "{} by {abi}: {call:?}", effect.name);
            let mut other = call;
            other.args[0] ^= 1 << 33;
            let found = |call| Effect::of(&call).map(|effect| effect.name);
            assert_eq!(found(call), Some(effect.name));
            // The upper halves of registers are nothing to the i386 entry.
            assert_eq!(found(other), (abi == Abi::I386).then_some(effect.name));
        }
    }
}

#[test]
fn scratch_memory_of_two_effects_never_overlaps() {
    let mut taken = BTreeSet::new();
    for (effect, abi) in effects::ALL.iter().flat_map(|effect| ABIS.map(|abi| (effect, abi))) {
        for (offset, bytes) in effect.memory(abi) {
            let end = offset + bytes.len() as u32;
            assert!(offset >= effects::MEMORY && u64::from(end) <= layout::SCRATCH_LEN);
            for byte in offset..end {
                assert!(taken.insert(byte), "{} by {abi} at {byte:#x}", effect.name);
            }
        }
    }
}

#[test]
fn an_effect_shows_when_allowed_and_not_when_forbidden() {
    for (effect, abi) in effects::ALL.iter().flat_map(|effect| ABIS.map(|abi| (effect, abi))) {
        let changes = effect.changes(abi, &Traits::newest());
        assert!(!changes.is_empty(), "{} by {abi}", effect.name);
        for forbidden in [false, true] {
            let mut experiment = watched(Some(all(forbidden)));
            effect.add_to(&mut experiment, 0, abi);
            let expectation = expect(&experiment, &Traits::newest());
            let wanted = if forbidden { Vec::new() } else { changes.clone() };
            assert_eq!(expectation.world, Some(wanted), "{} by {abi}", effect.name);
            let failed = matches!(expectation.steps[1].returned, Some(Value::Exactly(..0)));
            assert_eq!(failed, forbidden, "{} by {abi}: {:?}", effect.name, expectation.steps[1]);
        }
    }
}

#[test]
fn the_world_is_unknown_after_a_call_that_the_model_does_not_know() {
    let mut experiment = watched(None);
    Effect::by_name("mkdir").unwrap().add_to(&mut experiment, 0, Abi::X86_64);
    assert_eq!(expect(&experiment, &Traits::newest()).world.map(|world| world.len()), Some(1));
    // Without its path in the scratch area it is any mkdir.
    experiment.memory.clear();
    assert_eq!(expect(&experiment, &Traits::newest()).world, None);
    experiment.watch = false;
    assert_eq!(expect(&experiment, &Traits::newest()).world, None);
}

#[test]
fn a_umask_shows_where_the_kernel_shows_it() {
    let umask = Effect::by_name("umask").unwrap();
    let mut old = Traits::newest();
    assert_eq!(umask.changes(Abi::X86_64, &old), [Change::Task(0, Of::Umask(0o077))]);
    old.features.remove(&Feature::StatusUmask);
    assert_eq!(umask.changes(Abi::X86_64, &old), []);
}

#[test]
fn a_change_that_nobody_expected_is_a_difference() {
    let mut experiment = watched(Some(all(true)));
    Effect::by_name("kill").unwrap().add_to(&mut experiment, 0, Abi::X86_64);
    let expectation = expect(&experiment, &Traits::newest());
    let step =
        |value| StepSeen { reached: true, returned: Some(value), traps: Vec::new(), traced: Vec::new() };
    let mut seen = Observation {
        steps: vec![step(0), step(-1)],
        tasks: vec![TaskSeen { tid: 7, pid: 7, end: End::Alive }],
        world: Vec::new(),
    };
    assert_eq!(compare(&expectation, &seen), []);
    seen.world.push(Change::Signal(10));
    assert_eq!(compare(&expectation, &seen)[0].what, "world");
}

proptest! {
    /// Order and number do not matter to whether the model knows its way.
    #[test]
    fn any_effects_in_any_order_leave_a_known_world(
        chosen in prop::collection::vec((0..effects::ALL.len(), any::<bool>()), 0..40),
    ) {
        let mut experiment = watched(None);
        for (index, native) in chosen {
            effects::ALL[index].add_to(&mut experiment, 0, ABIS[usize::from(!native)]);
        }
        let expectation = expect(&experiment, &Traits::newest());
        prop_assert!(expectation.world.is_some());
        prop_assert!(expectation.steps.iter().all(|step| matches!(step.returned, Some(Value::Exactly(_)))));
    }
}
