//! Zygotes are killed under the engine; nobody is struck for it, and nothing is lost.

use atlas_rules::{Engine, Options, Tenant, Verdict};
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Every zygote of this process.
fn zygotes() -> Vec<i32> {
    let is_zygote = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // pid (name) state parent: proc_pid_stat(5).
        let Some((name, rest)) = stat.rsplit_once(") ") else { return false };
        let mut rest = rest.split(' ');
        let (state, parent) = (rest.next().unwrap_or(""), rest.next().unwrap_or(""));
        name.ends_with("(mruby-zygote") && state != "Z" && parent == std::process::id().to_string()
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_zygote).collect()
}

/// Kills them, and says how many. All are found first: one that is made in the place of another is not to
/// be killed by the same blow, for the engine tries no third time.
fn kill_zygotes() -> usize {
    // SAFETY: integers only; each is a child of this process and not yet waited for, or killed in vain.
    let kill = |pid: &i32| unsafe { libc::kill(*pid, libc::SIGKILL) } == 0;
    zygotes().iter().filter(|pid| kill(pid)).count()
}

const EVENTS: usize = 1200;
static KILLED: AtomicUsize = AtomicUsize::new(0);

/// Gives events, and kills every zygote now and then on the way.
struct Events {
    given: usize,
}

impl Read for Events {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.given == EVENTS {
            return Ok(0);
        }
        self.given += 1;
        if self.given.is_multiple_of(200) {
            // Once in the middle of work, once while everyone waits for the next event.
            if self.given.is_multiple_of(400) {
                std::thread::sleep(Duration::from_millis(300));
            }
            KILLED.fetch_add(kill_zygotes(), Ordering::Relaxed);
        }
        if self.given % 200 == 20 {
            // Everyone has asked and found the zygote gone: on a busy machine too, new ones are there
            // before the next blow.
            std::thread::sleep(Duration::from_secs(1));
        }
        // Slowly, so that the next kill finds new zygotes at work.
        std::thread::sleep(Duration::from_micros(300));
        let line = format!("{{\"n\":{}}}\n", self.given);
        into[..line.len()].copy_from_slice(line.as_bytes());
        Ok(line.len())
    }
}

#[test]
fn a_lost_zygote_costs_no_decision_and_no_strike() {
    let rule = "def decide(event) = (300.times {}; {change: event})";
    let tenants = ["a", "b", "c"].map(|name| Tenant::new(name, rule).unwrap());
    let mut options = Options::default();
    (options.limits.wall, options.limits.cpu) = (Duration::from_secs(60), Duration::from_secs(60));
    options.batch = 16;
    let engine = Engine::new(tenants.into(), options).unwrap();
    let mut seen = 0;
    let summary = engine
        .run(Events { given: 0 }, &AtomicBool::new(false), |records| {
            for record in records {
                let n = seen / 3 + 1;
                let wanted = Verdict::Change { event: serde_json::json!({ "n": n }) };
                assert_eq!(*record.verdict, wanted, "{record:?}");
                seen += 1;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!((seen, summary.strikes(), summary.bad_lines), (3 * EVENTS, 0, 0));
    // Three tenants and the checker, six times; one that is just being made anew may be missed.
    let killed = KILLED.load(Ordering::Relaxed);
    assert!(killed >= 20, "only {killed} zygotes were killed");
}
