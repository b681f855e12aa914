//! The ordinary programs have the same values outside of the sandbox.

use atlas_cases::rubies::ORDINARY;
use std::ffi::{CStr, CString};

/// Evaluates by mruby alone, in this process; `puts` and `INPUT` are the sandbox's own.
fn bare(code: &str) -> String {
    let code =
        CString::new(format!("module Kernel; def puts(*) = nil; end; INPUT = nil; ({code}\n).inspect"))
            .unwrap();
    // SAFETY: the state is open until the end; the value is a string, copied before it is closed.
    unsafe {
        let state = mruby_sys::mrb_open();
        let value = mruby_sys::mrb_load_string(state, code.as_ptr());
        assert!((*state).exc.is_null(), "{code:?} raises");
        let text = CStr::from_ptr(mruby_sys::mrb_str_to_cstr(state, value)).to_str().unwrap().to_owned();
        mruby_sys::mrb_close(state);
        text
    }
}

#[test]
fn values_are_the_same_outside_of_the_sandbox() {
    for (code, value) in ORDINARY {
        assert_eq!(bare(code), *value, "{code}");
    }
}
