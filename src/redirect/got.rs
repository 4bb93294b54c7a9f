//! Slots of a loaded object's global offset table redirected: what the object calls through the dynamic
//! linker, as opposed to its own functions. Used for `_exit` and `_Exit`, by which a process may end
//! without running anything of ours.

use std::ffi::CStr;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::os::elf::ElfObject;
use crate::os::maps::{self, Mapping};
use crate::os::page::page_size;

// Types of relocation that fill a slot with a function's address (psABI of each architecture).
#[cfg(target_arch = "aarch64")]
const SLOT_KINDS: [u32; 2] = [1025, 1026]; // R_AARCH64_GLOB_DAT, R_AARCH64_JUMP_SLOT
#[cfg(not(target_arch = "aarch64"))]
const SLOT_KINDS: [u32; 2] = [6, 7]; // R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT

/// A slot that leads elsewhere now.
#[derive(Debug)]
pub struct Slot {
    address: usize,
    old: usize,
    new: usize,
}

/// Makes every slot of `object` for one of the functions `names` lead to `to`; an object without such
/// slots has none changed. All or none.
///
/// # Errors
/// When the mappings cannot be read, or a slot's page cannot be made writable.
///
/// # Safety
/// The object stays loaded, and `to` can be called like each of the functions.
pub unsafe fn redirect(object: &ElfObject, names: &[&CStr], to: usize) -> io::Result<Vec<Slot>> {
    let named = |symbol| names.iter().any(|name| object.symbol_is(symbol, name));
    let addresses: Vec<usize> = object
        .relocations()
        .filter(|r| SLOT_KINDS.contains(&r.kind) && r.slot % 8 == 0 && named(r.symbol))
        .map(|r| r.slot)
        .collect();
    let mappings = maps::mappings()?;
    let mut slots = Vec::with_capacity(addresses.len());
    for address in addresses {
        // SAFETY: the dynamic linker has filled this aligned word of the object.
        match unsafe { exchange(&mappings, address, to) } {
            Ok(old) => slots.push(Slot {
                address,
                old,
                new: to,
            }),
            Err(error) => {
                // SAFETY: the slots just changed.
                unsafe { restore(&slots) };
                return Err(error);
            }
        }
    }
    Ok(slots)
}

/// Puts back every slot that nobody has changed since.
///
/// # Safety
/// The object of the slots is still loaded.
pub unsafe fn restore(slots: &[Slot]) {
    let Ok(mappings) = maps::mappings() else { return };
    for slot in slots {
        // SAFETY: a slot of an object that is still loaded.
        let now = unsafe { AtomicUsize::from_ptr(slot.address as *mut usize) }.load(Ordering::Acquire);
        if now == slot.new {
            // SAFETY: as above. If it fails, the slot goes on leading to this library, which stays.
            let _ = unsafe { exchange(&mappings, slot.address, slot.old) };
        }
    }
}

/// Stores a word, on a page that may be read-only (full RELRO) and has the same protection afterwards.
///
/// # Safety
/// `address` is an aligned word of a loaded object that may be set to `new`.
unsafe fn exchange(mappings: &[Mapping], address: usize, new: usize) -> io::Result<usize> {
    let page_size = page_size();
    let page = (address & !(page_size - 1)) as *mut libc::c_void;
    let protection = maps::protection_at(mappings, address).ok_or(io::ErrorKind::NotFound)?;
    let read_only = protection & libc::PROT_WRITE == 0;
    // SAFETY: a page of the object's data, made writable in addition.
    if read_only && unsafe { libc::mprotect(page, page_size, protection | libc::PROT_WRITE) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: writable now; aligned by the contract.
    let old = unsafe { AtomicUsize::from_ptr(address as *mut usize) }.swap(new, Ordering::AcqRel);
    if read_only {
        // SAFETY: the page's former protection. Failing leaves it writable, which works.
        unsafe { libc::mprotect(page, page_size, protection) };
    }
    Ok(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_somebody_else_has_changed_stays_as_it_is() {
        let words = [AtomicUsize::new(2), AtomicUsize::new(3)];
        let slots = words.each_ref().map(|word| Slot {
            address: word.as_ptr() as usize,
            old: 1,
            new: 2,
        });
        // SAFETY: aligned words of this test.
        unsafe { restore(&slots) };
        assert_eq!(words.map(AtomicUsize::into_inner), [1, 3]);
    }
}
