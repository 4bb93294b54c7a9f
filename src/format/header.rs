//! The 88-byte header of versions 2 and 3 (spec section 5.1).
