//! Code of loaded libraries as it was before this library wrote over it. Whoever redirects a function records
//! here what stood there, so that the identity of the library does not change with it.

use super::lock::Lock;

static ORIGINALS: Lock<Vec<(usize, Vec<u8>)>> = Lock::new(Vec::new());

/// Remembers that `bytes` stood at `address`. Call it before writing there; a later record for the same address
/// replaces an earlier one.
pub fn record(address: usize, bytes: &[u8]) {
    let bytes = bytes.to_vec();
    let mut originals = ORIGINALS.lock();
    originals.retain(|(a, _)| *a != address);
    originals.push((address, bytes));
}

/// Forgets the record for `address`. Call it after the original bytes have been put back.
pub fn forget(address: usize) {
    ORIGINALS.lock().retain(|(a, _)| *a != address);
}

/// Replaces what was overwritten in `bytes`, a copy of the memory at `address`, by what stood there.
pub fn restore_copy(address: usize, bytes: &mut [u8]) {
    for (start, original) in ORIGINALS.lock().iter() {
        let from = address.max(*start);
        let to = (address + bytes.len()).min(start + original.len());
        if from < to {
            bytes[from - address..to - address].copy_from_slice(&original[from - start..to - start]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_show_what_stood_there_wherever_they_begin() {
        // Addresses that belong to nobody: records are only compared, never followed.
        record(100, b"ORIG");
        let copy = |address, len| {
            let mut bytes = vec![b'.'; len];
            restore_copy(address, &mut bytes);
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(copy(96, 12), "....ORIG....");
        assert_eq!(copy(102, 4), "IG..");
        assert_eq!(copy(98, 3), "..O");
        assert_eq!(copy(101, 2), "RI");
        assert_eq!(copy(104, 2), "..");
        record(100, b"orig");
        assert_eq!(copy(100, 4), "orig");
        forget(100);
        assert_eq!(copy(100, 4), "....");
    }
}
