//! The environment variables of this library, which a process with raised privileges ignores.

use super::stderr::complain;
use std::ffi::{OsStr, OsString};

/// The value of our variable `name`; `None` if it is unset, or set in a process that runs with another
/// user's rights (`AT_SECURE`), whose caller must not steer it.
#[must_use]
pub fn var(name: &str) -> Option<OsString> {
    var_unless(is_secure(), name)
}

fn var_unless(secure: bool, name: &str) -> Option<OsString> {
    if secure { None } else { std::env::var_os(name) }
}

/// Whether our variable `name` switches something on: 1, true, yes or on do, 0, false, no, off and nothing do not, in any
/// case and with blanks around. Anything else is said in a line on stderr, and then the answer is `strict`: who set a
/// switch for safety wanted it.
#[must_use]
pub fn switch(name: &str, strict: bool) -> bool {
    let Some(value) = var(name) else {
        return false;
    };
    meaning(&value).unwrap_or_else(|| {
        complain(&format!(
            "{name} is '{}', but must be 1, true, yes, on, 0, false, no or off: taken as {}",
            value.to_string_lossy(),
            u8::from(strict)
        ));
        strict
    })
}

fn meaning(value: &OsStr) -> Option<bool> {
    let value = value.to_str()?.trim();
    let is_one_of = |words: [&str; 4]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
    if is_one_of(["1", "true", "yes", "on"]) {
        Some(true)
    } else if value.is_empty() || is_one_of(["0", "false", "no", "off"]) {
        Some(false)
    } else {
        None
    }
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
    fn a_switch_is_on_off_or_unclear() {
        let meaning = |value: &str| meaning(OsStr::new(value));
        for on in ["1", "true", "Yes", "ON", " 1", "on\t"] {
            assert_eq!(meaning(on), Some(true), "{on:?}");
        }
        for off in ["", " ", "0", "False", "no", "off "] {
            assert_eq!(meaning(off), Some(false), "{off:?}");
        }
        for unclear in ["2", "tru", "1 1", "y", "enabled"] {
            assert_eq!(meaning(unclear), None, "{unclear:?}");
        }
    }

    #[test]
    fn a_secure_process_sees_none_of_our_variables() {
        assert!(!is_secure());
        assert!(var("PATH").is_some());
        assert_eq!(var("PATH"), var_unless(false, "PATH"));
        assert_eq!(var_unless(true, "PATH"), None);
    }
}
