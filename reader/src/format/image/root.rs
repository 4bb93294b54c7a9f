//! Copies of roots. Lean looks at the root of every region that it is given, so the small roots of an image lie in a
//! table of their own beside their regions: a process that needs nothing else of most regions then touches some hundred
//! pages instead of one or more of each region.

use crate::format::object::{Kind, Layout, ObjectHeader};

/// Bytes of a copy: the largest root that has one.
pub const ROOT_SIZE: usize = 64;

/// A root object as it lies in its region in the mapped image, and zeros.
pub type RootCopy = [u8; ROOT_SIZE];

/// The copy of the root at offset `at` of a region, if it is a constructor that is small enough: nothing but fields, no
/// matter where it lies.
#[must_use]
pub fn root_copy(region: &[u8], at: usize) -> Option<RootCopy> {
    let object = region.get(at..)?;
    let header = ObjectHeader::of_word(u64::from_le_bytes(*object.first_chunk()?));
    if header.kind() != Some(Kind::Ctor) {
        return None;
    }
    // How a bignum is laid out matters to no constructor.
    let size = Layout::wide(true).bytes(Kind::Ctor, header, 0)?;
    let size = usize::try_from(size).ok().filter(|&size| size <= ROOT_SIZE)?;
    let mut copy = [0; ROOT_SIZE];
    copy.get_mut(..size)?.copy_from_slice(object.get(..size)?);
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(cs_sz: u16, other: u8, tag: u8) -> Vec<u8> {
        let word = u64::from(cs_sz) << 32 | u64::from(other) << 48 | u64::from(tag) << 56;
        let mut bytes = word.to_le_bytes().to_vec();
        bytes.resize(usize::from(cs_sz).max(8), 7);
        bytes
    }

    #[test]
    fn small_constructors_are_copied_with_zeros_behind() {
        let mut region = vec![1; 16];
        region.extend(object(56, 6, 0));
        region.extend([9; 8]);
        let copy = root_copy(&region, 16).expect("a copy");
        assert_eq!(copy[..56], region[16..72]);
        assert_eq!(copy[56..], [0; 8]);
        assert!(root_copy(&object(64, 7, 3), 0).is_some());
    }

    #[test]
    fn what_is_large_or_something_else_or_cut_off_is_not() {
        assert_eq!(root_copy(&object(72, 8, 0), 0), None);
        // A string, an array.
        for tag in [249, 246] {
            assert_eq!(root_copy(&object(1, 0, tag), 0), None);
        }
        let whole = object(56, 6, 0);
        for cut in 0..whole.len() {
            assert_eq!(root_copy(&whole[..cut], 0), None, "{cut}");
        }
        assert_eq!(root_copy(&whole, 100), None);
    }
}
