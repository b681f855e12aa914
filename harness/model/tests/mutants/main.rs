//! Every mutant is one: there is an experiment on which its model and a kernel would disagree.
//!
//! What a kernel would show is taken from the right model. That the mutants are noticed on real
//! kernels, by tests that know nothing of them, is for the property tests.

mod actions;
mod attaching;
mod checker;
mod filters;
mod ideal;
mod script;
mod tasks;

use atlas_model::expect::{Expectation, compare, expect};
use atlas_model::experiment::Experiment;
use atlas_model::mutant::{self, Mutant};
use atlas_model::traits::Traits;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The experiment that tells a mutant from the right model on the newest kernel.
fn witness(mutant: Mutant) -> Option<Experiment> {
    let by_theme = [actions::witness, filters::witness, checker::witness, attaching::witness, tasks::witness];
    by_theme.iter().find_map(|witness| witness(mutant)).map(|script| script.experiment)
}

#[test]
fn every_mutant_has_an_experiment_that_tells() {
    let traits = Traits::newest();
    for &mutant in Mutant::ALL {
        let name = mutant.name();
        let experiment = witness(mutant).unwrap_or_else(|| panic!("{name}: no experiment"));
        let right = expect(&experiment, &traits);
        let seen = ideal::observation(&experiment, &right);
        assert_eq!(compare(&right, &seen), [], "{name}: the right model fits what it would see");
        let wrong = mutant::with(mutant, || expect(&experiment, &traits));
        assert_ne!(compare(&wrong, &seen), [], "{name}: nothing seen tells it from the right model");
        assert_eq!(expect(&experiment, &traits), right, "{name}: the right model is back");
    }
}

#[test]
fn no_two_mutants_are_the_same() {
    let traits = Traits::newest();
    let experiments: Vec<Experiment> = Mutant::ALL.iter().filter_map(|&mutant| witness(mutant)).collect();
    let outcome = |experiment: &Experiment| {
        let mut expectation = expect(experiment, &traits);
        expectation.steps.iter_mut().for_each(|step| step.why.clear());
        expectation
    };
    let mut known: Vec<(Mutant, Vec<Expectation>)> = Vec::new();
    let mut same = Vec::new();
    for &mutant in Mutant::ALL {
        let outcomes = mutant::with(mutant, || experiments.iter().map(outcome).collect());
        let others = known.iter().filter(|(_, others)| *others == outcomes);
        same.extend(others.map(|(other, _)| (mutant.name(), other.name())));
        known.push((mutant, outcomes));
    }
    assert!(same.is_empty(), "the same on every experiment here: {same:?}");
}

#[test]
fn names_are_unique_and_places_exist() {
    let names: BTreeSet<&str> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
    assert_eq!(names.len(), Mutant::ALL.len());
    for &mutant in Mutant::ALL {
        let (name, about) = (mutant.name(), mutant.about());
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(name.chars().all(kebab) && about.ends_with('.'), "{name}: {about}");
        let (file, function) = mutant.place();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let function = function.rsplit("::").next().unwrap_or(function);
        assert!(text.contains(&format!("fn {function}(")), "{name}: {file} has no {function}");
    }
}
