//! The entries of a host's functions overwritten with jumps to other functions: all of a set or none.
//!
//! Where a page near the host can be had, an entry gets a short jump to a stub in it, written by one
//! store, so that a thread entering meanwhile sees the old code or the new. Otherwise the entry gets a
//! jump to anywhere, which takes more room and more stores.

use std::ffi::CStr;
use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

#[cfg(target_arch = "aarch64")]
use super::{encode_aarch64 as encode, move_aarch64 as moved};
#[cfg(not(target_arch = "aarch64"))]
use super::{encode_x86_64 as encode, move_x86_64 as moved};

use super::protection;
use super::trampoline::CannotMove;
use crate::os::code_page::{CodePage, flush_instructions};
use crate::os::elf::{ElfObject, Function};
use crate::os::maps::{self, Mapping};
use crate::os::originals;
use crate::os::page::page_size;

/// A function of the host to redirect.
#[derive(Clone, Copy, Debug)]
pub struct Redirection {
    /// Its exported name.
    pub name: &'static CStr,
    /// The function called instead; takes and returns the same.
    pub replacement: usize,
}

/// Why a set of functions was not redirected. None of it is then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The host does not define the function.
    #[error("{0} is not there")]
    Missing(String),
    /// Something else redirected it before.
    #[error("{name} already jumps to {to:#x}, outside its library: something else has redirected it")]
    AlreadyRedirected {
        /// The function's name.
        name: String,
        /// Where it leads.
        to: usize,
    },
    /// The replacement lies in the host: its address was looked up by a name that both export, and the
    /// host's came first.
    #[error("the replacement of {0} lies in the library itself; link this library with -Bsymbolic")]
    ReplacedByItself(String),
    /// The function and the padding behind it are shorter than a jump.
    #[error("{name} has only {room} bytes and no padding, which is too short for a jump")]
    NoRoom {
        /// The function's name.
        name: String,
        /// Its own bytes.
        room: usize,
    },
    /// Its code may be executed, but not read, so what stands there can neither be put back nor copied.
    #[error("the code of {0} cannot be read: its library is mapped execute-only")]
    Unreadable(String),
    /// Its first instructions cannot be copied, so it could not be called any more.
    #[error("{name} cannot be moved: {source}")]
    CannotMove {
        /// The function's name.
        name: String,
        /// What stands against it.
        source: CannotMove,
    },
    /// No page of code near the host, which calling the original needs.
    #[error("no page for code near the library: {0}")]
    NoPage(io::Error),
    /// The page of code may not be made executable.
    #[error(
        "the page of code cannot be made executable: {0}; a security policy (SELinux, seccomp) may forbid it"
    )]
    NotExecutable(io::Error),
    /// The list of mappings cannot be read.
    #[error("/proc/self/maps cannot be read: {0}")]
    Maps(io::Error),
    /// The function's page may not be made writable.
    #[error(
        "the page of {name} cannot be made writable: {source}; a security policy (SELinux, seccomp) may forbid it"
    )]
    Protect {
        /// The function's name.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
    /// When undoing: somebody else has changed the entry since.
    #[error("{0} was changed by something else since it was redirected")]
    Changed(String),
}

/// An entry that leads to a replacement.
#[derive(Debug)]
struct Site {
    name: &'static CStr,
    entry: usize,
    guarded: bool,
    old: Vec<u8>,
    new: Vec<u8>,
    original: Option<usize>,
}

/// A set of redirected functions. Dropping it leaves them redirected.
#[derive(Debug)]
pub struct Redirected {
    sites: Vec<Site>,
}

impl Redirected {
    /// Where to call the function as it was before, if that was asked for.
    #[must_use]
    pub fn original(&self, name: &CStr) -> Option<usize> {
        self.sites.iter().find(|s| s.name == name)?.original
    }

    /// Puts all entries back. Code that is running in a stub or a copied entry may go on: those stay.
    ///
    /// # Errors
    /// An entry that is no longer as it was left, or whose page cannot be made writable; then all stay
    /// redirected (as far as the system lets their pages be changed again).
    ///
    /// # Safety
    /// The host is still loaded. Unless every entry was changed by one store, no thread is entering any of
    /// the functions.
    pub unsafe fn undo(self) -> Result<(), (Redirected, PatchError)> {
        // SAFETY: code of the host, which is still loaded by the contract.
        let changed = |s: &&Site| unsafe { read_code(s.entry, s.new.len()) } != s.new;
        if let Some(site) = self.sites.iter().find(changed) {
            let error = PatchError::Changed(text(site.name));
            return Err((self, error));
        }
        let changes: Vec<_> = self.sites.iter().map(|s| s.change(&s.new, &s.old)).collect();
        let mappings = match maps::mappings() {
            Ok(mappings) => mappings,
            Err(error) => return Err((self, PatchError::Maps(error))),
        };
        // SAFETY: the entries are still in place and hold what was put there, which was just looked
        // at; the rest is the caller's contract.
        match unsafe { write_all(&mappings, &changes) } {
            Ok(()) => {
                self.sites.iter().for_each(|s| originals::forget(s.entry));
                Ok(())
            }
            Err(error) => Err((self, error)),
        }
    }
}

impl Site {
    fn change<'a>(&self, old: &'a [u8], new: &'a [u8]) -> Change<'a> {
        Change {
            name: self.name,
            entry: self.entry,
            guarded: self.guarded,
            old,
            new,
        }
    }
}

/// Redirects all of `wanted` in `host`. With `keep_originals` each function can still be called as it was.
///
/// # Errors
/// The first function that cannot be redirected and why; then nothing is changed.
///
/// # Safety
/// The host stays loaded. Every replacement is a function that can be called the way the one it replaces
/// is. Unless every entry can be changed by one store, no thread is entering any of the functions.
pub unsafe fn redirect(
    host: &ElfObject,
    wanted: &[Redirection],
    keep_originals: bool,
) -> Result<Redirected, PatchError> {
    let mappings = maps::mappings().map_err(PatchError::Maps)?;
    let mut functions = Vec::with_capacity(wanted.len());
    for redirection in wanted {
        let name = redirection.name;
        let function = host
            .function(name)
            .ok_or_else(|| PatchError::Missing(text(name)))?;
        refuse_redirected(host, name, function)?;
        if host.contains(redirection.replacement) {
            return Err(PatchError::ReplacedByItself(text(name)));
        }
        functions.push((redirection, function));
    }
    let center = functions.first().map_or(0, |(_, f)| f.entry);
    let mut page = match CodePage::near(&mappings, center) {
        Ok(page) => Some(page),
        Err(error) if keep_originals => return Err(PatchError::NoPage(error)),
        Err(_) => None,
    };
    let mut sites = Vec::with_capacity(functions.len());
    for (redirection, function) in functions {
        sites.push(plan(host, redirection, function, page.as_mut(), keep_originals)?);
    }
    if let Some(page) = page {
        page.seal().map_err(PatchError::NotExecutable)?;
    }
    let changes: Vec<_> = sites.iter().map(|s| s.change(&s.old, &s.new)).collect();
    // The identity of the host must not change with what is done to it here.
    sites.iter().for_each(|s| originals::record(s.entry, &s.old));
    // SAFETY: each entry lies in the host's code with room for its jump, as `plan` found; the rest is the
    // caller's contract.
    if let Err(error) = unsafe { write_all(&mappings, &changes) } {
        sites.iter().for_each(|s| originals::forget(s.entry));
        return Err(error);
    }
    Ok(Redirected { sites })
}

/// Refuses an entry that jumps out of its own library: a function of the host may begin with a jump to
/// another one of the host, and only there.
fn refuse_redirected(host: &ElfObject, name: &CStr, function: Function) -> Result<(), PatchError> {
    let code = host
        .code_around(function.entry)
        .map_or(0, |range| range.end - function.entry)
        .min(16);
    let jump = host
        .bytes(function.entry, code)
        .and_then(|code| encode::entry_jump(code, function.entry));
    let to = match jump {
        None => return Ok(()),
        Some(encode::EntryJump::To(to)) => to,
        Some(encode::EntryJump::Through(slot)) => match host.bytes(slot, 8) {
            Some(bytes) => usize::from_le_bytes(bytes.try_into().expect("eight bytes")),
            None => slot,
        },
    };
    if host.code_around(to).is_some() {
        return Ok(());
    }
    Err(PatchError::AlreadyRedirected { name: text(name), to })
}

/// Chooses the jump for one function and makes its stub and the copy of its first instructions.
fn plan(
    host: &ElfObject,
    redirection: &Redirection,
    function: Function,
    mut page: Option<&mut CodePage>,
    keep_original: bool,
) -> Result<Site, PatchError> {
    let &Redirection { name, replacement } = redirection;
    let entry = function.entry;
    let jump = encode::absolute_jump(replacement);
    let stub = page.as_deref_mut().and_then(|page| page.push(&jump));
    // What comes to a guarded entry by an indirect branch has to find a landing pad there.
    let pad: &[u8] = if protection::is_guarded(host) {
        &encode::LANDING_PAD
    } else {
        &[]
    };
    let far = [pad, &jump].concat();
    let near = stub
        .and_then(|stub| encode::near_jump(entry + pad.len(), stub))
        .map(|jump| [pad, &jump].concat())
        .filter(|jump| {
            let preferred = one_store(entry, jump.len()) || !has_room(host, function, far.len());
            preferred && has_room(host, function, jump.len())
        });
    let new = match near {
        Some(jump) => jump,
        None if has_room(host, function, far.len()) => far,
        None => {
            return Err(PatchError::NoRoom {
                name: text(name),
                room: function.size,
            });
        }
    };
    let code = host
        .bytes(entry, function.size.max(new.len()))
        .ok_or_else(|| PatchError::Unreadable(text(name)))?;
    let mut original = None;
    if keep_original {
        let no_page = || PatchError::NoPage(io::Error::from_raw_os_error(libc::ENOMEM));
        let page = page.ok_or_else(no_page)?;
        let copy =
            moved::trampoline(&code[..function.size], entry, new.len(), page.next()).map_err(|source| {
                PatchError::CannotMove {
                    name: text(name),
                    source,
                }
            })?;
        original = Some(page.push(&copy).ok_or_else(no_page)?);
    }
    Ok(Site {
        name,
        entry,
        guarded: !pad.is_empty(),
        old: code[..new.len()].to_vec(),
        new,
        original,
    })
}

/// Bytes that an instruction has at most (x86-64).
const LONGEST_INSTRUCTION: usize = 15;

/// Whether `len` bytes at the function's entry are its own or padding behind it.
fn has_room(host: &ElfObject, function: Function, len: usize) -> bool {
    if function.size >= len {
        return true;
    }
    let end = function.entry + function.size;
    let wanted = len - function.size;
    // So much that the padding that is wanted ends inside.
    let after = host
        .code_around(end)
        .map_or(0, |range| (range.end - end).min(wanted + LONGEST_INSTRUCTION));
    let padding = host.bytes(end, after).map_or(0, encode::leading_padding);
    function.size > 0
        && padding >= wanted
        && host
            .next_symbol(function.entry)
            .is_some_and(|next| next >= function.entry + len)
}

/// Bytes of an entry that change, from what is there to what shall be.
struct Change<'a> {
    name: &'static CStr,
    entry: usize,
    /// Whether the code there is guarded.
    guarded: bool,
    old: &'a [u8],
    new: &'a [u8],
}

/// Makes all changes, or undoes those made and says why.
///
/// # Safety
/// Every entry is mapped code whose `old.len()` bytes may be replaced by `new`, of the same length.
/// Unless a change takes one store, no thread is executing those bytes.
unsafe fn write_all(mappings: &[Mapping], changes: &[Change]) -> Result<(), PatchError> {
    for (done, change) in changes.iter().enumerate() {
        // SAFETY: the caller's contract, for this change.
        if let Err(source) = unsafe { write(mappings, change, change.new) } {
            for made in &changes[..done] {
                // SAFETY: the same bytes as before. What fails here leaves a working redirection: the
                // replacement is there as long as this library is, which is never unloaded.
                let _ = unsafe { write(mappings, made, made.old) };
            }
            return Err(PatchError::Protect {
                name: text(change.name),
                source,
            });
        }
    }
    Ok(())
}

/// Overwrites `code.len()` bytes at the entry of `at`; its pages have their former protection again afterwards.
///
/// # Safety
/// As for [`write_all`].
unsafe fn write(mappings: &[Mapping], at: &Change, code: &[u8]) -> io::Result<()> {
    let &Change { entry, guarded, .. } = at;
    let page = page_size();
    let first = entry & !(page - 1);
    let pages = (first..entry + code.len()).step_by(page);
    let old: Vec<(usize, i32)> = pages
        .map(|at| maps::protection_at(mappings, at).map(|protection| (at, protection)))
        .collect::<Option<_>>()
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EFAULT))?;
    let protect = |at: usize, protection: i32| {
        // SAFETY: a page of the host's code, which stays readable and executable throughout.
        match unsafe { libc::mprotect(at as *mut _, page, protection::whole(protection, guarded)) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    let writable = old
        .iter()
        .try_for_each(|&(at, protection)| protect(at, protection | libc::PROT_WRITE));
    if writable.is_ok() {
        // SAFETY: the pages are writable now; the rest is the caller's contract.
        unsafe { store(entry, code) };
        flush_instructions(entry, code.len());
    }
    for &(at, protection) in &old {
        // Failing to take a permission away again leaves code that runs as it should.
        let _ = protect(at, protection);
    }
    writable
}

/// Whether [`store`] changes `len` bytes at `entry` at once.
fn one_store(entry: usize, len: usize) -> bool {
    entry % 8 + len <= 8
}

/// # Safety
/// The bytes, and the aligned words they lie in, are writable; concurrent access is as for [`write_all`].
unsafe fn store(entry: usize, code: &[u8]) {
    if one_store(entry, code.len()) {
        let offset = entry % 8;
        // SAFETY: an aligned word on a writable page.
        let word = unsafe { AtomicU64::from_ptr((entry - offset) as *mut u64) };
        let mut bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        bytes[offset..offset + code.len()].copy_from_slice(code);
        word.store(u64::from_ne_bytes(bytes), Ordering::Release);
        return;
    }
    for (offset, &byte) in code.iter().enumerate().rev() {
        // SAFETY: a byte of the writable range.
        unsafe { AtomicU8::from_ptr((entry + offset) as *mut u8) }.store(byte, Ordering::Release);
    }
}

/// A copy of the bytes at an entry.
///
/// # Safety
/// They are mapped and readable.
unsafe fn read_code(entry: usize, len: usize) -> Vec<u8> {
    let byte = |offset| {
        // SAFETY: readable by the contract; atomic, since another thread may be patching too.
        unsafe { AtomicU8::from_ptr((entry + offset) as *mut u8) }.load(Ordering::Relaxed)
    };
    (0..len).map(byte).collect()
}

fn text(name: &CStr) -> String {
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of its own with the given protection, filled with no-operations.
    fn page(protection: i32) -> usize {
        let len = page_size();
        let all = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, filled while it is writable.
        unsafe {
            let at = libc::mmap(std::ptr::null_mut(), len, all, flags, -1, 0);
            assert_ne!(at, libc::MAP_FAILED);
            at.cast::<u8>().write_bytes(0x90, len);
            assert_eq!(libc::mprotect(at, len, protection), 0);
            at as usize
        }
    }

    #[test]
    fn changes_made_before_one_that_fails_are_undone() {
        let protection = libc::PROT_READ | libc::PROT_EXEC;
        let (first, second) = (page(protection), page(protection));
        let mut mappings = maps::mappings().expect("procfs");
        let change = |entry| Change {
            name: c"f",
            entry,
            guarded: false,
            old: &[0x90; 3],
            new: &[1, 2, 3],
        };
        // SAFETY: pages of this test's own, which nobody executes.
        unsafe {
            write_all(&mappings, &[change(first), change(second + 8)]).expect("both can be changed");
            assert_eq!(
                (read_code(first, 3), read_code(second + 8, 3)),
                (vec![1, 2, 3], vec![1, 2, 3])
            );
            let back = |entry| Change {
                name: c"f",
                entry,
                guarded: false,
                old: &[1, 2, 3],
                new: &[0x90; 3],
            };
            // As if the second were not there any more.
            mappings.retain(|m| !m.range.contains(&second));
            let error = write_all(&mappings, &[back(first), back(second + 8)]).expect_err("the second fails");
            assert!(matches!(error, PatchError::Protect { .. }), "{error}");
            assert_eq!(read_code(first, 4), [1, 2, 3, 0x90], "as it was before");
        }
        let now = maps::mappings().expect("procfs");
        assert_eq!(maps::protection_at(&now, first), Some(protection));
    }

    #[test]
    fn a_jump_across_two_pages_restores_each_as_it_was() {
        let len = page_size();
        let all = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping of two pages, of which the first loses its write permission.
        let at = unsafe {
            let at = libc::mmap(std::ptr::null_mut(), 2 * len, all, flags, -1, 0);
            assert_ne!(at, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(at, len, libc::PROT_READ), 0);
            at as usize
        };
        let mappings = maps::mappings().expect("procfs");
        let code: Vec<u8> = (1..=14).collect();
        let change = Change {
            name: c"f",
            entry: at + len - 7,
            guarded: false,
            old: &[],
            new: &code,
        };
        // SAFETY: pages of this test's own.
        unsafe { write(&mappings, &change, &code) }.expect("written");
        // SAFETY: as above.
        assert_eq!(unsafe { read_code(at + len - 7, 14) }, code);
        let now = maps::mappings().expect("procfs");
        assert_eq!(maps::protection_at(&now, at), Some(libc::PROT_READ));
        assert_eq!(maps::protection_at(&now, at + len), Some(all));
    }
}
