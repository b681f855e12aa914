//! For the same policy every compiler's filter means the same.

use crate::policies::{any, dense, fit, large};
use atlas_model::bpf::{Dialect, check};
use atlas_model::policy::Policy;
use atlas_policy::{Compiler, Error, agrees_as, calls_mixed, calls_near};
use proptest::prelude::*;

/// Compiles, checks and compares; whether there was a filter.
fn holds(compiler: Compiler, policy: &Policy) -> Result<bool, TestCaseError> {
    let filter = match compiler.compile(policy) {
        Ok(filter) => filter,
        Err(Error::Unsupported { .. } | Error::TooLong { .. }) => return Ok(false),
        Err(error) => return Err(TestCaseError::fail(format!("{error}: {policy:?}"))),
    };
    check(&filter, &Dialect::default()).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let calls = calls_near(policy).into_iter().chain(calls_mixed(policy, 1).take(400));
    agrees_as(compiler, policy, &filter, calls)
        .map_err(|it| TestCaseError::fail(format!("{compiler}: {it}")))?;
    Ok(true)
}

proptest! {
    /// As they come; libraries refuse most.
    #[test]
    fn any_policy(policy in any()) {
        for compiler in Compiler::ALL {
            holds(compiler, &policy)?;
        }
    }

    /// Bent so that each compiler takes them; none is refused.
    #[test]
    fn what_a_compiler_takes(policy in any()) {
        for compiler in Compiler::ALL {
            prop_assert!(holds(compiler, &fit(compiler, policy.clone()))?, "{compiler} refused");
        }
    }
    #[test]
    fn rules_that_meet(policy in dense()) {
        for compiler in Compiler::ALL {
            prop_assert!(holds(compiler, &fit(compiler, policy.clone()))?, "{compiler} refused");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Long jumps, and filters that are too long.
    #[test]
    fn large_policies(policy in large()) {
        for compiler in Compiler::ALL {
            holds(compiler, &fit(compiler, policy.clone()))?;
        }
    }
}
