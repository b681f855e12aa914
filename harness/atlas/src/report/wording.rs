//! The words that all formats share.

use crate::results::{Jit, ProbeKind, Timeline};

/// The timeline in the project's vocabulary.
pub(crate) fn timeline(timeline: Timeline) -> &'static str {
    match timeline {
        Timeline::AsMainline => "as mainline",
        Timeline::Backported => "backported",
        Timeline::Missing => "missing",
        Timeline::Unknown => "unknown",
    }
}

/// A kind of probe, as a heading.
pub(crate) fn kind_heading(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Feature => "Features",
        ProbeKind::Change => "Changes of behaviour",
        ProbeKind::Bug => "Bugs",
    }
}

/// A JIT setting as a person reads it.
pub(crate) fn jit(jit: Jit) -> &'static str {
    match jit {
        Jit::On => "JIT on",
        Jit::Off => "JIT off",
        Jit::Fixed => "JIT fixed",
    }
}

/// A number of things, such as `1 kernel` and `1,408 results`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// A number with its thousands set off by commas.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Words as a list, such as `a, b and c`.
pub(crate) fn list<S: AsRef<str>>(words: &[S]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// Which of the kernels, in words: `from 5.19`, `up to 6.1`, `on every kernel`, `on 6.12`. `at` are
/// indices into `kernels`, ascending; `kernels` run from the oldest to the newest.
pub(crate) fn span(at: &[usize], kernels: &[&str]) -> String {
    let contiguous = at.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    match (at, at.first(), at.last()) {
        (_, None, _) | (_, _, None) => "on no kernel".into(),
        (_, Some(0), Some(&last)) if contiguous && last + 1 == kernels.len() && last > 0 => {
            "on every kernel".into()
        }
        ([only], _, _) => format!("on {}", kernels[*only]),
        (_, Some(&first), Some(&last)) if contiguous && last + 1 == kernels.len() => {
            format!("from {}", kernels[first])
        }
        (_, Some(0), Some(&last)) if contiguous => format!("up to {}", kernels[last]),
        (_, Some(&first), Some(&last)) if contiguous && at.len() > 2 => {
            format!("from {} to {}", kernels[first], kernels[last])
        }
        _ => format!("on {}", list(&at.iter().map(|&k| kernels[k]).collect::<Vec<_>>())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let kernels = ["5.10", "6.1", "6.12", "7.0", "7.3"];
        for (at, words) in [
            (&[0, 1, 2, 3, 4][..], "on every kernel"),
            (&[2, 3, 4], "from 6.12"),
            (&[0, 1], "up to 6.1"),
            (&[1, 2, 3], "from 6.1 to 7.0"),
            (&[1, 2], "on 6.1 and 6.12"),
            (&[0, 2, 4], "on 5.10, 6.12 and 7.3"),
            (&[0], "on 5.10"),
            (&[4], "on 7.3"),
            (&[], "on no kernel"),
        ] {
            assert_eq!(span(at, &kernels), words);
        }
        assert_eq!(span(&[0], &["6.12"]), "on 6.12");
    }

    #[test]
    fn numbers() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }
}
