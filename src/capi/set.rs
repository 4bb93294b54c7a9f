//! A snapshot with all modules that it was saved over, read and freed in one call each.

use super::inspect::lean_region_free_read;
use super::loader::count_read;
use super::objects::{lean_region_child, lean_region_child_count, lean_region_dec, lean_region_inc};
use super::{guarded, io_result, lean_object, obj};
use crate::os::clock::Moment;
use crate::os::counters::READ;
use crate::os::thread_text;
use crate::redirect::attach;
use crate::region::closures::libraries::MissingCode;
use crate::region::set::call::{SetOptions, read_set};
use olean_reader::format::object::TAG_ARRAY;
use olean_reader::format::room::room;

/// For `lean_region_read_set`: relative paths in the list are meant from the folder of the snapshot, and not from the
/// working directory.
pub const LEAN_REGION_SET_BESIDE: u32 = 1;

/// For `lean_region_read_set`: closures whose library is not loaded in this process have no code (NULL), and must not
/// be called. Otherwise such a snapshot is refused.
pub const LEAN_REGION_SET_WITHOUT_CODE: u32 = 2;

/// Reads a snapshot of `lean --incr-save` or `--incr-header-save` with all modules that it was saved over: those that
/// the list beside it (its name and `.deps`) names, some of them at once by threads of their own, and then the
/// snapshot over all.
///
/// @param snapshot borrowed String: the file
/// @param workers  threads that read, the calling one among them, which have ended when this returns; 0 for what
///                 LEAN_IMPORT_WORKERS says, or else as many as there are cores, but not more than four
/// @param options  0, or LEAN_REGION_SET_... added up
/// @return an IO result, owned: an Array of pairs of root and region as `lean_compacted_region_read` makes them (see
///         `lean_region_read_root`): of the modules, in the order of the list whoever read them, each with its parts
///         in the order `olean`, `oleanServer`, `oleanPrivate`, `irSig`, `ir`, and last the snapshot's. Or an
///         `IO.userError`: of the list, of the first file in this order that cannot be read, or of the snapshot, and
///         then every region has been released
///
/// A region is freed before those that it points into: the snapshot first, each part before the ones in front of it.
/// `lean_region_free_set` does that. May be called from several threads at once, where this library serves reads: not
/// in the modes off and observe.
///
/// # Safety
/// `snapshot` is a scalar or a live object of the host. Nobody writes into the files while the regions live (replacing
/// them by rename is fine).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_read_set(
    snapshot: *mut lean_object,
    workers: u32,
    options: u32,
) -> *mut lean_object {
    io_result(|host| {
        if attach::is_forwarding() {
            return Err(
                "lean_region_read_set: reads of this process are the Lean runtime's own, which cannot read a set: \
                 use LEAN_REGION_MODE=replace"
                    .to_owned(),
            );
        }
        if options & !(LEAN_REGION_SET_BESIDE | LEAN_REGION_SET_WITHOUT_CODE) != 0 {
            return Err(format!("lean_region_read_set: there is no option {options:#x}"));
        }
        let wanted = SetOptions {
            workers: workers as usize,
            beside: options & LEAN_REGION_SET_BESIDE != 0,
            missing_code: match options & LEAN_REGION_SET_WITHOUT_CODE {
                0 => MissingCode::Refuse,
                _ => MissingCode::Leave,
            },
        };
        let start = Moment::now();
        // SAFETY: the object is a scalar or a live one, by the contract; the host can allocate where its loader is called.
        match unsafe { read_set(host, obj(snapshot), &wanted) } {
            Ok((pairs, reads)) => {
                reads
                    .into_iter()
                    .for_each(|(facts, time)| count_read(facts, time));
                Ok(pairs)
            }
            Err(e) => {
                READ.error(start.elapsed());
                Err(e.to_string())
            }
        }
    })
}

/// Frees all regions of a set, from the last to the first, and releases the result: what a destructor calls.
///
/// @param result consumed: the result of `lean_region_read_set`, or the Array in it, or that of
///               `lean_read_module_data_parts`. That of a failed read is released, and this is a success. NULL is one too
/// @return 0 on success; -1 (see lean_region_last_error) if one of them is no live region, as when it was freed before:
///         all others are freed; or if `result` is no set, or there is no memory for the list of its regions: then none
///         is freed. The result is released in each case
///
/// May be called from several threads at once.
///
/// # Safety
/// `result` is NULL or a live object of which the caller owns the only reference, in it also. No object of the
/// regions is used any more, by no thread and no other region.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_free_set(result: *mut lean_object) -> i32 {
    if result.is_null() {
        return 0;
    }
    let not_a_set = || {
        thread_text::set(
            "lean_region_free_set: the object is neither the result of lean_region_read_set nor its array",
        );
        -1
    };
    // SAFETY: the caller owns `result`, so everything in it lives until it is released here, and a pair beyond that by
    // the reference taken for it, which is consumed.
    unsafe {
        let array = match tag(result) {
            Some(TAG_ARRAY) => result,
            Some(FAILURE) => {
                lean_region_dec(result);
                return 0;
            }
            Some(SUCCESS) => lean_region_child(result, 0),
            _ => result,
        };
        if array.is_null() || tag(array) != Some(TAG_ARRAY) {
            lean_region_dec(result);
            return not_a_set();
        }
        let count = lean_region_child_count(array);
        // The array holds roots, which are followed when it goes: so it goes before the regions.
        let pairs = guarded(|| {
            let mut pairs = room(count, "the list of regions").map_err(|e| e.to_string())?;
            pairs.extend((0..count).map(|index| lean_region_child(array, index)));
            Ok(pairs)
        });
        let Ok(pairs) = pairs else {
            lean_region_dec(result);
            return -1;
        };
        pairs.iter().for_each(|&pair| lean_region_inc(pair));
        lean_region_dec(result);
        let freed = pairs.into_iter().rev().map(|pair| lean_region_free_read(pair));
        freed.fold(0, |all, one| all | one)
    }
}

/// Tags of an IO result.
const SUCCESS: u8 = 0;
const FAILURE: u8 = 1;

/// The tag of an object; `None` for a scalar.
///
/// # Safety
/// `object` is a scalar or a live object.
unsafe fn tag(object: *mut lean_object) -> Option<u8> {
    let object = obj(object);
    // SAFETY: a live object's header may be read.
    (!object.is_scalar()).then(|| unsafe { object.kind() }.tag)
}
