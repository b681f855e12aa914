//! Arguments that filters see otherwise than the kernel takes them.
//!
//! A filter sees six registers of 64 bits. The kernel takes as many as the call has arguments, and of each as many bits as
//! its type has (include/linux/syscalls.h `__SC_CAST`; seccomp(2), "Caveats"; CVE-2019-7303).

use super::{Map, Subject, lets_through};
use crate::explain::call::Asked;
use crate::numbers::few;
use atlas_model::abi::{offset, syscalls};
use atlas_model::bpf::{self, Dialect, Way};
use atlas_model::{Abi, Call};
use std::collections::BTreeMap;

/// How many calls a remark names.
const NAMED: usize = 6;
/// Arguments that an entry takes whole and then cuts to 32 bits itself: clone's flags (kernel/fork.c
/// `SYSCALL_DEFINE5(clone`, `lower_32_bits`), and descriptors (include/linux/file.h `fdget`, which takes an `unsigned int`).
/// `arguments::upper_half_cut_inside` shows them on every kernel.
const CUT_INSIDE: [(&str, usize); 8] = [
    ("clone", 0),
    ("mmap", 4),
    ("preadv", 0),
    ("preadv2", 0),
    ("pwritev", 0),
    ("pwritev2", 0),
    ("readv", 0),
    ("writev", 0),
];

/// The remarks on arguments.
pub(super) fn of(subject: &Subject, map: &Map) -> Vec<String> {
    let mut found = Found::default();
    // What many numbers have in common is worked out once.
    let mut known = BTreeMap::new();
    for &(abi, nr) in &map.by_arguments {
        // Of other calls it is not known: i386's, those that are only x32's, those that no kernel has any more.
        let Some(widths) = widths(abi, nr) else { continue };
        let asked = Asked { abi, nr, args: None };
        let (key, count) = ((map.kinds_for(&asked), widths.clone()), widths.len());
        let of_kind = known.entry(key).or_insert_with_key(|(kinds, widths)| {
            (passing(subject, map.ways(kinds), &asked, widths), beyond(map.ways(kinds), widths.len()))
        });
        let (passing, beyond) = *of_kind;
        if let Some((width, args)) = passing {
            found.passed.entry(width).or_default().push(Call { args, ..asked.call() }.to_text());
        }
        if let Some(index) = beyond {
            let name = syscalls::name(abi, nr).unwrap_or("unknown");
            found.beyond.push(format!("{name}[{nr}] takes {count} arguments, and args[{index}] is compared"));
        }
    }
    found.told()
}

/// How many bits of each argument reach what a call does.
fn widths(abi: Abi, nr: u32) -> Option<Vec<u32>> {
    let mut widths = syscalls::widths(abi, nr)?.to_vec();
    let name = syscalls::name(abi, nr)?;
    for (_, index) in CUT_INSIDE.into_iter().filter(|(of, _)| *of == name) {
        widths[index] = widths[index].min(32);
    }
    Some(widths)
}

/// What was found, by call.
#[derive(Default)]
struct Found {
    /// Calls that are let through with a bit that the kernel drops, by how many bits it takes.
    passed: BTreeMap<u32, Vec<String>>,
    /// Calls about which a register decides that they have no use for.
    beyond: Vec<String>,
}

impl Found {
    fn told(self) -> Vec<String> {
        let mut said: Vec<String> = Vec::new();
        for (width, calls) in self.passed.into_iter().rev() {
            said.push(format!(
                "Denied, and let through with a bit above {} set: {}. The kernel takes {width} bits of that argument, so \
                 this is a way around: compare under the mask {:#x}.",
                width - 1,
                few(&calls, NAMED),
                (1_u64 << width) - 1
            ));
        }
        if !self.beyond.is_empty() {
            said.push(format!("What happens to be in a register may decide: {}.", few(&self.beyond, NAMED)));
        }
        said
    }
}

/// Arguments with which a call is let through, and without a bit that the kernel drops denied; and how many bits it
/// takes.
fn passing<'a>(
    subject: &Subject,
    mut ways: impl Iterator<Item = &'a Way>,
    asked: &Asked,
    widths: &[u32],
) -> Option<(u32, [u64; 6])> {
    ways.find_map(|way| {
        if lets_through(way.ran.word) {
            return None;
        }
        (0..).zip(widths).filter(|(_, width)| **width < 64).find_map(|(index, &width)| {
            // One way may be for many numbers.
            let mut data = Call { args: way.data.args, ..asked.call() }.data();
            let arg = &mut data.args[index as usize];
            // A value that has such bits already is none of the argument's type.
            if !looks_at(way, index) || *arg >> width != 0 {
                return None;
            }
            *arg |= 1 << width;
            let word = bpf::run(&subject.filter, &data, &Dialect::default()).word;
            lets_through(word).then_some((width, data.args))
        })
    })
}

/// An argument that is compared on one of these ways though the call has only so many.
fn beyond<'a>(ways: impl Iterator<Item = &'a Way>, count: usize) -> Option<u32> {
    let first = |way: &Way| (count as u32..6).find(|&index| looks_at(way, index));
    ways.filter_map(first).min()
}

/// Whether an argument is compared on a way.
fn looks_at(way: &Way, index: u32) -> bool {
    way.tests.iter().any(|test| test.at == offset::arg_low(index) || test.at == offset::arg_high(index))
}
