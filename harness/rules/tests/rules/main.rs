//! Rules good and hostile, side by side.

mod events;
mod hostile;
mod order;
mod quarantine;
mod values;

use atlas_rules::{Engine, Options, Summary, Tenant};
use serde_json::{Value, json};
use std::io::Cursor;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A rule that uses all four decisions.
const HEALTHY: &str = "
def decide(event)
  case event['n'] % 4
  when 0 then :accept
  when 1 then :reject
  when 2 then [:tag, \"t#{event['n']}\"]
  else {change: event.merge('seen' => true)}
  end
end";

/// What [`HEALTHY`] decides.
fn healthy(n: u64) -> Value {
    match n % 4 {
        0 => json!({"result": "accept"}),
        1 => json!({"result": "reject"}),
        2 => json!({"result": "tag", "tag": format!("t{n}")}),
        _ => json!({"result": "change", "event": {"n": n, "seen": true}}),
    }
}

/// Clocks so wide that a busy machine strikes nobody; loops end by the count of instructions.
fn options() -> Options {
    let mut options = Options::default();
    options.limits.wall = Duration::from_secs(60);
    options.limits.cpu = Duration::from_secs(60);
    options.limits.instructions = 3_000_000;
    options.limits.output = 256 << 10;
    options
}

/// Events `{"n": 1}` and so on.
fn numbered(count: u64) -> String {
    (1..=count).map(|n| format!("{{\"n\": {n}}}\n")).collect()
}

/// Runs tenants over events and gives the records as they would be printed.
fn run(tenants: &[(&str, &str)], events: impl AsRef<[u8]>, options: Options) -> (Vec<Value>, Summary) {
    let tenants = tenants.iter().map(|(name, code)| Tenant::new(*name, *code).unwrap()).collect();
    let engine = Engine::new(tenants, options).unwrap();
    let mut records = Vec::new();
    let events = Cursor::new(events.as_ref().to_vec());
    let summary = engine
        .run(events, &AtomicBool::new(false), |some| {
            records.extend(some.iter().map(|record| serde_json::to_value(record).unwrap()));
            Ok(())
        })
        .unwrap();
    (records, summary)
}

/// A tenant's verdicts alone, by event, without `seq` and `tenant`.
fn of(records: &[Value], tenant: &str) -> Vec<(u64, Value)> {
    let its = records.iter().filter(|record| record["tenant"] == tenant);
    its.map(|record| {
        let mut verdict = record.as_object().unwrap().clone();
        verdict.remove("tenant");
        let seq = verdict.remove("seq").unwrap().as_u64().unwrap();
        (seq, Value::Object(verdict))
    })
    .collect()
}

/// That a tenant with [`HEALTHY`] has decided on each of `count` numbered events, rightly, in order.
fn assert_whole(records: &[Value], tenant: &str, count: u64) {
    let wanted: Vec<_> = (1..=count).map(|n| (n, healthy(n))).collect();
    assert_eq!(of(records, tenant), wanted, "{tenant}");
}
