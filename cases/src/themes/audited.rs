//! Audit: what it records of changes of actions_logged.

use super::logging::{LOGGED, log_while};
use crate::Case;
use crate::case::{is, staged};
use crate::setting::Setting;
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Traits};

/// These records are of 4.18 (kernel/auditsc.c audit_seccomp_actions_logged). Nothing shows that they are made but
/// turning audit on, which is never wholly undone; so a feature of the release after it stands for them.
const NEEDS: &[Feature] = &[Feature::LogRecords, Feature::ActionsLogged, Feature::ActionUserNotif];

pub(crate) const CASES: &[Case] = &[staged(
    "logging::changes_of_actions_logged",
    "While audit is on a change of actions_logged is recorded, with both lists, and so is a refused one.",
    NEEDS,
    observe_changes,
    |_: &Traits| {
        vec![
            is("audit is on", 0),
            is("records", 2),
            is("first: actions=trap,errno", 1),
            is("first: res=1", 1),
            is("second: actions=?", 1),
            is("second: old-actions=trap,errno", 1),
            is("second: res=0", 1),
        ]
    },
)
.alone()];

/// Turns audit on or off, by AUDIT_SET of audit's netlink (include/uapi/linux/audit.h): 0, or the errno negated.
fn audit(on: bool) -> i64 {
    const NETLINK_AUDIT: u64 = 9;
    const AUDIT_SET: u32 = 1001;
    const NLMSG_ERROR: i32 = 2;
    // struct nlmsghdr, which asks for an acknowledgement, and of struct audit_status the mask, for `enabled`, and that.
    let mut message = [0_u32; 4 + 10];
    let size = size_of_val(&message) as u64;
    message[0] = size as u32;
    message[1] = AUDIT_SET | 5 << 16;
    [message[4], message[5]] = [1, on.into()];
    let mut answer = [0_i32; 64];
    let room = size_of_val(&answer) as u64;
    let family =
        [libc::AF_NETLINK as u64, (libc::SOCK_RAW | libc::SOCK_CLOEXEC) as u64, NETLINK_AUDIT, 0, 0, 0];
    let socket = match sys::ok(sys::number(libc::SYS_socket, family)) {
        Ok(socket) => socket as u64,
        Err(errno) => return errno,
    };
    // SAFETY: message and answer live until the calls return, which get their sizes; nobody is named.
    let [sent, received] = unsafe {
        let send = [socket, message.as_ptr() as u64, size, 0, 0, 0];
        let receive = [socket, answer.as_mut_ptr() as u64, room, 0, 0, 0];
        [sys::raw(libc::SYS_sendto, send), sys::raw(libc::SYS_recvfrom, receive)]
    };
    sys::close(socket as i32);
    match sys::ok(sent).and(sys::ok(received)) {
        // Behind the answer's header stands its error.
        Ok(20..) if answer[1] & 0xffff == NLMSG_ERROR => answer[4].into(),
        Ok(_) => -i64::from(libc::EPROTO),
        Err(errno) => errno,
    }
}

fn observe_changes(stage: &Stage) {
    stage.fact("audit is on", audit(true));
    let log = log_while(stage, || {
        // The mark is a LOG, and is made after that.
        let _named = Setting::change(LOGGED, "errno trap");
        let _ = std::fs::write(LOGGED, "nonsense");
        audit(false);
    });
    let changes = log.map_or_else(Vec::new, |(log, ())| log.changes());
    stage.fact("records", changes.len() as i64);
    let says = |at: usize, word: &str| {
        let there = changes.get(at).is_some_and(|line| line.split_whitespace().any(|it| it == word));
        stage.fact(&format!("{}: {word}", ["first", "second"][at]), there.into());
    };
    for word in ["actions=trap,errno", "res=1"] {
        says(0, word);
    }
    for word in ["actions=?", "old-actions=trap,errno", "res=0"] {
        says(1, word);
    }
}
