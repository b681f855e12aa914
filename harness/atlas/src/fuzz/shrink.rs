//! Making a broken trial smaller, on the kernel on which it broke.

use super::ask::{Came, Nobody};
use super::finding::Kind;
use super::hand::Hand;
use crate::results::Jit;
use atlas_properties::{Property, Trial};
use proptest::strategy::ValueTree;
use std::time::{Duration, Instant};

/// The most tries. Each costs a few milliseconds, or a boot where the trial takes the guest down.
const TRIES: u32 = 1500;
/// The most tries that cost a boot.
const BOOTS: u32 = 40;

/// No try is begun after this: one that hangs costs seconds.
const LONGEST: Duration = Duration::from_secs(60);

/// A trial made as small as it gets.
pub(super) struct Smallest {
    pub(super) trial: Trial,
    pub(super) kind: Kind,
    pub(super) shrunk: u32,
}

impl Hand<'_> {
    /// Shrinks a trial of a property, which broke under these JIT settings as `kind` says.
    pub(super) fn shrink(
        &mut self,
        property: &Property,
        mut tree: Box<dyn ValueTree<Value = Trial>>,
        settings: &[Jit],
        kind: Kind,
    ) -> Smallest {
        let mut smallest = Smallest { trial: tree.current(), kind, shrunk: 0 };
        let boots_before = self.lost;
        let (mut broke, start) = (true, Instant::now());
        for _ in 0..TRIES {
            if start.elapsed() > LONGEST || self.lost - boots_before >= u64::from(BOOTS) {
                break;
            }
            let moved = if broke { tree.simplify() } else { tree.complicate() };
            if !moved {
                break;
            }
            let trial = tree.current();
            match self.breaks(property, &trial, settings) {
                Ok(Some(kind)) if same_kind(&kind, &smallest.kind) => {
                    smallest = Smallest { trial, kind, shrunk: smallest.shrunk + 1 };
                    broke = true;
                }
                Ok(_) => broke = false,
                Err(Nobody) => break,
            }
        }
        smallest
    }

    /// Whether a trial breaks a property under one JIT setting, or between two.
    fn breaks(
        &mut self,
        property: &Property,
        trial: &Trial,
        settings: &[Jit],
    ) -> Result<Option<Kind>, Nobody> {
        let mut seen = Vec::new();
        for &jit in settings {
            for came in self.carry_out(property, &[trial], jit)? {
                if let Some(kind) = self.verdict(property, trial, &came) {
                    return Ok(Some(kind));
                }
                seen.push(came);
            }
        }
        Ok(between(property, &seen))
    }

    /// What a trial's outcome says under one JIT setting.
    pub(super) fn verdict(&self, property: &Property, trial: &Trial, came: &Came) -> Option<Kind> {
        match came {
            Came::Seen(seen) => property.judge(trial, &self.traits, seen).err().map(Kind::Differs),
            Came::Lost(why) => Some(Kind::Lost(why.clone())),
            Came::Impossible(why) => Some(Kind::Impossible(why.clone())),
        }
    }
}

/// What the outcomes of one trial under two JIT settings say.
pub(super) fn between(property: &Property, came: &[Came]) -> Option<Kind> {
    match came {
        [Came::Seen(on), Came::Seen(off)] => property.same(on, off).err().map(Kind::Differs),
        _ => None,
    }
}

fn same_kind(one: &Kind, other: &Kind) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}
