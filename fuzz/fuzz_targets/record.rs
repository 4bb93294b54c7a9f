//! Records of dependencies: any bytes are none, or a list by ascending base that is read again as it is once written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use olean_reader::format::dependencies::{DependencyRecord, encode};
use olean_reader::format::identity::Identity;

fuzz_target!(|data: &[u8]| {
    let Some(record) = DependencyRecord::parse(data) else {
        return;
    };
    assert_eq!(record.len(), record.iter().count());
    assert_eq!(record.is_empty(), record.len() == 0);
    let mut list: Vec<_> = record.iter().collect();
    assert!(list.is_sorted_by(|a, b| a.base < b.base));
    for d in &list {
        let file = Identity {
            device: d.device,
            inode: d.inode,
            size: d.size,
            modified: d.modified.div_euclid(1_000_000_000),
            modified_ns: d.modified.rem_euclid(1_000_000_000) as u32,
            changed: d.changed.div_euclid(1_000_000_000),
            changed_ns: d.changed.rem_euclid(1_000_000_000) as u32,
        };
        assert!(d.looks_like(&file));
        let grown = file.size.wrapping_add(1);
        assert!(!d.looks_like(&Identity { size: grown, ..file }));
    }
    let expected = list.clone();
    list.reverse();
    let written = encode(&mut list).expect("memory");
    let again = DependencyRecord::parse(&written).expect("it was just written");
    assert!(again.iter().eq(expected));
});
