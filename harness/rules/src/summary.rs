//! What a run came to.

use crate::Verdict;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Lines, good and bad.
    pub events: u64,
    /// Lines that were no events.
    pub bad_lines: u64,
    /// Whether the run was asked to stop before the events' end.
    pub interrupted: bool,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Per tenant, in their order.
    pub tenants: Vec<Tally>,
}

/// What became of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Its name.
    pub tenant: String,
    /// Events it accepted.
    pub accepted: u64,
    /// Events it rejected.
    pub rejected: u64,
    /// Events it put a tag on.
    pub tagged: u64,
    /// Events it changed.
    pub changed: u64,
    /// Its strikes.
    pub strikes: u64,
    /// Events on which it was not asked.
    pub passed_over: u64,
    /// The event whose strike was its last, if it is quarantined.
    pub quarantined_at: Option<u64>,
}

impl Tally {
    pub(crate) fn count(&mut self, seq: u64, verdict: &Verdict) {
        match verdict {
            Verdict::Accept => self.accepted += 1,
            Verdict::Reject => self.rejected += 1,
            Verdict::Tag { .. } => self.tagged += 1,
            Verdict::Change { .. } => self.changed += 1,
            Verdict::Quarantined => self.passed_over += 1,
            Verdict::Strike(strike) => {
                self.strikes += 1;
                if strike.quarantined {
                    self.quarantined_at = Some(seq);
                }
            }
            Verdict::BadLine { .. } => {}
        }
    }

    /// Its decisions.
    #[must_use]
    pub const fn decisions(&self) -> u64 {
        self.accepted + self.rejected + self.tagged + self.changed
    }
}

impl Summary {
    /// Tenants in quarantine.
    #[must_use]
    pub fn quarantined(&self) -> usize {
        self.tenants.iter().filter(|tally| tally.quarantined_at.is_some()).count()
    }

    /// Decisions of all tenants.
    #[must_use]
    pub fn decisions(&self) -> u64 {
        self.tenants.iter().map(Tally::decisions).sum()
    }

    /// Strikes of all tenants.
    #[must_use]
    pub fn strikes(&self) -> u64 {
        self.tenants.iter().map(|tally| tally.strikes).sum()
    }

    pub(crate) fn took(&mut self, time: Duration) {
        self.seconds = time.as_secs_f64();
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.events as f64 / self.seconds.max(1e-9);
        let broken_off = if self.interrupted { ", interrupted" } else { "" };
        writeln!(
            to,
            "{} events ({} bad) in {:.2} s{broken_off}: {rate:.0} events/s",
            self.events, self.bad_lines, self.seconds
        )?;
        let (decisions, strikes, quarantined) = (self.decisions(), self.strikes(), self.quarantined());
        writeln!(to, "{decisions} decisions, {strikes} strikes, {quarantined} quarantined")?;
        let wide = self.tenants.iter().map(|tally| tally.tenant.len()).max().unwrap_or(0);
        for tally in &self.tenants {
            let Tally { tenant, accepted, rejected, tagged, changed, strikes, .. } = tally;
            write!(
                to,
                "  {tenant:wide$}  accept {accepted}  reject {rejected}  tag {tagged}  change {changed}  \
                 strikes {strikes}"
            )?;
            if let Some(at) = tally.quarantined_at {
                write!(to, "  quarantined at {at}, {} passed over", tally.passed_over)?;
            }
            writeln!(to)?;
        }
        Ok(())
    }
}
