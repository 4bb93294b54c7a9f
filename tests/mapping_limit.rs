//! More regions than the system lets a process map, in a process of its own: all of them are read.

use lean_region::host::Host;
use lean_region::region::calls;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use testkit::olean::{Node, Spec};

/// More than `vm.max_map_count` is unless somebody raised it.
const MANY: usize = 66_000;

/// A region of one string, which begins at a base address of its own.
struct File {
    bytes: Vec<u8>,
    root: u64,
}

impl File {
    fn new() -> File {
        let mut spec = Spec::new(true, true, 2);
        spec.base = 0;
        spec.root = spec.push(Node::Str("x".repeat(40)));
        let bytes = spec.write().bytes;
        let root = u64::from_le_bytes(bytes[88..96].try_into().expect("8 bytes"));
        File { bytes, root }
    }

    fn numbered(&mut self, i: usize) -> &[u8] {
        let base = 0x2000_0000_0000 + ((i as u64) << 16);
        self.bytes[80..88].copy_from_slice(&base.to_le_bytes());
        self.bytes[88..96].copy_from_slice(&(base + self.root).to_le_bytes());
        let text = self.root as usize + 32;
        self.bytes[text..text + 8].copy_from_slice(format!("{i:08}").as_bytes());
        &self.bytes
    }
}

fn mappings() -> usize {
    testkit::process::maps(std::process::id()).len()
}

#[test]
fn more_regions_than_mappings_are_all_read() {
    let host = Host::get().expect("no runtime is loaded, so the embedded one serves");
    let limit = fs::read_to_string("/proc/sys/vm/max_map_count").expect("procfs");
    let limit: usize = limit.trim().parse().expect("a number");
    let dir = testkit::temp_dir("mapping-limit");
    let mut file = File::new();
    // SAFETY: the embedded runtime can always allocate; the roots are looked at while their regions live.
    unsafe {
        let none = host.mk_array(&[]);
        let (mut regions, mut mapped) = (Vec::new(), 0);
        for i in 0..MANY {
            let path = dir.path().join(i.to_string());
            fs::write(&path, file.numbered(i)).expect("a file");
            let name = host.mk_string(str::from_utf8(path.as_os_str().as_bytes()).expect("text"));
            let (pair, facts) = calls::read(host, name, none).unwrap_or_else(|e| panic!("{i}: {e}"));
            mapped += usize::from(facts.mapped);
            assert!(facts.mapped != facts.relocated);
            let text = pair.field(0);
            assert_eq!(&text.string_bytes()[..8], format!("{i:08}").as_bytes());
            let region = pair.field(1);
            host.inc(region);
            host.dec(pair);
            host.dec(name);
            regions.push(region);
        }
        let are = mappings();
        if limit > MANY + 1000 {
            assert_eq!(mapped, MANY, "nothing is short here");
        } else {
            assert!(are + 400 < limit && are + 700 > limit, "{are} of {limit}");
            assert!(mapped + 1000 > limit.min(MANY), "{mapped} of {limit}");
        }
        // Others can have mappings still.
        std::thread::spawn(|| vec![1_u8; 10 << 20])
            .join()
            .expect("a thread with memory of its own");
        for region in regions {
            calls::free(host, region).expect("alive");
        }
        assert!(mappings() < 300, "{}", mappings());
        host.dec(none);
    }
}
