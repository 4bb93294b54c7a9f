//! The dependency regions of a call, taken from the host's array, in whichever representation.
//!
//! A process at Mathlib's scale passes tens of thousands of regions in every call, so the views of the last
//! large array are kept: a later call only compares, and what was sorted stays sorted.

use super::arguments::elements;
use super::error::CallError;
use super::image::in_use as image;
use super::registry;
use crate::dependencies::{Dependencies, RegionView, Views};
use crate::host::Host;
use crate::object::Obj;
use crate::os::limits::Limits;
use crate::os::lock::Lock;
use olean_reader::format::room::room;
use std::ops::Deref;
use std::sync::Arc;

/// Smaller arrays are not worth keeping.
const WORTH_KEEPING: usize = 64;

/// The views of the last large array.
static KEPT: Lock<Option<Arc<Dependencies>>> = Lock::new(None);

/// The dependencies of one call.
pub(super) enum Found {
    /// Few or none: nothing is shared with other threads.
    Own(Dependencies),
    /// Many, kept for the next call.
    Kept(Arc<Dependencies>),
}

impl Deref for Found {
    type Target = Dependencies;

    fn deref(&self) -> &Dependencies {
        match self {
            Found::Own(own) => own,
            Found::Kept(kept) => kept,
        }
    }
}

/// The views of an array of regions.
///
/// # Errors
/// The array is none, or an element is no live region.
///
/// # Safety
/// `array` is a scalar or a live object of `host`.
#[inline(always)]
pub(super) unsafe fn dependencies(host: &Host, array: Obj) -> Result<Found, CallError> {
    // SAFETY: `array` is a scalar or a live object, by the contract, and stays so to the end of this call.
    let regions = unsafe { elements(array, "dependency regions")? };
    if regions.len() < WORTH_KEEPING {
        // SAFETY: elements of a live array of the host are scalars or live objects of it.
        return Ok(Found::Own(Dependencies::new(unsafe { views(host, regions)? })));
    }
    // SAFETY: passed on from the caller.
    unsafe { many(host, regions) }
}

/// Those of a large array.
///
/// # Safety
/// The elements are scalars or live objects of `host`.
#[inline(never)]
unsafe fn many(host: &Host, regions: &[Obj]) -> Result<Found, CallError> {
    let kept = KEPT.lock().clone();
    if let Some(kept) = kept
        && kept.views().len() == regions.len()
        // SAFETY: an element of a live array is a scalar or a live object.
        && kept.views().iter().zip(regions).all(|(v, &r)| unsafe { view(host, r) } == Some(*v))
    {
        return Ok(Found::Kept(kept));
    }
    // SAFETY: elements of a live array of the host are scalars or live objects of it.
    let fresh = Arc::new(Dependencies::new(unsafe { views(host, regions)? }));
    // What was kept before goes after the lock.
    let before = KEPT.lock().replace(Arc::clone(&fresh));
    drop(before);
    Ok(Found::Kept(fresh))
}

/// Where the regions of an array begin, without the views of a large array being kept; `None` for what is no live
/// region.
///
/// # Errors
/// The array is none.
///
/// # Safety
/// `array` is a scalar or a live object of `host`, and stays one as long as the result.
pub(super) unsafe fn begins<'a>(
    host: &'a Host,
    array: Obj,
) -> Result<impl ExactSizeIterator<Item = Option<usize>> + 'a, CallError> {
    // SAFETY: `array` is a scalar or a live object as long as the result is used, by the contract.
    let regions: &'a [Obj] = unsafe { elements(array, "dependency regions")? };
    // SAFETY: an element of a live array is a scalar or a live object.
    Ok(regions
        .iter()
        .map(|&region| unsafe { view(host, region) }.map(|v| v.begin)))
}

/// # Safety
/// The elements are scalars or live objects of `host`.
#[inline(always)]
unsafe fn views(host: &Host, regions: &[Obj]) -> Result<Views, CallError> {
    let mut views = Views::new();
    if regions.len() > views.inline_size() {
        let many = room(regions.len(), "the list of dependency regions");
        views = Views::from_vec(many.map_err(|e| CallError::Argument(format!("{e}{}", Limits::now())))?);
    }
    for (i, &region) in regions.iter().enumerate() {
        // SAFETY: each element is a scalar or a live object, by the contract.
        let view = unsafe { view(host, region) };
        views.push(view.ok_or_else(|| no_region(i, regions.len()))?);
    }
    Ok(views)
}

#[cold]
fn no_region(i: usize, of: usize) -> CallError {
    CallError::Argument(format!(
        "dependency region {i} of {of} is no live region: it was freed, or it is something else"
    ))
}

/// # Safety
/// `region` is a scalar or a live object of `host`.
#[inline(always)]
unsafe fn view(host: &Host, region: Obj) -> Option<RegionView> {
    // SAFETY: `region` is a scalar or a live object, which both ways of reading a region ask for.
    unsafe {
        if let Some(facts) = host.read_region_structure(region) {
            // `free` leaves a structure whose buffer would lie at an odd address.
            let alive = facts.buffer % 8 == 0 && facts.buffer != 0;
            return alive.then_some(RegionView {
                begin: facts.buffer,
                size: facts.size,
                base: facts.base,
            });
        }
        let handle = host.unbox_usize(region)?;
        let entered = registry::facts(handle).map(|facts| facts.view);
        entered.or_else(|| image::facts(handle).map(|facts| facts.view))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RegionFacts;

    /// An array of region structures for `views`; nothing lies at their addresses.
    fn array(host: &Host, views: &[RegionView]) -> Obj {
        // SAFETY: the embedded runtime allocates anywhere; everything is handed on to the array.
        unsafe {
            let regions = views.iter().map(|v| {
                let facts = RegionFacts {
                    root: Obj::UNIT,
                    size: v.size,
                    base: v.base,
                    buffer: v.begin,
                    mapped: false,
                };
                host.mk_region(host.mk_string("a.olean"), &facts)
            });
            host.mk_array(&regions.collect::<Vec<_>>())
        }
    }

    #[test]
    fn kept_views_serve_only_the_same_regions() {
        let host = Host::get().unwrap();
        let view = |i: usize| RegionView {
            begin: (i + 1) << 20,
            size: 4096,
            base: (i as u64 + 1) << 30,
        };
        let first: Vec<RegionView> = (0..2 * WORTH_KEEPING).map(view).collect();
        let asked = |views: &[RegionView]| {
            let array = array(host, views);
            // SAFETY: a live array of this runtime, released afterwards.
            unsafe {
                let found = dependencies(host, array).unwrap();
                host.dec(array);
                assert_eq!(found.views(), views);
                match found {
                    Found::Kept(kept) => kept,
                    Found::Own(_) => panic!("a large array was not kept"),
                }
            }
        };
        let kept = asked(&first);
        assert!(
            Arc::ptr_eq(&kept, &asked(&first)),
            "the same views were made again"
        );
        // As many regions, of which one is another.
        for change in [
            |v: &mut RegionView| v.begin += 4096,
            |v: &mut RegionView| v.size += 8,
            |v: &mut RegionView| v.base += 1 << 16,
        ] {
            let mut other = first.clone();
            change(&mut other[WORTH_KEEPING]);
            assert!(!Arc::ptr_eq(&kept, &asked(&other)));
        }
    }
}
