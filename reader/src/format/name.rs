//! The hash that a Lean name stores: MurmurHash64A over each component's string, combined with the hash of the name before
//! it. The base address of a module's file is made of it.

/// Multiplier and shift of MurmurHash64A.
const M: u64 = 0xc6a4_a793_5bd1_e995;
const R: u32 = 47;

/// Seed of string hashes in Lean (`lean_string_hash`).
const SEED: u64 = 11;

/// What stands in for a number that does not fit 64 bits.
const TOO_BIG: u64 = 17;

/// The hash of a string's bytes (`lean_string_hash`).
#[must_use]
pub fn bytes(text: &[u8]) -> u64 {
    let mut h = SEED ^ (text.len() as u64).wrapping_mul(M);
    let mut words = text.chunks_exact(8);
    for word in &mut words {
        let mut k = word
            .iter()
            .rev()
            .fold(0u64, |k, &byte| k << 8 | u64::from(byte))
            .wrapping_mul(M);
        k ^= k >> R;
        h = (h ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        let k = tail.iter().rev().fold(0u64, |k, &byte| k << 8 | u64::from(byte));
        h = (h ^ k).wrapping_mul(M);
    }
    h ^= h >> R;
    h = h.wrapping_mul(M);
    h ^ h >> R
}

/// The hash of a number in a name; `None` is one that does not fit.
#[must_use]
pub fn number(value: Option<u64>) -> u64 {
    value.unwrap_or(TOO_BIG)
}

/// The hash of a name by the hashes of its prefix and its last component. The second exclusive-or with the
/// multiplier, where MurmurHash multiplies, is Lean's.
#[must_use]
pub fn combine(prefix: u64, component: u64) -> u64 {
    let k = component.wrapping_mul(M);
    let k = k ^ k >> R ^ M;
    (prefix ^ k).wrapping_mul(M)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::base::{ANONYMOUS_HASH, base_address};

    fn name(components: &[&str]) -> u64 {
        components
            .iter()
            .fold(ANONYMOUS_HASH, |prefix, c| combine(prefix, bytes(c.as_bytes())))
    }

    #[test]
    fn module_names_give_the_bases_that_lean_writes() {
        // Header bases of files written by Lean 4.35.0 for modules of these names.
        for (components, base) in BASES {
            assert_eq!(base_address(name(components)), *base, "{components:?}");
        }
    }

    const BASES: &[(&[&str], u64)] = &[
        (&["A"], 0x7df5_2903_0000),
        (&["Ab"], 0x4048_98f6_0000),
        (&["Base"], 0x5ad8_1c0d_0000),
        (&["Sevens7"], 0x0995_08c2_0000),
        (&["Eightby8"], 0x11a2_d05a_0000),
        (&["Ninebytes"], 0x513c_0a3d_0000),
        (&["Sixteenbytes1234"], 0x4ef7_3632_0000),
        (&["A", "B"], 0x42fd_2199_0000),
        (&["A", "Deep", "Name"], 0x4057_afce_0000),
        (&["Ünï", "Größe"], 0x0a5f_074c_0000),
    ];

    #[test]
    fn numbers_that_do_not_fit_share_a_hash() {
        assert_eq!(number(None), number(Some(17)));
        assert_eq!(number(Some(u64::MAX)), u64::MAX);
    }
}
