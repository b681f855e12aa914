//! Mutants: the model with one rule flipped, to show that the tests hold the model to every rule.
//!
//! A test that would not notice a wrong rule says nothing about it. Under the feature `mutants` the
//! function `with` flips one rule for the thread that calls it, and whatever compares the model with
//! a kernel must then find a difference. Without the feature no rule can be flipped, and the hooks
//! are constants that the compiler removes.

pub(crate) mod flipped;
mod registry;
mod table;

pub use registry::{EQUIVALENT, Mutant};
pub use table::table;

#[cfg(feature = "mutants")]
mod current {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static CURRENT: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Puts the mutant before it back, also when the work panics.
    struct Restore(Option<Mutant>);

    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }

    /// Does some work with one rule of the model flipped. Threads that the work starts have the
    /// right model; inside another `with` only the inner mutant counts.
    ///
    /// ```
    /// use atlas_model::action::most_restrictive;
    /// use atlas_model::mutant::{self, Mutant};
    /// let kill_process = [0x8000_0000];
    /// assert_eq!(most_restrictive(&kill_process, false), Some(0));
    /// let flipped = mutant::with(Mutant::ActionsUnsigned, || most_restrictive(&kill_process, false));
    /// assert_eq!(flipped, None);
    /// ```
    pub fn with<T>(mutant: Mutant, work: impl FnOnce() -> T) -> T {
        let _restore = Restore(CURRENT.replace(Some(mutant)));
        work()
    }

    /// Whether this thread's model has the rule flipped.
    #[inline]
    pub(crate) fn is(mutant: Mutant) -> bool {
        CURRENT.get() == Some(mutant)
    }
}

#[cfg(not(feature = "mutants"))]
mod current {
    /// Never, without the feature.
    #[inline]
    pub(crate) const fn is(_: super::Mutant) -> bool {
        false
    }
}

pub(crate) use current::is;
#[cfg(feature = "mutants")]
pub use current::with;

/// A value of the model: the right one, but for the mutants that have another.
#[inline]
pub(crate) fn either<T, const N: usize>(right: T, wrong: [(Mutant, T); N]) -> T {
    wrong.into_iter().find(|(mutant, _)| is(*mutant)).map_or(right, |(_, value)| value)
}

#[cfg(all(test, feature = "mutants"))]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_lasts_as_long_as_the_work_and_in_its_thread() {
        let (one, other) = (Mutant::ALL[0], Mutant::ALL[1]);
        with(one, || {
            assert!(is(one) && !is(other));
            with(other, || assert!(is(other) && !is(one)));
            assert!(is(one) && !is(other));
            let elsewhere = std::thread::spawn(move || is(one)).join();
            assert!(!elsewhere.expect("nothing panics there"));
        });
        let panicked = std::panic::catch_unwind(|| with(one, || std::panic::panic_any("on purpose")));
        assert!(panicked.is_err());
        assert!(!is(one), "a panic puts the right model back");
    }
}
