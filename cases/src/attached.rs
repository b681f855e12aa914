//! What programs do that have no privilege.

use atlas_edge::sys;
use atlas_model::Filter;

/// Sets no_new_privs and attaches a filter by prctl(2). What became of it shows in what the choreography does next.
pub(crate) fn attach(filter: impl Into<Filter>) {
    let _ = (sys::no_new_privs(), sys::install_by_prctl(&filter.into()));
}

/// Gives up root's privileges for good, and becomes this user.
pub(crate) fn become_user(user: u64) {
    let _ = sys::number(libc::SYS_setresuid, [user, user, user, 0, 0, 0]);
}

/// Who has no privilege by custom.
pub(crate) const NOBODY: u64 = 65_534;
