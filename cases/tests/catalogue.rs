//! The catalogue as a whole: names, makeability, agreement with the encoders.

use atlas_cases::{Body, catalogue, faults, probes};
use atlas_model::expect::expect;
use atlas_model::traits::{Series, Traits};
use std::collections::BTreeSet;

#[test]
fn names_are_unique_and_of_one_form() {
    let mut seen = BTreeSet::new();
    for case in catalogue() {
        let (theme, name) = case.name.split_once("::").expect("theme::case");
        assert!(!theme.is_empty() && !name.is_empty() && !name.contains("::"), "{}", case.name);
        assert!(seen.insert(case.name), "{} stands twice", case.name);
        assert!(case.about.ends_with('.'), "{}: `{}` is not a sentence", case.name, case.about);
    }
    assert!(seen.len() >= 60, "only {} cases", seen.len());
}

#[test]
fn every_experiment_can_be_made_and_expected_on_every_series() {
    let old = [Series::of_2_6(28)];
    let later = [(3, 2), (3, 5), (3, 17), (4, 9), (5, 0), (5, 10), (7, 3)].map(|(a, b)| Series::new(a, b));
    for case in catalogue() {
        let Body::Experiment(make) = case.body else { continue };
        for &abi in case.abis {
            let experiment = make(abi);
            for traits in old.into_iter().chain(later).map(Traits::mainline) {
                let expectation = expect(&experiment, &traits);
                assert_eq!(expectation.steps.len(), experiment.steps.len(), "{}", case.name);
                assert_eq!(expectation.tasks.len(), experiment.tasks(), "{}", case.name);
            }
        }
    }
}

#[test]
fn what_the_guest_is_asked_for_by_name_it_knows() {
    for case in catalogue() {
        let is_code = matches!(case.body, Body::Choreography { .. });
        assert_eq!(atlas_cases::observe(case.name).is_some(), is_code, "{}", case.name);
    }
    for probe in probes::all() {
        let is_code = matches!(probe.body, probes::ProbeBody::Choreography(..));
        assert_eq!(
            atlas_cases::observe(&probe.choreography()).is_some(),
            is_code,
            "{}",
            probe.subject.name()
        );
    }
    assert!(atlas_cases::observe("no::such_case").is_none());
}

#[test]
fn what_two_probes_read_has_one_name() {
    use atlas_model::traits::Feature;
    let of = |feature| {
        let mut all = probes::all().into_iter();
        all.find(|probe| probe.subject == probes::Subject::Feature(feature)).unwrap().choreography()
    };
    let pairs = [
        (Feature::MemoryControl, Feature::FilterMemoryCharged),
        (Feature::EntrySysenter, Feature::EntrySyscall32),
    ];
    for (first, second) in pairs {
        assert_eq!(of(first), format!("probe::{}", first.info().name));
        assert_eq!(of(second), of(first));
    }
}

#[test]
fn the_forged_frame_is_a_true_answer_but_for_its_id() {
    use atlas_wire::frame::{BELL, Kind, frame};
    use atlas_wire::{Outcome, Response, encode};
    let payload = encode(&Response::Ran(vec![Outcome::Facts(Vec::new())])).unwrap();
    assert_eq!(faults::FORGED.to_vec(), frame(Kind::Response, 0xdead_beef, &payload));
    assert_eq!(faults::RUNG, [BELL]);
}

#[test]
fn every_effect_has_its_two_cases() {
    for effect in atlas_model::experiment::effects::ALL {
        for name in [format!("effects::{}", effect.name), format!("effects::{}_forbidden", effect.name)] {
            assert!(catalogue().iter().any(|case| case.name == name), "there is no case {name}");
        }
    }
}
