//! What the runtime writes into the header of a file, and what it expects to find there: version, githash and flags.
//!
//! Version and githash are Lean constants: a real runtime has them as data that is there only after its
//! modules have been initialised, or as functions that can be called once it can allocate. So they are read
//! when they are needed, and not kept until they are there.

use super::construct::string_bytes;
use super::embedded;
use super::entries::function;
use super::runtime::Host;
use crate::object::Obj;
use std::ffi::CStr;

/// What a saved file says of its writer, as it stands in the header: padded with zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileIdentity {
    /// The version, as in `4.35.0`.
    pub version: [u8; 33],
    /// The git hash of the Lean sources in hexadecimal, or zeros.
    pub githash: [u8; 40],
    /// Bit 0: bignums are GMP's.
    pub flags: u8,
}

/// Bit 0 of the flags: bignums are GMP's.
const FLAG_GMP: u8 = 1;

/// `_ZN4lean24get_short_version_stringEv`, which gives a libc++ `std::string *`, NULL before initialisation.
const SHORT_VERSION: &CStr = c"_ZN4lean24get_short_version_stringEv";

/// Longest text that libc++ keeps inside a `std::string`.
const LIBCXX_SHORT: usize = 22;

impl Host {
    /// What to write into the header of a file saved now. Zeros stand for a version or githash that the
    /// runtime does not have yet.
    ///
    /// # Safety
    /// The runtime can allocate on this thread, as in a call of its loader.
    #[must_use]
    pub unsafe fn file_identity(&self) -> FileIdentity {
        // SAFETY: passed on from the caller.
        let (version, githash) = unsafe { (self.version(), self.githash()) };
        FileIdentity {
            version: version.unwrap_or([0; 33]),
            githash: githash.copied().unwrap_or([0; 40]),
            flags: self.flags(),
        }
    }

    /// The flags byte of files of this runtime.
    #[must_use]
    pub fn flags(&self) -> u8 {
        if self.gmp { FLAG_GMP } else { 0 }
    }

    /// The githash that a file must have to be read; `None` if any will do: the runtime has no githash, or
    /// it is the embedded one.
    ///
    /// # Safety
    /// As [`Host::file_identity`].
    #[must_use]
    #[inline]
    pub unsafe fn githash(&self) -> Option<&[u8; 40]> {
        if let Some(known) = self.githash.get() {
            return known.as_ref();
        }
        // SAFETY: passed on from the caller.
        let text = unsafe { self.read_githash() }?;
        let githash = <[u8; 40]>::try_from(text.as_slice()).ok();
        self.githash.get_or_init(|| Box::new(githash)).as_ref()
    }

    /// # Safety
    /// As [`Host::file_identity`].
    unsafe fn read_githash(&self) -> Option<Vec<u8>> {
        // SAFETY: the runtime can allocate, by the caller's word; both functions take the unit and give an owned
        // string; the data symbol holds a string.
        unsafe {
            self.constant(&[c"l_Lean_getGithash___boxed", c"lean_get_githash"])
                .map(|text| self.take_text(text))
                .or_else(|| {
                    self.data(c"l_Lean_githash")
                        .map(|text| string_bytes(text).to_vec())
                })
        }
    }

    /// The version, once it is there.
    ///
    /// # Safety
    /// As [`Host::file_identity`].
    unsafe fn version(&self) -> Option<[u8; 33]> {
        if let Some(known) = self.version.get() {
            return Some(*known);
        }
        let text = if self.is_embedded() {
            embedded::VERSION.to_owned()
        } else {
            // SAFETY: passed on from the caller.
            unsafe { self.composed_version() }.or_else(|| self.short_version())?
        };
        let mut field = [0; 33];
        let len = text.len().min(field.len());
        field[..len].copy_from_slice(&text.as_bytes()[..len]);
        Some(*self.version.get_or_init(|| Box::new(field)))
    }

    /// The version put together from its parts, as Lean's build does it: `MAJOR.MINOR.PATCH`, then the
    /// special description, or `pre` for what is not a release.
    ///
    /// # Safety
    /// As [`Host::file_identity`].
    unsafe fn composed_version(&self) -> Option<String> {
        // SAFETY: the runtime can allocate, by the caller's word. The functions take the unit; numbers are scalars,
        // the description is an owned string, and whether it is a release a boxed or, in older runtimes, a plain
        // Bool.
        unsafe {
            let number = |functions: &[&CStr], data| {
                let value = self.constant(functions).or_else(|| self.data(data))?;
                value.is_scalar().then(|| value.unbox())
            };
            let major = number(&[c"lean_version_get_major"], c"l_Lean_version_major")?;
            let minor = number(&[c"lean_version_get_minor"], c"l_Lean_version_minor")?;
            let patch = number(&[c"lean_version_get_patch"], c"l_Lean_version_patch")?;
            let special = self
                .constant(&[
                    c"l_Lean_version_getSpecialDesc___boxed",
                    c"lean_version_get_special_desc",
                ])
                .map(|text| self.take_text(text))?;
            let release = match self.constant(&[c"l_Lean_version_getIsRelease___boxed"]) {
                Some(boxed) => boxed.unbox() != 0,
                None => {
                    let plain: unsafe extern "C" fn(Obj) -> u8 =
                        function(self.library.as_ref()?, c"lean_version_get_is_release")?;
                    plain(Obj::UNIT) != 0
                }
            };
            let suffix = match String::from_utf8_lossy(&special) {
                text if !text.is_empty() => format!("-{text}"),
                _ if !release => "-pre".to_owned(),
                _ => String::new(),
            };
            Some(format!("{major}.{minor}.{patch}{suffix}"))
        }
    }

    /// The version by the runtime's C++ string; `None` while there is none, and if its text is no version,
    /// as happens when the runtime has not been built with libc++.
    fn short_version(&self) -> Option<String> {
        // SAFETY: the function takes nothing and gives a string that lives as long as the process, or NULL.
        // In libc++ its 24 bytes hold a short text themselves, twice the length in front, or a length and
        // a pointer, which an odd first byte tells.
        unsafe {
            let get: unsafe extern "C" fn() -> *const u8 = function(self.library.as_ref()?, SHORT_VERSION)?;
            let string = get();
            if string.is_null() {
                return None;
            }
            let first = string.read();
            let (text, len) = if first & 1 == 0 {
                (string.add(1), usize::from(first >> 1))
            } else {
                (
                    string.add(16).cast::<*const u8>().read(),
                    string.add(8).cast::<usize>().read(),
                )
            };
            if first & 1 == 0 && len > LIBCXX_SHORT {
                return None;
            }
            version_text(std::slice::from_raw_parts(text, len))
        }
    }

    /// The result of the first of these functions that the runtime exports, called with the unit.
    ///
    /// # Safety
    /// Each function takes and gives an object; the runtime can allocate on this thread.
    unsafe fn constant(&self, functions: &[&CStr]) -> Option<Obj> {
        let library = self.library.as_ref()?;
        // SAFETY: each function takes and gives an object and may be called, by the contract.
        unsafe {
            let get = functions
                .iter()
                .find_map(|name| function::<unsafe extern "C" fn(Obj) -> Obj>(library, name))?;
            Some(get(Obj::UNIT))
        }
    }

    /// The value (borrowed) of a Lean constant, once its module is initialised.
    ///
    /// # Safety
    /// `symbol` is a constant that holds an object.
    unsafe fn data(&self, symbol: &CStr) -> Option<Obj> {
        let address = self.symbol(symbol)?;
        // SAFETY: the symbol is a word of data in the runtime's object.
        let value = Obj(unsafe { *(address as *const usize) });
        (value.0 != 0).then_some(value)
    }

    /// The bytes of a string, which is consumed.
    ///
    /// # Safety
    /// `string` is an owned string.
    unsafe fn take_text(&self, string: Obj) -> Vec<u8> {
        // SAFETY: a live string, owned by the caller.
        unsafe {
            let text = string_bytes(string).to_vec();
            self.dec(string);
            text
        }
    }
}

/// `text` if it reads like a version.
fn version_text(text: &[u8]) -> Option<String> {
    let plausible = text.first().is_some_and(u8::is_ascii_digit) && text.iter().all(u8::is_ascii_graphic);
    plausible.then(|| String::from_utf8_lossy(text).into_owned())
}
