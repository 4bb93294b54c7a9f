//! What runs when this library is loaded and when the process ends: the swap into a process that it is
//! preloaded into, and the report. Neither does anything in a program that merely links this library.

use std::panic::catch_unwind;

use super::{loader, obj, raw};
use crate::os::lock;
use crate::redirect::{self, AttachError, Entry, Mode, attach, compare, exit, observe};

/// What stands in for the host's functions.
fn table(mode: Mode) -> Vec<Entry> {
    match mode {
        Mode::Replace => vec![
            (
                attach::SAVE,
                loader::lean_compacted_region_save as *const () as usize,
            ),
            (
                attach::READ,
                loader::lean_compacted_region_read as *const () as usize,
            ),
            (
                attach::FREE,
                loader::lean_compacted_region_free as *const () as usize,
            ),
            (
                attach::SIZE,
                loader::lean_compacted_region_size as *const () as usize,
            ),
            (
                attach::IS_MEMORY_MAPPED,
                loader::lean_compacted_region_is_memory_mapped as *const () as usize,
            ),
            (
                attach::SAVE_PARTS,
                loader::lean_save_module_data_parts as *const () as usize,
            ),
            (
                attach::READ_PARTS,
                loader::lean_read_module_data_parts as *const () as usize,
            ),
        ],
        Mode::Observe => observe::table(),
        Mode::Compare => compare::table(ours()),
        Mode::Off => Vec::new(),
    }
}

/// Our entry points as mode compare calls them.
fn ours() -> compare::Ours {
    compare::Ours {
        // SAFETY: called like the entry points themselves, whose contracts the callers know.
        save: |fname, key, data, deps, prev, allow_closures| unsafe {
            let (fname, key, data, deps, prev) = (raw(fname), raw(key), raw(data), raw(deps), raw(prev));
            obj(loader::lean_compacted_region_save(
                fname,
                key,
                data,
                deps,
                prev,
                allow_closures,
            ))
        },
        // SAFETY: as above.
        read: |fname, deps| unsafe { obj(loader::lean_compacted_region_read(raw(fname), raw(deps))) },
        // SAFETY: as above.
        free: |region| unsafe { obj(loader::lean_compacted_region_free(raw(region))) },
    }
}

/// Attaches in the mode that the environment asks for.
///
/// # Safety
/// As for [`redirect::attach`].
pub(super) unsafe fn attach_now() -> Result<(), AttachError> {
    // SAFETY: the contract is the same; the entry points are made to be called as the host calls its own.
    unsafe { redirect::attach(table) }
}

extern "C" fn on_load() {
    lock::live_through_forks();
    // SAFETY: the entry points are made to be called as the host calls its own, and stay: the library is
    // linked `nodelete`. The dynamic linker runs this before the program has started threads.
    let _ = catch_unwind(|| unsafe { redirect::attach_if_preloaded(table) });
}

extern "C" fn on_exit() {
    exit::write_at_exit();
}

#[used]
#[unsafe(link_section = ".init_array")]
static ON_LOAD: extern "C" fn() = on_load;

#[used]
#[unsafe(link_section = ".fini_array")]
static ON_EXIT: extern "C" fn() = on_exit;
