//! Entries, holders and claims, over mappings of a small file. Other tests of this process read regions too: no test
//! counts all that are alive.

use super::*;
use crate::os::file::File;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use testkit::temp_dir;

/// A file of two pages, mapped anew wherever it is asked for.
struct Mapped {
    _dir: testkit::TempDir,
    file: File,
}

impl Mapped {
    fn new(name: &str) -> Self {
        let dir = temp_dir(name);
        let path = dir.path().join("a.olean");
        std::fs::write(&path, [7; 8192]).unwrap();
        let file = File::open(&CString::new(path.as_os_str().as_bytes()).unwrap()).unwrap();
        Mapped { _dir: dir, file }
    }

    fn identity(&self) -> Identity {
        crate::region::examine::identity(&self.file).unwrap()
    }

    /// Enters a mapping of the file at `base` for `holder`.
    fn enter(&self, base: u64, holder: usize) -> usize {
        self.enter_as(base, holder, true, false)
    }

    /// The same, said to be a mapping and to be relocated or not.
    fn enter_as(&self, base: u64, holder: usize, mapped: bool, relocated: bool) -> usize {
        let memory = Memory::map_file_at(&self.file, 8192, base).expect("the address is free");
        insert(NewRegion {
            memory,
            root: 0,
            root_copy: None,
            base,
            identity: self.identity(),
            mapped,
            relocated,
            holder,
        })
        .expect("memory")
        .handle
    }

    /// Whether its content lies at `address`.
    fn is_at(address: usize) -> bool {
        // SAFETY: asks whether a page is mapped.
        unsafe { libc::msync(address as *mut _, 4096, libc::MS_ASYNC) == 0 }
    }
}

fn last(released: Result<Released, NotReleased>) -> bool {
    matches!(released, Ok(Released::Last(_)))
}

fn held(released: Result<Released, NotReleased>) -> bool {
    matches!(released, Ok(Released::Held))
}

#[test]
fn a_region_goes_with_its_last_holder_in_any_order() {
    let file = Mapped::new("registry-holders");
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let handle = file.enter(0x0710_0000_0000, 100);
        let mut claim = Claim::of(handle, &file.identity()).expect("it is this file");
        assert_eq!(claim.sharing(), Sharing::Unknown);
        claim.decide(Sharing::Allowed);
        assert!(claim.share(101) && claim.share(102));
        assert!(!claim.share(101), "it holds the region already");
        drop(claim);
        assert_eq!(release(handle, By::Handle).err(), Some(NotReleased::Shared(3)));
        let [first, second, third] = order.map(|i| By::Holder(100 + i));
        assert!(held(release(handle, first)));
        assert_eq!(release(handle, first).err(), Some(NotReleased::Gone));
        assert!(held(release(handle, second)));
        assert_eq!(release(handle, By::Holder(5)).err(), Some(NotReleased::Gone));
        assert!(facts(handle).is_some() && Mapped::is_at(handle));
        assert!(last(release(handle, third)));
        assert!(facts(handle).is_none() && !Mapped::is_at(handle));
        assert_eq!(release(handle, third).err(), Some(NotReleased::Unknown));
    }
}

#[test]
fn a_claim_outlives_all_holders_and_can_become_one() {
    let file = Mapped::new("registry-claims");
    let handle = file.enter(0x0711_0000_0000, 100);
    let claim = Claim::of(handle, &file.identity()).unwrap();
    assert!(held(release(handle, By::Handle)));
    assert!(
        Claim::of(handle, &file.identity()).is_none(),
        "nobody holds it any more"
    );
    assert_eq!(release(handle, By::Handle).err(), Some(NotReleased::Unknown));
    assert!(facts(handle).is_none() && Mapped::is_at(handle));
    assert_eq!((claim.address(), claim.size()), (handle, 8192));
    drop(claim);
    assert!(!Mapped::is_at(handle));

    let handle = file.enter(0x0711_0000_0000, 100);
    let claim = Claim::of(handle, &file.identity()).unwrap();
    assert!(held(release(handle, By::Holder(100))));
    assert!(claim.share(200));
    drop(claim);
    assert!(facts(handle).is_some() && Mapped::is_at(handle));
    assert!(last(release(handle, By::Handle)));
}

#[test]
fn only_an_unchanged_mapping_of_the_very_file_is_claimed() {
    let file = Mapped::new("registry-identity");
    let handle = file.enter(0x0712_0000_0000, 100);
    let same = file.identity();
    assert!(Claim::of(handle + 4096, &same).is_none());
    for other in [
        Identity {
            device: same.device + 1,
            ..same
        },
        Identity {
            inode: same.inode + 1,
            ..same
        },
        Identity {
            size: same.size + 8,
            ..same
        },
        Identity {
            modified: same.modified + 1,
            ..same
        },
        Identity {
            modified_ns: same.modified_ns ^ 1,
            ..same
        },
        Identity {
            changed: same.changed - 1,
            ..same
        },
        Identity {
            changed_ns: same.changed_ns ^ 1,
            ..same
        },
    ] {
        assert!(Claim::of(handle, &other).is_none(), "{other:?}");
    }
    let mut claim = Claim::of(handle, &same).unwrap();
    claim.decide(Sharing::Refused);
    drop(claim);
    assert!(Claim::of(handle, &same).is_none());
    assert!(last(release(handle, By::Handle)));
}

#[test]
fn what_lies_where_a_stale_entry_says_is_left_alone() {
    let file = Mapped::new("registry-stale");
    let handle = file.enter(0x0713_0000_0000, 100);
    // SAFETY: the mapping made above, which nothing uses; what another part of a program may do to it.
    unsafe { libc::munmap(handle as *mut _, 8192) };
    let again = file.enter(0x0713_0000_0000, 101);
    assert_eq!(again, handle);
    assert!(
        Mapped::is_at(handle),
        "the new region was unmapped with the stale entry"
    );
    assert!(last(release(handle, By::Handle)));
    assert!(!Mapped::is_at(handle));
}

#[test]
fn who_shared_what_somebody_else_released_holds_nothing_of_what_lies_there_now() {
    let file = Mapped::new("registry-stale-shared");
    let handle = file.enter(0x0716_0000_0000, 100);
    let mut claim = Claim::of(handle, &file.identity()).expect("it is this file");
    claim.decide(Sharing::Allowed);
    assert!(claim.share(101));
    drop(claim);
    // SAFETY: the mapping made above, which nothing uses; what another part of a program may do to it.
    unsafe { libc::munmap(handle as *mut _, 8192) };
    assert_eq!(file.enter(0x0716_0000_0000, 102), handle);
    assert!(last(release(handle, By::Holder(102))), "it has one holder");
    assert!(!Mapped::is_at(handle));
}

#[test]
fn what_is_relocated_or_a_copy_never_stands_in_for_its_file() {
    let file = Mapped::new("registry-copies");
    for (mapped, relocated) in [(true, true), (false, true), (false, false)] {
        let handle = file.enter_as(0x0714_0000_0000, 100, mapped, relocated);
        assert!(Claim::of(handle, &file.identity()).is_none());
        let view = RegionView {
            begin: handle,
            size: 8192,
            base: 0x0714_0000_0000,
        };
        assert_eq!(facts(handle), Some(Facts { view, mapped }));
        assert!(last(release(handle, By::Handle)));
        assert!(facts(handle).is_none());
    }
}

#[test]
fn the_files_of_live_regions_are_told() {
    let file = Mapped::new("registry-files");
    let handles = [0x0715_0000_0000, 0x0715_0001_0000].map(|base| file.enter(base, 100));
    assert!(live() >= 2);
    let known = Some(FileOf::from(&file.identity()));
    let asked = [handles[1], handles[0] + 4096, handles[0]];
    assert_eq!(files(asked.into_iter()), Ok(vec![known, None, known]));
    for handle in handles {
        assert!(last(release(handle, By::Handle)));
    }
    assert_eq!(files(handles.into_iter()), Ok(vec![None, None]));
}

#[test]
fn everything_that_is_kept_of_a_file_tells_it_from_others() {
    let identity = Identity {
        device: 0x801,
        inode: 77,
        size: 4096,
        modified: 1_700_000_000,
        modified_ns: 5,
        changed: -3,
        changed_ns: 999_999_999,
    };
    let kept = FileOf {
        device: 0x801,
        inode: 77,
        size: 4096,
        modified: 1_700_000_000_000_000_005,
        changed: -2_000_000_001,
    };
    assert_eq!(FileOf::from(&identity), kept);
    assert!(kept.is(&identity));
    let saved = Dependency {
        base: 0x1000,
        size: 4096,
        device: 0x801,
        inode: 77,
        modified: kept.modified,
        changed: kept.changed,
        digest: None,
        racy: true,
        path: b"A.olean",
    };
    assert!(kept.is_of(&saved));
    let others: [fn(&mut FileOf); 5] = [
        |f| f.device += 1,
        |f| f.inode += 1,
        |f| f.size += 8,
        |f| f.modified += 1,
        |f| f.changed += 1,
    ];
    for alter in others {
        let mut other = kept;
        alter(&mut other);
        assert!(!other.is(&identity) && !other.is_of(&saved), "{other:?}");
    }
}

#[test]
fn bookkeeping_is_a_slot_and_a_bucket_for_each_region() {
    let slot = size_of::<Region>() + 8;
    assert_eq!(table::bytes_per_entry::<Region>(), slot + 4);
}

#[test]
fn the_place_of_a_root_s_copy_is_free_when_the_region_has_gone() {
    let file = Mapped::new("registry-roots");
    let enter = |base: u64, holder: usize| {
        let memory = Memory::map_file_at(&file.file, 8192, base).expect("the address is free");
        let entered = insert(NewRegion {
            memory,
            root: base as usize + 96,
            root_copy: Some(Box::new([holder as u8; 64])),
            base,
            identity: file.identity(),
            mapped: true,
            relocated: false,
            holder,
        });
        entered.expect("memory")
    };
    // Other tests of this process have no copies.
    let (first, second) = (enter(0x0730_0000_0000, 31), enter(0x0731_0000_0000, 32));
    let expected = [second, first].map(|e| RootCopyAt {
        address: e.root_copy.expect("a copy"),
        in_files: e.handle + 96,
    });
    let mut found = Vec::new();
    root_copies([second.handle, 8, first.handle].into_iter(), &mut found);
    assert_eq!(found, expected);
    assert_eq!((root_copy(first.handle), root_copy(8)), (Some(expected[1]), None));

    // By a handle, and by the last of two holders.
    assert!(last(release(first.handle, By::Handle)));
    let third = enter(0x0732_0000_0000, 33);
    assert_eq!(third.root_copy, first.root_copy);
    let claim = Claim::of(second.handle, &file.identity()).expect("it is this file");
    assert!(claim.share(34));
    drop(claim);
    assert!(held(release(second.handle, By::Holder(32))));
    let fourth = enter(0x0733_0000_0000, 35);
    assert!(![second.root_copy, third.root_copy].contains(&fourth.root_copy));
    assert!(last(release(second.handle, By::Holder(34))));
    let fifth = enter(0x0734_0000_0000, 36);
    assert_eq!(fifth.root_copy, second.root_copy);
    for entered in [third, fourth, fifth] {
        assert!(last(release(entered.handle, By::Handle)));
    }
    assert_eq!(root_copy(third.handle), None);

    // A compactor that is kept may know what lay there.
    let first = enter(0x0735_0000_0000, 37);
    compactor_stays();
    assert!(last(release(first.handle, By::Handle)));
    let second = enter(0x0736_0000_0000, 38);
    assert_ne!(second.root_copy, first.root_copy);
    assert!(last(release(second.handle, By::Handle)));
    compactor_goes();
    let again: Vec<_> = (0..8).map(|i| enter(0x0740_0000_0000 + (i << 20), 39)).collect();
    assert!(again.iter().any(|again| again.root_copy == first.root_copy));
    for entered in again {
        assert!(last(release(entered.handle, By::Handle)));
    }
}
