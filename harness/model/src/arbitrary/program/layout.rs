//! Instructions laid out from the last to the first, so that every jump's distance is known when it is
//! written.

use super::exit::{Exit, Test};
use crate::bpf::{self, Dialect, Insn, MAX_INSNS, MEMORY_WORDS, Rule, op};

/// A place to jump to: how many instructions there are from it to the end.
pub(in crate::arbitrary) type Label = usize;

/// A conditional jump reaches no farther.
const REACH: usize = 255;

/// A program that grows at its front.
pub(in crate::arbitrary) struct Layout<'a> {
    reversed: Vec<Insn>,
    /// Where the nodes begin that are laid out already, the first of the program last.
    pub(in crate::arbitrary) begins: Vec<Label>,
    exits: &'a [Exit],
    /// Where the exits are that all nodes share; empty where each node has its own.
    shared: Vec<Label>,
    /// Numbers that several nodes, or several programs, are about.
    pub(in crate::arbitrary) topic: &'a [u32],
    /// No division may end the program.
    pub(in crate::arbitrary) no_zero_division: bool,
    /// A scratch word that nothing may touch.
    pub(in crate::arbitrary) untouched: Option<u32>,
    /// The instruction that is to be replaced.
    pub(in crate::arbitrary) hole: Option<Label>,
}

impl<'a> Layout<'a> {
    /// The end of a program, which is its first exit.
    pub(in crate::arbitrary) fn new(exits: &'a [Exit], share: bool, topic: &'a [u32]) -> Self {
        let mut layout = Self {
            reversed: Vec::new(),
            begins: Vec::new(),
            exits,
            shared: Vec::new(),
            topic,
            no_zero_division: false,
            untouched: None,
            hole: None,
        };
        let to_lay = if share { exits } else { &exits[..1] };
        let mut labels: Vec<Label> = to_lay.iter().rev().map(|&exit| layout.lay(exit)).collect();
        labels.reverse();
        if share {
            layout.shared = labels;
        }
        layout
    }

    /// The place in front of all that is laid out.
    pub(in crate::arbitrary) fn here(&self) -> Label {
        self.reversed.len()
    }

    pub(in crate::arbitrary) fn push(&mut self, insn: Insn) {
        self.reversed.push(insn);
    }

    /// Puts instructions in front, in their order.
    pub(in crate::arbitrary) fn run(&mut self, insns: &[Insn]) {
        self.reversed.extend(insns.iter().rev());
    }

    pub(in crate::arbitrary) fn goto(&mut self, to: Label) {
        self.push(bpf::ja((self.here() - to) as u32));
    }

    /// A conditional jump, by way of unconditional ones where it is too far.
    pub(in crate::arbitrary) fn branch(&mut self, test: Test, mut yes: Label, mut no: Label) {
        let mut reach = |target: &mut Label| {
            if self.here() - *target > REACH {
                self.goto(*target);
                *target = self.here();
            }
        };
        // The second may push the first out of reach.
        reach(&mut no);
        reach(&mut yes);
        reach(&mut no);
        let skip = |layout: &Self, to: Label| u8::try_from(layout.here() - to).expect("within reach by now");
        let (jt, jf) = (skip(self, yes), skip(self, no));
        self.push(if test.x { bpf::jump_x(test.op, jt, jf) } else { bpf::jump(test.op, test.k, jt, jf) });
    }

    /// Puts an exit in front.
    fn lay(&mut self, exit: Exit) -> Label {
        match exit {
            Exit::Word(word) => self.push(bpf::ret_word(word)),
            Exit::Loaded(word) => self.run(&[bpf::imm(word), bpf::ret_a()]),
            Exit::Added(word, by) => {
                self.run(&[bpf::imm(word.wrapping_sub(by)), bpf::alu(op::ADD, by), bpf::ret_a()]);
            }
            Exit::Copied(word) => self.run(&[bpf::ldx_imm(word), bpf::txa(), bpf::ret_a()]),
            Exit::Stored(word, at) => {
                let at = self.scratch(at);
                self.run(&[bpf::imm(word), bpf::st(at), bpf::imm(1), bpf::ld_mem(at), bpf::ret_a()]);
            }
            Exit::Whatever => self.push(bpf::ret_a()),
        }
        self.here()
    }

    /// An exit by its index, laid out here where they are not shared.
    pub(in crate::arbitrary) fn exit(&mut self, index: u8) -> Label {
        let index = usize::from(index) % self.exits.len();
        match self.shared.get(index) {
            Some(&label) => label,
            None => self.lay(self.exits[index]),
        }
    }

    /// The word of an exit, if it has one.
    pub(super) fn word(&self, index: u32) -> Option<u32> {
        self.exits[index as usize % self.exits.len()].word()
    }

    /// The beginning of a node that follows, 0 being the next.
    pub(in crate::arbitrary) fn ahead(&self, nodes: u8) -> Label {
        let behind = self.begins.iter().rev().nth(usize::from(nodes));
        behind.or(self.begins.first()).copied().unwrap_or_else(|| self.here())
    }

    /// A scratch word that is free to use.
    pub(in crate::arbitrary) fn scratch(&self, word: u32) -> u32 {
        let word = word % MEMORY_WORDS as u32;
        if self.untouched == Some(word) { (word + 1) % MEMORY_WORDS as u32 } else { word }
    }

    /// The program, with stores in front for the scratch words that some path would load unset.
    pub(in crate::arbitrary) fn finish(mut self) -> Vec<Insn> {
        let unset = |insns: &[Insn]| {
            let rejection = bpf::check(insns, &Dialect::default()).err()?;
            (rejection.rule == Rule::MemoryUnset).then(|| insns[rejection.at].k)
        };
        self.reversed.reverse();
        while let Some(word) = unset(&self.reversed) {
            self.reversed.insert(0, bpf::st(word));
        }
        self.reversed
    }
}

/// What makes a program longer than its nodes do.
#[derive(Clone, Copy, Debug)]
pub(in crate::arbitrary) struct Fill {
    /// How long the program is to be.
    pub(in crate::arbitrary) to: usize,
    /// Whether the filling runs, or is jumped over.
    pub(in crate::arbitrary) runs: bool,
}

impl Fill {
    /// Fills at the front, where it moves no jump.
    pub(in crate::arbitrary) fn put(self, insns: Vec<Insn>) -> Vec<Insn> {
        let missing = self.to.saturating_sub(insns.len());
        if missing == 0 {
            return insns;
        }
        let jump = bpf::ja(missing as u32 - 1);
        let filling = (0..missing).map(|at| match at {
            0 if !self.runs => jump,
            _ if at % 2 == 0 => bpf::alu(op::ADD, at as u32),
            _ => bpf::ld(4 * (at as u32 % 16)),
        });
        filling.chain(insns).collect()
    }
}

/// Whether so many instructions more are still within the limit, exits and stores included.
pub(in crate::arbitrary) fn fits(laid: usize, more: usize) -> bool {
    laid + more + 2 * MEMORY_WORDS <= MAX_INSNS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::SeccompData;

    /// Both targets around the edge of what a conditional jump reaches.
    #[test]
    fn jumps_lead_where_they_are_told() {
        for (yes_at, no_at) in (250..260).flat_map(|yes| (250..260).map(move |no| (yes, no))) {
            let exits = [Exit::Word(0x0005_0001)];
            let mut layout = Layout::new(&exits, true, &[]);
            let longest = 260;
            let mut places = [0; 2];
            for distance in 0..longest {
                // Only a jump straight here gives the distance.
                let word = if distance % 2 == 0 { 0x0003_0000 } else { 0x7ff0_0000 };
                layout.push(bpf::ret_word(word | distance));
                for (place, at) in places.iter_mut().zip([yes_at, no_at]) {
                    if distance == longest - 1 - at {
                        *place = layout.here();
                    }
                }
            }
            layout.branch(Test::equal(7), places[0], places[1]);
            layout.push(bpf::ld(0));
            let insns = layout.finish();
            for (nr, at) in [(7, yes_at), (8, no_at)] {
                let data = SeccompData { nr, ..SeccompData::default() };
                let word = bpf::run(&insns, &data, &Dialect::default()).word;
                assert_eq!(word & 0xffff, longest - 1 - at, "{yes_at} {no_at}");
            }
        }
    }
}
