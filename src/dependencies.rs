//! Regions that others may point into: where each lies now, and where the addresses in files say that it lies.
//! Both ways need it: relocation turns what a file says into where a region lies, the compactor the other way round.
#![forbid(unsafe_code)]

use olean_reader::format::room::{NoMemory, collected};
use once_cell::race::OnceBox;
use smallvec::SmallVec;
use thiserror::Error;

/// One region that others may point into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegionView {
    /// Where its first byte (the header) lies in this process.
    pub begin: usize,
    /// Bytes, header included.
    pub size: usize,
    /// The base address of its file: what pointers in files mean by its first byte.
    pub base: u64,
}

impl RegionView {
    /// Whether the region lies where its file wants it.
    #[must_use]
    pub fn landed(&self) -> bool {
        self.begin as u64 == self.base
    }
}

/// Some of these. A part of a module has at most two dependencies and is read tens of thousands of times, so few of them
/// need no memory.
pub type Views = SmallVec<[RegionView; 4]>;

/// Why dependency regions cannot be used for relocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum DependencyError {
    /// Two dependencies claim the same addresses.
    #[error("region_reader: dep regions have overlapping `base_addr` ranges ({first:#x} and {second:#x})")]
    Deps {
        /// Base address of one.
        first: u64,
        /// Base address of the other.
        second: u64,
    },
    /// A dependency claims addresses of the region itself.
    #[error(
        "region_reader: own region overlaps a dep region's `base_addr` range (own {own:#x}, dep {dep:#x})"
    )]
    Own {
        /// Base address of the region that is read.
        own: u64,
        /// Base address of the dependency.
        dep: u64,
    },
    /// There is no memory to sort them.
    #[error(transparent)]
    Memory(#[from] NoMemory),
}

/// What the memory is for, in errors.
const SORTED: &str = "the table of dependency regions";

/// The dependency regions of one call. Sorted only when somebody asks.
#[derive(Debug)]
pub struct Dependencies {
    views: Views,
    landed: bool,
    by_begin: OnceBox<Vec<RegionView>>,
    by_base: OnceBox<Result<Vec<RegionView>, DependencyError>>,
}

impl Default for Dependencies {
    fn default() -> Self {
        Self::new(Views::new())
    }
}

impl Dependencies {
    /// The dependencies `views`, in any order.
    #[must_use]
    #[inline]
    pub fn new(views: impl Into<Views>) -> Self {
        let views = views.into();
        let landed = views.iter().all(RegionView::landed);
        Dependencies {
            views,
            landed,
            by_begin: OnceBox::new(),
            by_base: OnceBox::new(),
        }
    }

    /// Whether every dependency lies where its file wants it.
    #[must_use]
    #[inline]
    pub fn landed(&self) -> bool {
        self.landed
    }

    /// The dependencies in the order given.
    #[must_use]
    #[inline]
    pub fn views(&self) -> &[RegionView] {
        &self.views
    }

    /// Sorted by where they lie now.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn by_begin(&self) -> Result<&[RegionView], NoMemory> {
        let sorted = self.by_begin.get_or_try_init(|| {
            let mut sorted = collected(self.views.iter().copied(), SORTED)?;
            if !sorted.is_sorted_by_key(|v| v.begin) {
                sorted.sort_unstable_by_key(|v| v.begin);
            }
            Ok(Box::new(sorted))
        })?;
        Ok(sorted)
    }

    /// Sorted by base address.
    ///
    /// # Errors
    /// [`DependencyError::Deps`] when two of them claim the same addresses, [`DependencyError::Memory`].
    pub fn by_base(&self) -> Result<&[RegionView], DependencyError> {
        let sorted = self.by_base.get_or_try_init(|| -> Result<_, NoMemory> {
            let mut sorted = collected(self.views.iter().copied(), SORTED)?;
            if !sorted.is_sorted_by_key(|v| v.base) {
                sorted.sort_unstable_by_key(|v| v.base);
            }
            for pair in sorted.windows(2) {
                if pair[1].base - pair[0].base < pair[0].size as u64 {
                    return Ok(Box::new(Err(DependencyError::Deps {
                        first: pair[0].base,
                        second: pair[1].base,
                    })));
                }
            }
            Ok(Box::new(Ok(sorted)))
        })?;
        sorted.as_deref().map_err(|&e| e)
    }

    /// The dependency that holds the live address `address`.
    #[must_use]
    #[inline]
    pub fn holding(&self, address: usize) -> Option<RegionView> {
        let sorted = self.by_begin().ok()?;
        let after = sorted.partition_point(|v| v.begin <= address);
        let view = sorted.get(after.checked_sub(1)?)?;
        (address - view.begin < view.size).then_some(*view)
    }
}

/// The dependency of `sorted` (by base address) that the file address `address` means.
#[must_use]
#[inline]
pub fn meant_by(sorted: &[RegionView], address: u64) -> Option<RegionView> {
    let after = sorted.partition_point(|v| v.base <= address);
    let view = sorted.get(after.checked_sub(1)?)?;
    (address - view.base < view.size as u64).then_some(*view)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(begin: usize, size: usize, base: u64) -> RegionView {
        RegionView { begin, size, base }
    }

    #[test]
    fn lookups_respect_both_ends() {
        let deps = Dependencies::new(vec![view(0x5000, 0x100, 0x9000), view(0x1000, 0x100, 0x1000)]);
        assert!(!deps.landed());
        assert_eq!(deps.holding(0xfff), None);
        assert_eq!(deps.holding(0x1000).unwrap().base, 0x1000);
        assert_eq!(deps.holding(0x10ff).unwrap().base, 0x1000);
        assert_eq!(deps.holding(0x1100), None);
        assert_eq!(deps.holding(0x50ff).unwrap().base, 0x9000);
        let sorted = deps.by_base().unwrap();
        assert_eq!(meant_by(sorted, 0x9000).unwrap().begin, 0x5000);
        assert_eq!(meant_by(sorted, 0x9100), None);
        assert_eq!(meant_by(sorted, 0), None);
    }

    #[test]
    fn overlapping_bases_are_refused() {
        let deps = Dependencies::new(vec![view(0x1000, 0x101, 0x1000), view(0x5000, 0x10, 0x1100)]);
        assert_eq!(
            deps.by_base(),
            Err(DependencyError::Deps {
                first: 0x1000,
                second: 0x1100
            })
        );
        assert!(Dependencies::new(vec![view(1 << 16, 8, 1 << 16)]).landed());
        assert!(Dependencies::default().landed());
    }
}
