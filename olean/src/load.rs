//! A snapshot with its modules, loaded into this process by the library's C API as a program without Lean loads it,
//! and let go of again.

use lean_region::capi::objects::{
    lean_region_dec, lean_region_io_error_text, lean_region_io_is_ok, lean_region_mk_string,
};
use lean_region::capi::set::{
    LEAN_REGION_SET_BESIDE, LEAN_REGION_SET_WITHOUT_CODE, lean_region_free_set, lean_region_read_set,
};
use lean_region::os::counters::{Counts, READ};
use lean_region::os::image_use::SERVED;
use std::ffi::CStr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// What one load came to.
#[derive(Clone, Copy)]
pub struct Loaded {
    /// Regions: those of the modules and the snapshot's.
    pub regions: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Regions that lie mapped where their files want them, or in the image.
    pub mapped: u64,
    /// Regions whose pointers were rewritten.
    pub relocated: u64,
    /// Regions that an image had.
    pub from_image: u64,
    /// Seconds for all of it.
    pub seconds: f64,
    /// Seconds for letting go of it.
    pub free_seconds: f64,
}

/// Loads the snapshot by `jobs` threads, as many as usual if that is 0, and frees it. `beside`: relative paths in its
/// list are meant from its own folder. Closures are loaded without their code, which is in no library of this
/// process.
pub fn load(snapshot: &Path, jobs: u32, beside: bool) -> Result<Loaded, String> {
    let text = snapshot
        .to_str()
        .ok_or_else(|| format!("the path '{}' is no text", snapshot.display()))?;
    let (before, served) = (READ.counts(), SERVED.load(Ordering::Relaxed));
    let options = LEAN_REGION_SET_WITHOUT_CODE | if beside { LEAN_REGION_SET_BESIDE } else { 0 };
    // SAFETY: the bytes of a string with their number; the string is released after the call, and the result, or its
    // error, once it has been looked at. Nothing in the regions is used.
    unsafe {
        let file = lean_region_mk_string(text.as_ptr().cast(), text.len());
        let start = Instant::now();
        let result = lean_region_read_set(file, jobs, options);
        let seconds = start.elapsed().as_secs_f64();
        lean_region_dec(file);
        if result.is_null() {
            return Err("the library does not work in this process".to_owned());
        }
        if !lean_region_io_is_ok(result) {
            let why = lean_region_io_error_text(result);
            let why = match why.is_null() {
                true => "an error without a text".to_owned(),
                false => CStr::from_ptr(why).to_string_lossy().into_owned(),
            };
            lean_region_dec(result);
            return Err(why);
        }
        let start = Instant::now();
        if lean_region_free_set(result) != 0 {
            return Err("the regions could not be freed".to_owned());
        }
        let free_seconds = start.elapsed().as_secs_f64();
        let now = READ.counts();
        let more = |of: fn(&Counts) -> u64| of(&now) - of(&before);
        Ok(Loaded {
            regions: more(|c| c.calls),
            bytes: more(|c| c.bytes),
            mapped: more(|c| c.mapped),
            relocated: more(|c| c.relocated),
            from_image: SERVED.load(Ordering::Relaxed) - served,
            seconds,
            free_seconds,
        })
    }
}
