//! What is known of a region of the image.

use crate::dependencies::RegionView;

/// A live region of the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Where it lies, and the base address of its file.
    pub view: RegionView,
    /// Its root.
    pub root: usize,
}
