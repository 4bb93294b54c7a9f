//! Opening a file whose pointer width may not be known: the first objects tell it.

use super::error::CheckError;
use super::file::File;
use super::parse::{inside, parse, parse_as};
use super::walk::{Object, walk};
use crate::format::word::Width;

/// How much of a file decides its width where nothing else does.
const DETECT_BYTES: usize = 1 << 16;

impl<'a> File<'a> {
    /// Reads header and sections. `name` is for error texts and may be empty; without `width` the width
    /// under which more of the file makes sense is taken.
    ///
    /// # Errors
    /// The first violation.
    pub fn parse(bytes: &'a [u8], name: &str, width: Option<Width>) -> Result<Self, CheckError> {
        let width = match width {
            Some(w) => w,
            None => detect(bytes),
        };
        parse(bytes, name, width)
    }
}

/// The width under which more of the file makes sense; 64 when neither does.
fn detect(bytes: &[u8]) -> Width {
    // Objects that can be walked to the end weigh most, then a root that is one, then how far the walk
    // came: a few small objects can be walked under either width, but then one of the roots is none.
    let score = |width| {
        let Ok(mut file) = parse_as(bytes, width) else {
            return (false, 0);
        };
        let w = width.bytes();
        let root = file.root & 1 != 0
            || file.root.is_multiple_of(w as u64)
                && inside(&file.data, file.root.wrapping_sub(file.base)).is_some();
        // The first objects decide.
        let cut = file.data.start + DETECT_BYTES / w * w;
        file.data.end = file.data.end.min(cut);
        file.objects.end = file.objects.end.min(cut);
        match count_sound(&file) {
            Ok(_) => (true, 1 + u64::from(root)),
            Err(n) => (false, 1 + u64::from(root) + 2 * n),
        }
    };
    if score(Width::W64) >= score(Width::W32) {
        Width::W64
    } else {
        Width::W32
    }
}

/// How many objects are sound by themselves: all, or those before the first violation.
fn count_sound(file: &File<'_>) -> Result<u64, u64> {
    let mut n = 0;
    let sink = |_: &Object| {
        n += 1;
        Ok(())
    };
    let result = match file.width {
        Width::W32 => walk::<4, true>(file, sink),
        Width::W64 => walk::<8, true>(file, sink),
    };
    if result.is_ok() { Ok(n) } else { Err(n) }
}
