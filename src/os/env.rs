//! The environment variables of this library, which a process with raised privileges ignores.

use std::ffi::OsString;

/// The value of our variable `name`; `None` if it is unset, or set in a process that runs with another
/// user's rights (`AT_SECURE`), whose caller must not steer it.
#[must_use]
pub fn var(name: &str) -> Option<OsString> {
    var_unless(is_secure(), name)
}

fn var_unless(secure: bool, name: &str) -> Option<OsString> {
    if secure { None } else { std::env::var_os(name) }
}

fn is_secure() -> bool {
    // SAFETY: getauxval reads the auxiliary vector that the kernel gave this process, and has no other
    // requirement; an unknown key gives 0.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secure_process_sees_none_of_our_variables() {
        assert!(!is_secure());
        assert!(var("PATH").is_some());
        assert_eq!(var("PATH"), var_unless(false, "PATH"));
        assert_eq!(var_unless(true, "PATH"), None);
    }
}
