//! The base address a file asks for: derived from the stored hash of its key name, as the incumbent
//! does it.

/// Bases lie below this address, so that regions stay out of the way of the stack (upstream #1950).
pub const BASE_MODULUS: u64 = 0x7f00_0000_0000;

/// Bases are multiples of this, the mapping granularity of Windows (upstream #587).
pub const BASE_ALIGN: u64 = 1 << 16;

/// The hash that Lean stores for `Name.anonymous`, which is a scalar and has no place to store one.
pub const ANONYMOUS_HASH: u64 = 1723;

/// The base address for a key whose name has the stored hash `hash`.
#[must_use]
pub fn base_address(hash: u64) -> u64 {
    (hash % BASE_MODULUS) & !(BASE_ALIGN - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_aligned_and_below_the_modulus() {
        for h in [
            0,
            1,
            1723,
            u64::MAX,
            BASE_MODULUS,
            BASE_MODULUS - 1,
            BASE_MODULUS + 0x1_0001,
        ] {
            let b = base_address(h);
            assert!(
                b < BASE_MODULUS && b.is_multiple_of(BASE_ALIGN),
                "{h:#x} -> {b:#x}"
            );
        }
        assert_eq!(base_address(BASE_MODULUS + 0x1_0001), 0x1_0000);
    }
}
