//! The compilers against what policies mean.

#[path = "compilers/agree.rs"]
mod agree;
#[path = "compilers/buggy.rs"]
mod buggy;
#[path = "compilers/findings.rs"]
mod findings;
#[path = "compilers/known_bugs.rs"]
mod known_bugs;
#[path = "compilers/limits.rs"]
mod limits;
#[path = "compilers/live_or_die.rs"]
mod live_or_die;
#[path = "compilers/policies.rs"]
mod policies;
