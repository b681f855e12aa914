//! The order of records does not depend on who is fast.

use super::{HEALTHY, assert_whole, numbered, options, run};
use serde_json::Value;

#[test]
fn by_event_and_then_by_tenant_however_fast_they_are() {
    let slow = format!("{HEALTHY}\nalias quick decide\ndef decide(event) = (2000.times {{}}; quick(event))");
    let odd = "def decide(event) = event['n'] % 7 == 0 ? loop {} : :accept";
    let tenants = [("z", slow.as_str()), ("a", HEALTHY), ("m", odd), ("b", HEALTHY)];
    let mut outputs = Vec::new();
    for batch in [1, 7, 64, 64] {
        let mut options = options();
        (options.batch, options.strikes) = (batch, 1000);
        options.limits.instructions = 300_000;
        let (records, summary) = run(&tenants, numbered(200), options);
        let order: Vec<(u64, &str)> = records
            .iter()
            .map(|record| (record["seq"].as_u64().unwrap(), record["tenant"].as_str().unwrap()))
            .collect();
        let wanted: Vec<_> = (1..=200).flat_map(|n| ["z", "a", "m", "b"].map(|tenant| (n, tenant))).collect();
        assert_eq!(order, wanted, "batch {batch}");
        for tenant in ["z", "a", "b"] {
            assert_whole(&records, tenant, 200);
        }
        assert_eq!((summary.strikes(), summary.decisions()), (28, 772));
        outputs.push(records);
    }
    let all: Vec<&Vec<Value>> = outputs.iter().collect();
    assert!(all.windows(2).all(|two| two[0] == two[1]), "batches change nothing");
}
