//! The dynamic linker's own list of loaded objects (dl_iterate_phdr(3)): the one place that walks it.

use std::any::Any;
use std::ffi::{CStr, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::lock::Lock;
use libc::{Elf64_Phdr, dl_iterate_phdr, dl_phdr_info};

/// An object in the list while the linker shows it, which keeps it loaded meanwhile.
pub struct Listed {
    info: dl_phdr_info,
}

impl Listed {
    /// What the linker added to the addresses in the file.
    #[must_use]
    pub fn base(&self) -> usize {
        self.info.dlpi_addr as usize
    }

    /// The path it was loaded from; empty for the main program, and where the linker has no name at all.
    #[must_use]
    pub fn name(&self) -> &CStr {
        if self.info.dlpi_name.is_null() {
            return c"";
        }
        // SAFETY: a name that is not null is a C string that lives as long as the object is loaded, which it is as
        // long as this value (`Listed` does not leave the walk).
        unsafe { CStr::from_ptr(self.info.dlpi_name) }
    }

    /// Its program headers; none where the linker does not know them.
    #[must_use]
    pub fn headers(&self) -> &[Elf64_Phdr] {
        if self.info.dlpi_phdr.is_null() {
            return &[];
        }
        // SAFETY: `dlpi_phdr` points to `dlpi_phnum` program headers, which stay mapped as long as the object is
        // loaded, and it is as long as this value; the linker does not write to them.
        unsafe { std::slice::from_raw_parts(self.info.dlpi_phdr, self.info.dlpi_phnum.into()) }
    }

    /// How many objects the linker has loaded and how many it has unloaded since the process began.
    #[must_use]
    pub fn generation(&self) -> (u64, u64) {
        (self.info.dlpi_adds, self.info.dlpi_subs)
    }
}

/// Shows the loaded objects to `f`, the main program first, until it returns true. A panic of `f` ends the walk and
/// goes on in the caller.
///
/// `f` runs under the linker's lock and must not load or unload libraries or walk once more. That lock (glibc's and musl's
/// alike) stays held in the child of a fork if a thread was walking, so no thread of this library is while one forks.
pub fn each_listed(mut f: impl FnMut(&Listed) -> bool) {
    struct Walk<'a> {
        f: &'a mut dyn FnMut(&Listed) -> bool,
        panic: Option<Box<dyn Any + Send>>,
    }

    unsafe extern "C" fn show(info: *mut dl_phdr_info, _size: usize, data: *mut c_void) -> c_int {
        // SAFETY: `data` is the `Walk` below, which outlives the walk and is used by nothing else during it;
        // `info` is valid for the time of this call.
        let (walk, info) = unsafe { (&mut *data.cast::<Walk<'_>>(), *info) };
        let listed = Listed { info };
        match catch_unwind(AssertUnwindSafe(|| (walk.f)(&listed))) {
            Ok(done) => c_int::from(done),
            Err(panic) => {
                walk.panic = Some(panic);
                1
            }
        }
    }

    static WALKING: Lock<()> = Lock::outer(());

    let mut walk = Walk {
        f: &mut f,
        panic: None,
    };
    let walking = WALKING.lock();
    // SAFETY: `show` has the callback's signature, never unwinds, and gets a pointer to a live `Walk`.
    unsafe { dl_iterate_phdr(Some(show), (&raw mut walk).cast()) };
    drop(walking);
    if let Some(panic) = walk.panic {
        resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_which_nothing_is_known_has_no_name_and_no_headers() {
        // SAFETY: all-zero bytes are a valid `dl_phdr_info`: numbers and null pointers.
        let info: dl_phdr_info = unsafe { std::mem::zeroed() };
        let listed = Listed {
            info: dl_phdr_info {
                dlpi_phnum: 3,
                ..info
            },
        };
        assert_eq!(listed.name(), c"");
        assert!(listed.headers().is_empty());
    }

    #[test]
    fn the_walk_ends_when_it_is_told_to() {
        let mut seen = 0;
        each_listed(|_| {
            seen += 1;
            seen == 2
        });
        assert_eq!(seen, 2);
    }
}
