//! What a dropped sandbox leaves: nothing. Alone in its process, so that no other test's zygote is seen.

use mruby_runner::Sandbox;

/// Children of this process, zombies among them (proc_pid_stat(5)).
fn children() -> Vec<String> {
    let stat = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat")).ok();
    let this = std::process::id().to_string();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(stat)
        .filter(|stat| stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)) == Some(&this))
        .collect()
}

#[test]
fn a_dropped_sandbox_leaves_no_zombie() {
    let mut sandbox = Sandbox::builder().build().unwrap();
    sandbox.eval("1").unwrap();
    assert_eq!(children().len(), 1);
    let mut session = sandbox.session();
    session.eval("1").unwrap();
    drop(session);
    drop(sandbox);
    assert_eq!(children(), [""; 0]);
}
