//! How to call a function whose entry was overwritten: its first instructions are copied elsewhere,
//! corrected for their new place, and followed by a jump to the first instruction that is still whole.
//! The function is never put back for a call: other threads may be entering it.
//!
//! An exception that unwinds out of the function itself passes correctly (the copy leaves no frame
//! behind); only one out of a call that stood among the copied instructions would not, so a call is not
//! copied.
//!
//! The copying itself is in [`move_x86_64`](super::move_x86_64) and [`move_aarch64`](super::move_aarch64); here is
//! why it may be refused.

/// Why the first instructions of a function cannot be copied.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CannotMove {
    /// The function is over before the overwritten bytes are.
    #[error("the function is only {0} bytes long and does not end there by a return or jump")]
    TooShort(usize),
    /// An instruction that the decoder does not know.
    #[error("unknown instruction at offset {0}")]
    Unknown(usize),
    /// The function branches back into the bytes that are overwritten.
    #[error("the branch at offset {from} leads back to offset {to}, among the bytes to be overwritten")]
    BranchBack {
        /// Offset of the branch in the function.
        from: usize,
        /// Offset it leads to.
        to: usize,
    },
    /// A call among the instructions to be copied.
    #[error("a call at offset {0}, among the instructions to be moved")]
    Call(usize),
    /// The corrected instructions cannot be encoded at the new place.
    #[error("the moved instructions cannot be encoded: {0}")]
    Encode(String),
}
