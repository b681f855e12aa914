//! What a sandbox is made to, as zygote and workers have it.

use crate::Limits;
use crate::policy::Policy;
use crate::vm::Native;

/// What a sandbox is made to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) policy: Policy,
    pub(crate) limits: Limits,
    pub(crate) natives: Vec<(String, Native)>,
    pub(crate) time_steps: bool,
}
