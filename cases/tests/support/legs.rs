//! Which kernels a test run is about.

use atlas_vm::kernels::{Kernel, Manifest, Store};
use libtest_mimic::{Arguments, Trial};

/// A trial that says why there can be no others.
pub(crate) fn problem(name: String, why: String) -> Trial {
    Trial::test(name, move || Err(why.into()))
}

/// Whether a test of this name is to be run.
pub(crate) fn selected(arguments: &Arguments, name: &str) -> bool {
    let meets =
        |pattern: &String| if arguments.exact { name == pattern } else { name.contains(pattern.as_str()) };
    arguments.filter.as_ref().is_none_or(meets) && !arguments.skip.iter().any(meets)
}

/// The kernels of this leg, and a failing trial for each that is not there.
pub(crate) fn kernels() -> (Vec<Kernel>, Vec<Trial>) {
    let wanted = match std::env::var("ATLAS_KERNEL") {
        Ok(names) => names.split(',').map(str::to_owned).collect(),
        Err(_) => Manifest::embedded()
            .map(|manifest| manifest.group("default").map(|entry| entry.series.clone()).collect::<Vec<_>>())
            .unwrap_or_default(),
    };
    let store = match Store::open() {
        Ok(store) => store,
        Err(error) => return (Vec::new(), vec![problem("kernels::store".into(), error.to_string())]),
    };
    let mut kernels = Vec::new();
    let mut problems = Vec::new();
    for name in wanted {
        match store.resolve(&name) {
            Ok(kernel) => kernels.push(kernel),
            Err(error) => problems.push(problem(
                format!("{name}::kernel_is_there"),
                format!("{error}\nrun: cargo run -p seccomp-atlas -- kernels fetch --kernel {name}"),
            )),
        }
    }
    if kernels.is_empty() && problems.is_empty() {
        problems.push(problem("kernels::chosen".into(), "no kernels were asked for".into()));
    }
    (kernels, problems)
}
