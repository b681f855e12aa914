//! Measurements: what the host asks a guest to count, and what comes back.
//!
//! A guest that runs under `-icount shift=0` has a time-stamp counter that goes up by one with every
//! instruction it executes. The guest reads that counter around each of a number of calls and answers
//! with the distribution of the differences, in whole numbers.

use atlas_model::Filter;
use atlas_model::experiment::{Call, Via};
use serde::{Deserialize, Serialize};

/// The most rounds of one measurement.
pub const MAX_ROUNDS: u32 = 100_000;
/// The most filters that a call may be measured behind.
pub const MAX_STACK: usize = 64;
/// The most threads of a measured load, the one included that loads.
pub const MAX_THREADS: u8 = 64;
/// The longest code of [`Subject::Ruby`] in bytes.
pub const MAX_CODE: usize = 4096;
/// The longest text of [`Speculation`] in bytes.
pub const MAX_TEXT: usize = 128;

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// What `net.core.bpf_jit_enable` shall be meanwhile; `None` leaves it alone.
    pub jit: Option<bool>,
    /// How long all of it may take before the guest ends it, in milliseconds.
    pub limit_ms: u32,
    /// How often it is done and counted, at most [`MAX_ROUNDS`].
    pub rounds: u32,
    /// What is done.
    pub subject: Subject,
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Subject {
    /// A call, from the instruction that makes it to the one after it.
    Call {
        /// What the caller is confined by.
        behind: Behind,
        /// The call.
        call: Call,
        /// Who answers it, where a filter has it answered.
        answerer: Answerer,
    },
    /// A call that ends its process, from the instruction that makes it to the return of the
    /// wait4(2) that reaps the process. A process a round.
    Death {
        /// The filter.
        filter: Filter,
        /// The call.
        call: Call,
    },
    /// The call that attaches a filter. A process a round.
    Load {
        /// The filter.
        filter: Filter,
        /// By which call.
        via: Via,
        /// The threads of the process, at least one; the others sleep.
        threads: u8,
    },
    /// An evaluation of Ruby, from asking for it to having its value, which must be a small integer.
    Ruby {
        /// The code.
        code: String,
        /// Where it runs.
        place: Place,
    },
    /// What attaching a filter changes in the kernel's mitigations of speculation. Nothing is
    /// counted, and it is done once.
    Speculation {
        /// `SECCOMP_FILTER_FLAG_*` bits of the attaching call.
        flags: u32,
    },
}

/// Where Ruby runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// An interpreter in the measured process itself, without a sandbox.
    Bare,
    /// A worker of the runner that is there already, behind its filter.
    Session,
    /// A worker of the runner made for it: forked, confined, asked, and reaped.
    Worker,
}

/// What confines a caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Behind {
    /// Nothing.
    Nothing,
    /// Strict mode, which takes the counter away from the caller (arch/x86/kernel/process.c
    /// disable_TSC). Calls are counted from outside, many at once: see the guest.
    Strict,
    /// Filters, in the order of attachment, at most [`MAX_STACK`].
    Filters(Vec<Filter>),
}

/// Who answers a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answerer {
    /// The kernel.
    Kernel,
    /// A handler of SIGSYS that returns at once.
    Handler,
    /// A tracer that lets it go on.
    Tracer,
    /// A listener.
    Listener(Reply),
}

/// What a listener does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Gives it a value.
    Value,
    /// Lets it go on (`SECCOMP_USER_NOTIF_FLAG_CONTINUE`).
    Continue,
    /// Puts a descriptor into the caller (`SECCOMP_IOCTL_NOTIF_ADDFD`), and gives it a value.
    AddFd,
}

/// What came of a measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measured {
    /// It was counted.
    Counted {
        /// How many instructions a round took.
        instructions: Distribution,
        /// What the last round's call returned; 0 for a call that does not return.
        returned: i64,
    },
    /// To [`Subject::Speculation`].
    Speculation(Speculation),
    /// The kernel did not attach a filter, or not enter strict mode.
    NotAttached {
        /// Which filter, from 0.
        filter: u32,
        /// The errno.
        errno: i32,
    },
    /// The caller came to an end that was not asked for, such as a signal.
    Ended(String),
    /// The guest could not do it, for this reason.
    Impossible(String),
}

/// How many instructions the rounds took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Distribution {
    /// The fewest.
    pub min: u64,
    /// A tenth of the rounds took this many or fewer.
    pub p10: u64,
    /// Half of them.
    pub p50: u64,
    /// Nine tenths of them.
    pub p90: u64,
    /// The number of rounds.
    pub count: u32,
}

impl Distribution {
    /// Of these figures; all zero for none.
    #[must_use]
    pub fn of(mut figures: Vec<u64>) -> Self {
        figures.sort_unstable();
        let Some(last) = figures.len().checked_sub(1) else { return Self::default() };
        let at = |percent: usize| figures[last * percent / 100];
        Self { min: at(0), p10: at(10), p50: at(50), p90: at(90), count: figures.len() as u32 }
    }

    /// Whether the four figures are the same: only then is it one figure.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        self.min == self.p90
    }

    /// Whether such a distribution can be: the four figures are in order.
    #[must_use]
    pub fn is_one(&self) -> bool {
        self.min <= self.p10 && self.p10 <= self.p50 && self.p50 <= self.p90
    }
}

/// The mitigations of a task's speculation, before it attached a filter and after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speculation {
    /// `/sys/devices/system/cpu/vulnerabilities/spec_store_bypass`, empty where there is none.
    pub store_bypass: String,
    /// `prctl(PR_GET_SPECULATION_CTRL)` of store bypass and of indirect branches: the bits, or the
    /// errno negated.
    pub before: [i64; 2],
    /// The same after.
    pub after: [i64; 2],
    /// `Speculation_Store_Bypass` in `/proc/self/status` before, empty where there is none.
    pub status_before: String,
    /// The same after.
    pub status_after: String,
}

impl Measure {
    /// Whether it is within the bounds.
    ///
    /// # Errors
    /// A sentence that says which is broken.
    pub fn check(&self) -> Result<(), String> {
        if self.rounds == 0 || self.rounds > MAX_ROUNDS {
            return Err(format!("{} rounds, and 1 to {MAX_ROUNDS} are possible", self.rounds));
        }
        match &self.subject {
            Subject::Call { behind: Behind::Filters(filters), .. } if filters.len() > MAX_STACK => {
                Err(format!("{} filters, and {MAX_STACK} is the most", filters.len()))
            }
            Subject::Load { threads, .. } if *threads == 0 || *threads > MAX_THREADS => {
                Err(format!("{threads} threads, and 1 to {MAX_THREADS} are possible"))
            }
            Subject::Ruby { code, .. } if code.len() > MAX_CODE => {
                Err(format!("{} bytes of code, and {MAX_CODE} is the most", code.len()))
            }
            _ => Ok(()),
        }
    }

    /// Whether this can have come of it.
    #[must_use]
    pub fn can_give(&self, measured: &Measured) -> bool {
        let speculation = matches!(self.subject, Subject::Speculation { .. });
        match measured {
            Measured::Counted { instructions, .. } => {
                !speculation && instructions.count == self.rounds && instructions.is_one()
            }
            Measured::Speculation(seen) => {
                let texts = [&seen.store_bypass, &seen.status_before, &seen.status_after];
                speculation && texts.iter().all(|text| text.len() <= MAX_TEXT)
            }
            Measured::NotAttached { .. } | Measured::Ended(_) | Measured::Impossible(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speculation(rounds: u32) -> Measure {
        Measure { jit: None, limit_ms: 1, rounds, subject: Subject::Speculation { flags: 0 } }
    }

    fn load(rounds: u32, threads: u8) -> Measure {
        let subject = Subject::Load { filter: Filter(vec![]), via: Via::Prctl, threads };
        Measure { jit: None, limit_ms: 1, rounds, subject }
    }

    #[test]
    fn quantiles_are_figures_that_occurred() {
        let figures = (1..=11).rev().map(|figure| figure * 100).collect();
        let expected = Distribution { min: 100, p10: 200, p50: 600, p90: 1000, count: 11 };
        assert_eq!(Distribution::of(figures), expected);
        assert!(!expected.is_steady());
        assert!(Distribution::of([vec![7; 10], vec![9000]].concat()).is_steady());
        assert!(!Distribution::of([vec![6], vec![7; 10]].concat()).is_steady());
        assert_eq!(Distribution::of(vec![]), Distribution::default());
    }

    #[test]
    fn bounds() {
        assert!(load(1, 1).check().is_ok() && load(MAX_ROUNDS, MAX_THREADS).check().is_ok());
        let ruby = |length| Measure {
            subject: Subject::Ruby { code: "1".repeat(length), place: Place::Bare },
            ..load(1, 1)
        };
        assert!(ruby(MAX_CODE).check().is_ok() && ruby(MAX_CODE + 1).check().is_err());
        for broken in [load(0, 1), load(MAX_ROUNDS + 1, 1), load(1, 0), load(1, MAX_THREADS + 1)] {
            assert!(broken.check().is_err(), "{broken:?}");
        }
    }

    #[test]
    fn what_a_measurement_can_give() {
        let counted = |count, min| Measured::Counted {
            instructions: Distribution { min, p10: 5, p50: 5, p90: 5, count },
            returned: 0,
        };
        assert!(load(3, 1).can_give(&counted(3, 5)));
        assert!(!load(3, 1).can_give(&counted(4, 5)));
        assert!(!load(3, 1).can_give(&counted(3, 6)));
        assert!(!speculation(3).can_give(&counted(3, 5)));
        let text = |length| {
            Measured::Speculation(Speculation { store_bypass: "x".repeat(length), ..Speculation::default() })
        };
        assert!(speculation(1).can_give(&text(MAX_TEXT)));
        assert!(!speculation(1).can_give(&text(MAX_TEXT + 1)));
        assert!(!load(1, 1).can_give(&text(1)));
    }
}
