//! Who loads.

use std::ffi::OsString;

/// Who loads: variables of the processes. The first side is what the others are divided by.
pub struct Side {
    /// For the table, and for names of files.
    pub name: &'static str,
    /// Set for every process of this side.
    pub env: Vec<(OsString, OsString)>,
}

/// The sides: Lean's own loader and ours. Another way to load is one more side here.
#[must_use]
pub fn sides() -> Vec<Side> {
    vec![
        Side {
            name: "stock",
            env: Vec::new(),
        },
        Side {
            name: "ours",
            env: vec![("LD_PRELOAD".into(), testkit::library().into())],
        },
    ]
}
