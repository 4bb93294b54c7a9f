//! The version of this library as numbers, in the header for the preprocessor and as a function for the library that is
//! loaded.

/// The major version of the library that this header belongs to.
pub const LEAN_REGION_VERSION_MAJOR: u32 = 0;
/// The minor version of the library that this header belongs to.
pub const LEAN_REGION_VERSION_MINOR: u32 = 1;
/// The patch version of the library that this header belongs to.
pub const LEAN_REGION_VERSION_PATCH: u32 = 0;
/// The version as one number that can be compared: 1000000 * major + 1000 * minor + patch. A program compares it with
/// `lean_region_version_number()` to learn whether the library that it runs with is the one it was built for.
pub const LEAN_REGION_VERSION_NUMBER: u32 = 1_000;

/// A number of the crate's version.
const fn number(text: &str) -> u32 {
    match u32::from_str_radix(text, 10) {
        Ok(n) => n,
        Err(_) => panic!("a version is made of numbers"),
    }
}

// The header's numbers are written out, for cbindgen runs no code; this holds them against the crate's version.
const _: () = {
    assert!(LEAN_REGION_VERSION_MAJOR == number(env!("CARGO_PKG_VERSION_MAJOR")));
    assert!(LEAN_REGION_VERSION_MINOR == number(env!("CARGO_PKG_VERSION_MINOR")));
    assert!(LEAN_REGION_VERSION_PATCH == number(env!("CARGO_PKG_VERSION_PATCH")));
    let one = 1_000_000 * LEAN_REGION_VERSION_MAJOR + 1_000 * LEAN_REGION_VERSION_MINOR;
    assert!(LEAN_REGION_VERSION_NUMBER == one + LEAN_REGION_VERSION_PATCH);
};

/// The version of the library that is loaded, as `LEAN_REGION_VERSION_NUMBER` says that of the header.
///
/// @return 1000000 * major + 1000 * minor + patch. Cannot fail
#[unsafe(no_mangle)]
pub extern "C" fn lean_region_version_number() -> u32 {
    LEAN_REGION_VERSION_NUMBER
}
