//! Instructions written from the last one to the first.
//!
//! BPF jumps forward only, so whoever writes backward knows every target when a jump is written. What
//! is left is the distance: conditional jumps skip at most 255 instructions, `ja` any number.

use atlas_model::bpf::{self, Insn, op};
use atlas_model::{Action, Filter};
use std::collections::HashMap;

/// The farthest a conditional jump is let go: 255, less one for the other side's `ja`.
const REACH: usize = 254;

/// The place of an instruction, counted from the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// A program, the last instruction first.
#[derive(Default)]
pub(super) struct Emitter {
    reversed: Vec<Insn>,
    returns: HashMap<Action, Label>,
}

impl Emitter {
    fn push(&mut self, insn: Insn) -> Label {
        self.reversed.push(insn);
        Label(self.reversed.len())
    }

    /// How many instructions one that is written now would skip.
    fn distance(&self, to: Label) -> usize {
        self.reversed.len() - to.0
    }

    /// A return, the nearest one with this action if it can be reached.
    pub(super) fn ret(&mut self, action: Action) -> Label {
        match self.returns.get(&action) {
            Some(&label) if self.distance(label) < REACH => label,
            _ => {
                let label = self.push(bpf::ret(action));
                self.returns.insert(action, label);
                label
            }
        }
    }

    /// A conditional jump.
    pub(super) fn branch(&mut self, operation: u16, k: u32, yes: Label, no: Label) -> Label {
        let yes = self.within_reach(yes);
        let no = self.within_reach(no);
        let skip = |label| u8::try_from(self.distance(label)).expect("within reach");
        let insn = bpf::jump(operation, k, skip(yes), skip(no));
        self.push(insn)
    }

    /// An instruction with another one right behind it.
    pub(super) fn then(&mut self, insn: Insn, next: Label) -> Label {
        match self.distance(next) {
            0 => {}
            far => {
                self.push(bpf::ja(far as u32));
            }
        }
        self.push(insn)
    }

    /// The label itself, or one near by that leads there. A return is repeated, which is as short as a
    /// jump to it.
    fn within_reach(&mut self, label: Label) -> Label {
        let distance = self.distance(label);
        if distance <= REACH {
            return label;
        }
        let there = self.reversed[label.0 - 1];
        self.push(if there.code == op::RET_K { there } else { bpf::ja(distance as u32) })
    }

    pub(super) fn finish(mut self) -> Filter {
        self.reversed.reverse();
        Filter(self.reversed)
    }
}
