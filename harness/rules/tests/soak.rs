//! A hundred thousand events, ten tenants, one of them hostile from the first event to the last.

use atlas_rules::{Engine, Options, Reason, Tenant, Verdict};
use mruby_runner::Limit;
use std::io::{self, Read};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const EVENTS: u64 = 100_000;
/// The hostile tenant's place among the ten.
const HOSTILE: usize = 4;
/// It misbehaves at every event that this divides, each time in the next of seven ways.
const EVERY: u64 = 100;

/// Healthy, each its own way: `K` is the tenant's number.
const HEALTHY: &str = "
def decide(event)
  n = event['n'] + K
  return {change: {n: n}} if n % 100 == 0
  return [:tag, \"K-#{event['n']}\"] if n % 10 == 0
  n % 3 == 0 ? :reject : :accept
end";

const WILD: &str = "
def down(n) = down(n + 1) + 1
def decide(event)
  n = event['n']
  return :accept unless n % 100 == 0
  case n / 100 % 7
  when 0 then loop {}
  when 1 then a = []; loop { a << 'x' * 100_000 }
  when 2 then down(0)
  when 3 then loop { puts 'x' * 1000 }
  when 4 then forbidden
  when 5 then raise 'at random'
  else Object.new
  end
end";

fn forbidden(_: &[i64]) -> i64 {
    // SAFETY: no arguments.
    unsafe { libc::syscall(libc::SYS_getpid) }
}

/// Makes the events as they are read.
struct Events {
    next: u64,
    left: io::Cursor<Vec<u8>>,
}

impl Read for Events {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left.position() == self.left.get_ref().len() as u64 && self.next <= EVENTS {
            self.left = io::Cursor::new(format!("{{\"n\":{}}}\n", self.next).into_bytes());
            self.next += 1;
        }
        self.left.read(into)
    }
}

fn wanted(tenant: usize, event: u64) -> Verdict {
    let n = event + tenant as u64;
    match n {
        _ if n.is_multiple_of(100) => Verdict::Change { event: serde_json::json!({ "n": n }) },
        _ if n.is_multiple_of(10) => Verdict::Tag { tag: format!("{tenant}-{event}") },
        _ if n.is_multiple_of(3) => Verdict::Reject,
        _ => Verdict::Accept,
    }
}

/// What the hostile tenant must be struck for, if anything.
fn is_wanted_of_the_wild(event: u64, verdict: &Verdict) -> bool {
    let Verdict::Strike(strike) = verdict else {
        return !event.is_multiple_of(EVERY) && *verdict == Verdict::Accept;
    };
    let right = match event / EVERY % 7 {
        0 => matches!(strike.reason, Reason::Limit { limit: Limit::Instructions }),
        1 => matches!(strike.reason, Reason::Limit { limit: Limit::Memory }),
        2 => matches!(strike.reason, Reason::Limit { limit: Limit::Depth }),
        3 => matches!(strike.reason, Reason::Limit { limit: Limit::Output }),
        4 => matches!(strike.reason, Reason::Forbidden { .. }),
        5 => matches!(strike.reason, Reason::Exception { .. }),
        _ => matches!(strike.reason, Reason::Decision { .. }),
    };
    right && event.is_multiple_of(EVERY) && u64::from(strike.strikes) == event / EVERY && !strike.quarantined
}

#[test]
fn no_event_of_a_healthy_tenant_is_lost_or_late_or_wrong() {
    let tenants = (0..10).map(|tenant| {
        let code = if tenant == HOSTILE { WILD.into() } else { HEALTHY.replace('K', &tenant.to_string()) };
        Tenant::new(format!("tenant-{tenant}"), code).unwrap()
    });
    let mut options = Options::default();
    options.strikes = u32::MAX;
    options.limits.wall = Duration::from_secs(120);
    options.limits.cpu = Duration::from_secs(120);
    options.limits.instructions = 500_000;
    options.limits.memory = 4 << 20;
    options.limits.output = 64 << 10;
    options.limits.depth = 500;
    options.natives.push(("forbidden".into(), forbidden));
    let engine = Engine::new(tenants.collect(), options).unwrap();
    let events = Events { next: 1, left: io::Cursor::default() };
    let (mut seen, began) = (0_u64, Instant::now());
    let summary = engine
        .run(events, &AtomicBool::new(false), |records| {
            for record in records {
                let (event, tenant) = (seen / 10 + 1, (seen % 10) as usize);
                assert_eq!(record.seq, event);
                assert_eq!(record.tenant, Some(format!("tenant-{tenant}").as_str()), "event {event}");
                if tenant == HOSTILE {
                    assert!(is_wanted_of_the_wild(event, record.verdict), "event {event}: {record:?}");
                } else {
                    assert_eq!(*record.verdict, wanted(tenant, event), "event {event}, tenant {tenant}");
                }
                seen += 1;
            }
            Ok(())
        })
        .unwrap();
    eprintln!("{:?}\n{summary}", began.elapsed());
    assert_eq!((seen, summary.events, summary.bad_lines), (10 * EVENTS, EVENTS, 0));
    assert_eq!((summary.strikes(), summary.quarantined()), (EVENTS / EVERY, 0));
    assert_eq!(summary.decisions(), 10 * EVENTS - EVENTS / EVERY);
}
