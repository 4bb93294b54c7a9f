//! The layout of live objects, and raw accessors for them. Knows nothing of where they were allocated.

/// An object pointer or a boxed scalar (low bit set), as compiled Lean code passes it around.
///
/// A plain word: it may dangle, and reading through it is up to the unsafe accessors of this module.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct Obj(pub usize);

impl Obj {
    /// `lean_box(0)`: unit, `Option.none`, the empty list, `Name.anonymous`.
    pub const UNIT: Obj = Obj(1);

    /// The boxed scalar `n` (`lean_box`). The top bit of `n` is lost.
    #[must_use]
    pub const fn boxed(n: usize) -> Obj {
        Obj(n << 1 | 1)
    }

    /// Whether this is a boxed scalar and not a pointer.
    #[must_use]
    pub const fn is_scalar(self) -> bool {
        self.0 & 1 == 1
    }

    /// The scalar's value (`lean_unbox`).
    #[must_use]
    pub const fn unbox(self) -> usize {
        self.0 >> 1
    }

    /// The address as a pointer to read from.
    #[must_use]
    pub const fn ptr(self) -> *mut u8 {
        self.0 as *mut u8
    }
}
