//! The short way for a loader: one call that proves a file.

use super::deps::{DepBytes, Deps};
use super::error::{CheckError, Violation};
use super::parse::parse;
use super::region::{Region, Summary};
use crate::format::word::Width;

/// What a loader asks of a file besides soundness.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The name of the file, for error texts; may be empty.
    pub name: &'a str,
}

/// Proves the bytes of a 64-bit file that were rewritten for the address `at`, with dependencies that lie at other
/// addresses than their files want: each with the address that pointers know it by. As [`verify_region`] otherwise.
///
/// # Errors
/// The first violation.
pub fn verify_relocated(bytes: &[u8], at: u64, deps: &[(DepBytes<'_>, u64)]) -> Result<Summary, CheckError> {
    let mut file = parse(bytes, "", Width::W64)?.root_at_start();
    file.base = at;
    let deps = Deps::moved(deps, Width::W64)?;
    Region::check_alone(file, &deps).map(|r| r.summary())
}

/// Proves a 64-bit file before a loader hands out its root: header, sections, every object and pointer.
/// Dependencies were proved when they were loaded; of them only the object starts are looked at, and
/// only of those that the file points into.
///
/// # Errors
/// The first violation; also a root behind the objects, which today's loaders do not read.
pub fn verify_region(
    bytes: &[u8],
    deps: &[DepBytes<'_>],
    options: &Options<'_>,
) -> Result<Summary, CheckError> {
    let file = parse(bytes, options.name, Width::W64)?;
    let (root_first, root_at) = (file.root_first(), file.root_at);
    let deps = Deps::lazy(deps, Width::W64)?;
    let checked = Region::check_alone(file.root_at_start(), &deps).map(|r| r.summary());
    if checked.is_err() && !root_first {
        let e = CheckError::new(Violation::RootLast).at(root_at).field("root");
        return Err(e.in_file(options.name));
    }
    checked
}
