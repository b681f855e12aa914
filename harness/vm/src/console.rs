//! The kernel's console: kept, bounded, and watched for the end.

use crate::error::Reason;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// How much of the beginning is kept.
const HEAD: usize = 16 << 10;
/// How much of the end is kept.
const TAIL: usize = 64 << 10;
/// How much a guest may write before it is taken for broken. A boot that tells everything writes a
/// tenth of it.
pub(crate) const FLOOD: u64 = 512 << 10;
/// What the decompressor of a damaged image ends with, in arch/x86/boot/compressed (misc.c; error.c
/// from 4.8 on).
const HALTED: &[u8] = b"-- System halted";
/// The longest line that is looked at.
const LONGEST_LINE: usize = 1024;

/// What a guest has written to its console.
#[derive(Clone, Default)]
pub(crate) struct Console(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
    line: Vec<u8>,
    /// The last line before that one which says something.
    before: String,
}

impl Console {
    /// Takes bytes as they come; gives the reason when they say that the guest is lost.
    pub(crate) fn push(&self, bytes: &[u8]) -> Option<Reason> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.total += bytes.len() as u64;
        let room = HEAD - kept.head.len();
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        kept.head.extend_from_slice(head);
        kept.tail.extend(rest);
        let over = kept.tail.len().saturating_sub(TAIL);
        kept.tail.drain(..over);
        if kept.total > FLOOD {
            return Some(Reason::Flooded(format!("its console with more than {} KiB", FLOOD >> 10)));
        }
        let mut end = None;
        for &byte in bytes {
            if byte == b'\n' {
                end = end.or_else(|| kept.take_line());
            } else if kept.line.len() < LONGEST_LINE {
                kept.line.push(byte);
            }
        }
        // The decompressor's last words have no line end: it halts behind them.
        if end.is_none() && kept.line.ends_with(HALTED) {
            end = kept.take_line();
        }
        end
    }

    /// Says that nothing more will come: what a last line without an end says is looked at too.
    pub(crate) fn finish(&self) -> Option<Reason> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take_line()
    }

    /// Everything kept, readable: control characters are escaped, what was dropped is counted.
    pub(crate) fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = readable(&kept.head);
        let dropped = kept.total - kept.head.len() as u64 - kept.tail.len() as u64;
        if dropped > 0 {
            text.push_str(&format!("\n[{dropped} bytes left out]\n"));
        }
        text.push_str(&readable(&kept.tail.iter().copied().collect::<Vec<u8>>()));
        text
    }

    /// The last lines, at most this many.
    pub(crate) fn last_lines(&self, count: usize) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}

impl Kept {
    fn take_line(&mut self) -> Option<Reason> {
        let bytes = std::mem::take(&mut self.line);
        let line = readable(&bytes);
        if bytes.ends_with(HALTED) {
            // What is wrong stands above.
            return Some(Reason::Panic(format!("{} {}", self.before, line.trim()).trim().to_owned()));
        }
        let end = verdict(&line);
        if !line.trim().is_empty() {
            self.before = line.trim().to_owned();
        }
        end
    }
}

/// What a console line says of the guest's fate.
///
/// The texts are those of kernel/panic.c, kernel/exit.c, kernel/rcu/tree_stall.h (tree.c before
/// 5.1) and kernel/watchdog.c.
fn verdict(line: &str) -> Option<Reason> {
    let has = |text: &str| line.contains(text);
    let said = || line.trim().to_owned();
    if has("Attempted to kill init") {
        Some(Reason::InitLost(said()))
    } else if has("Kernel panic - not syncing") {
        Some(Reason::Panic(said()))
    } else if (has("INFO: rcu") && has("stall")) || has("BUG: soft lockup") || has("detected hard LOCKUP") {
        Some(Reason::Stalled(said()))
    } else {
        None
    }
}

/// Text that is safe to print: what is no printable ASCII is escaped. A kernel writes no other, and
/// a terminal that obeys a hostile guest is not wanted.
pub(crate) fn readable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\r' => {}
            b'\n' | b'\t' | b' '..=b'~' => out.push(char::from(byte)),
            other => out.extend(std::ascii::escape_default(other).map(char::from)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_seen_however_the_bytes_are_cut() {
        let console = Console::default();
        let text = b"[ 1.0] Kernel panic - not syncing: sysrq triggered crash\n";
        let seen: Vec<Reason> = text.iter().filter_map(|byte| console.push(&[*byte])).collect();
        assert!(matches!(&seen[..], [Reason::Panic(line)] if line.contains("sysrq")), "{seen:?}");
    }

    #[test]
    fn a_lost_init_is_told_from_other_panics() {
        let console = Console::default();
        let line = b"Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n";
        assert!(matches!(console.push(line), Some(Reason::InitLost(_))));
    }

    #[test]
    fn memory_is_bounded_and_the_gap_is_named() {
        let console = Console::default();
        for _ in 0..200 {
            console.push(&[b'x'; 1000]);
        }
        let text = console.text();
        assert!(text.len() < HEAD + TAIL + 100);
        assert!(text.contains("bytes left out"));
    }

    #[test]
    fn a_flood_is_an_end() {
        let console = Console::default();
        let flood = (0..9000).find_map(|_| console.push(&[b'x'; 1000]));
        assert!(matches!(flood, Some(Reason::Flooded(_))));
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        let console = Console::default();
        console.push(b"\x1b[31mred\x07\n");
        assert_eq!(console.text(), "\\x1b[31mred\\x07\n");
    }

    #[test]
    fn what_kernels_say_when_they_do_not_get_on() {
        let lines = [
            "[   23.1] rcu: INFO: rcu_preempt self-detected stall on CPU",
            "[   23.1] INFO: rcu_sched detected stalls on CPUs/tasks: { 0}",
            "[   23.1] rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-... }",
            "[   23.1] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [init:1]",
            "[   23.1] BUG: soft lockup - CPU#0 stuck for 22s! [init:1]",
            "[   23.1] NMI watchdog: Watchdog detected hard LOCKUP on cpu 0",
        ];
        for line in lines {
            let reason = verdict(line);
            assert!(matches!(&reason, Some(Reason::Stalled(said)) if said == line), "{line}: {reason:?}");
        }
        for line in ["rcu: Hierarchical RCU implementation.", "Out of memory: Killed process 71 (case)"] {
            assert_eq!(verdict(line), None);
        }
    }

    #[test]
    fn a_last_line_without_an_end_counts() {
        let console = Console::default();
        assert_eq!(console.push(b"Kernel panic - not syncing: cut"), None);
        assert!(matches!(console.finish(), Some(Reason::Panic(_))));
    }

    #[test]
    fn a_decompressor_that_halts_is_seen_without_an_end_of_line() {
        let console = Console::default();
        let text = b"\n\nZSTD-compressed data is corrupt\r\n\n -- System halted";
        let seen: Vec<Reason> = text.iter().filter_map(|byte| console.push(&[*byte])).collect();
        assert_eq!(seen, [Reason::Panic("ZSTD-compressed data is corrupt -- System halted".into())]);
    }
}
