//! Lean's releases in three generations, by the names and arguments of their loader functions.

/// What the loader functions of a runtime are called, and what a region is to them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Generation {
    /// v4.20 to v4.30: `lean_{save,read}_module_data_parts`, a region is a `USize` handle.
    Batch,
    /// v4.31: `lean_compacted_region_{save,read}`, a region is a `USize` handle.
    Handle,
    /// v4.32 and later: as `Handle`, but a region is a Lean structure.
    Structure,
}

impl Generation {
    /// The generation as reports and `LEAN_REGION_ABI` name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Handle => "handle",
            Self::Structure => "structure",
        }
    }
}
