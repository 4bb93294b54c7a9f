//! Entries of a C library's functions overwritten, called as they were, and put back: every awkward shape
//! of an entry, in memory and executed.
#![cfg(target_arch = "x86_64")]

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lean_region::os::code;
use lean_region::os::elf::ElfObject;
use lean_region::os::maps;
use lean_region::redirect::patch::{PatchError, Redirected, Redirection, redirect};
use lean_region::redirect::trampoline::CannotMove;
use lean_region::region::closures::identity;
use libloading::Library;
use olean_reader::format::extension::LibraryIdentity;

/// The library, loaded anew for each test under a path of its own.
struct Host {
    library: Library,
    object: ElfObject,
    _dir: testkit::TempDir,
}

impl Host {
    fn load(label: &str) -> Host {
        Self::load_built(label, &[])
    }

    fn load_built(label: &str, args: &[&str]) -> Host {
        let dir = testkit::temp_dir(label);
        let source = testkit::workspace_dir().join("c-tests/redirect/entries.c");
        let path = dir.path().join("libentries.so");
        let mut build = testkit::c::Build::new();
        build.shared().bsymbolic().file(source);
        for arg in args {
            build.arg(*arg);
        }
        build.build(&path);
        // SAFETY: the library has no constructor.
        let library = unsafe { Library::new(&path) }.expect("the library just built");
        Host {
            library,
            object: object_of(&path),
            _dir: dir,
        }
    }

    fn call(&self, name: &str, argument: i32) -> i32 {
        // SAFETY: every function of the library takes and returns an int.
        unsafe {
            let function = self.library.get::<extern "C" fn(i32) -> i32>(name.as_bytes());
            function.expect("exported")(argument)
        }
    }

    /// The bytes of a function and what follows, and the protection of its page.
    fn state(&self, name: &CStr) -> (Vec<u8>, Option<i32>) {
        let entry = self.object.function(name).expect("exported").entry;
        let protection = maps::protection_at(&maps::mappings().expect("procfs"), entry);
        (self.object.bytes(entry, 24).expect("mapped").to_vec(), protection)
    }

    fn redirect(&self, names: &[&'static CStr], keep_originals: bool) -> Result<Redirected, PatchError> {
        let wanted: Vec<_> = names
            .iter()
            .map(|&name| Redirection {
                name,
                replacement: replacement as *const () as usize,
            })
            .collect();
        // SAFETY: the library stays loaded during the test, the replacement has the same type, and no
        // other thread calls into this copy of the library.
        unsafe { redirect(&self.object, &wanted, keep_originals) }
    }
}

fn object_of(path: &Path) -> ElfObject {
    let name = CString::new(path.as_os_str().as_bytes()).expect("no NUL in a path");
    // SAFETY: the caller has loaded the object and keeps it so.
    let mut found = unsafe { ElfObject::loaded(|object| object.name() == &*name) };
    assert_eq!(found.len(), 1);
    found.remove(0)
}

extern "C" fn replacement(x: i32) -> i32 {
    x + 500_000
}

fn call_at(address: usize, argument: i32) -> i32 {
    // SAFETY: the tests pass the address of a copied function of the library.
    let function: extern "C" fn(i32) -> i32 = unsafe { std::mem::transmute(address) };
    function(argument)
}

/// Names with what they answer to 7, called directly.
const MOVABLE: [(&CStr, i32); 9] = [
    (c"four", 8),
    (c"five", 9),
    (c"nine", 7 + 0x101),
    (c"relative", 107),
    (c"forward", 12),
    (c"odd", 7 + 0x103),
    (c"odd_short", 16),
    (c"tail", 9),
    (c"recursive", 28),
];

#[test]
fn a_library_stays_the_same_when_its_functions_are_redirected() {
    let host = Host::load_built("redirect-identity", &["-Wl,--build-id=none"]);
    let four = host.object.function(c"four").expect("exported").entry;
    let loaded = code::loaded();
    let library = &loaded.list[loaded.of_code(four).expect("code of the library")];
    let digest = || identity::of_library(library, &mut vec![four, four - 8]).expect("loaded");
    assert!(
        matches!(digest(), LibraryIdentity::Sampled { .. }),
        "without a build id its code counts"
    );
    let before = digest();
    let redirected = host.redirect(&[c"four"], true).expect("it can be moved");
    assert_ne!(host.call("four", 7), 8);
    assert_eq!(digest(), before);
    // SAFETY: the library is loaded, and only this thread calls into it.
    unsafe { redirected.undo() }.expect("nobody changed it since");
    assert_eq!(host.call("four", 7), 8);
    assert_eq!(digest(), before);
}

#[test]
fn a_library_that_is_execute_only_is_refused() {
    // Not enforced by every processor, but said by the library: the linker's option only exists for some.
    let dir = testkit::temp_dir("redirect-execute-only");
    let built = Host::load("redirect-to-copy");
    let mut bytes = std::fs::read(built.object.path()).expect("the library just built");
    let word =
        |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes")) as usize;
    let half = |bytes: &[u8], at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let (table, size, count) = (word(&bytes, 32), half(&bytes, 54), half(&bytes, 56));
    let headers = (0..count).map(|i| table + i * size);
    let code = headers.filter(|&at| bytes[at..at + 4] == [1, 0, 0, 0] && bytes[at + 4] & 1 == 1);
    let code: Vec<usize> = code.collect();
    assert_eq!(code.len(), 1, "one segment has the code");
    bytes[code[0] + 4] = 1;
    let path = dir.path().join("libentries.so");
    std::fs::write(&path, bytes).expect("a copy");
    // SAFETY: the library has no constructor.
    let library = unsafe { Library::new(&path) }.expect("it can be loaded");
    let host = Host {
        library,
        object: object_of(&path),
        _dir: dir,
    };
    for keep_originals in [false, true] {
        let error = host
            .redirect(&[c"recursive"], keep_originals)
            .expect_err("it cannot be read");
        assert!(matches!(error, PatchError::Unreadable(_)), "{error}");
    }
    assert_eq!(host.call("recursive", 7), 28, "as it was");
}

#[test]
fn redirected_functions_lead_to_the_replacement_and_back() {
    let host = Host::load("redirect-movable");
    let names = MOVABLE.map(|(name, _)| name);
    let text = |name: &CStr| name.to_str().expect("ASCII").to_owned();
    let before: Vec<_> = names.iter().map(|name| host.state(name)).collect();
    assert!(
        before
            .iter()
            .all(|(_, p)| *p == Some(libc::PROT_READ | libc::PROT_EXEC))
    );
    for (name, answer) in MOVABLE {
        assert_eq!(host.call(&text(name), 7), answer, "{name:?}");
    }

    let redirected = host.redirect(&names, true).expect("all can be moved");
    for (name, answer) in MOVABLE {
        assert_eq!(host.call(&text(name), 7), 500_007, "{name:?}");
        assert_eq!(
            host.call(&format!("call_{}", text(name)), 7),
            501_007,
            "{name:?} from inside"
        );
        let original = redirected.original(name).expect("kept");
        let answer = match text(name).as_str() {
            // The inner call is redirected like any other: 7 + replacement(6).
            "recursive" => 7 + 500_006,
            // Jumps to `five`, which is redirected too.
            "tail" => 500_007,
            _ => answer,
        };
        assert_eq!(call_at(original, 7), answer, "{name:?} as it was");
    }
    assert_eq!(
        call_at(redirected.original(c"forward").expect("kept"), 0),
        77,
        "the branch taken"
    );
    assert_eq!(
        call_at(redirected.original(c"recursive").expect("kept"), 0),
        0,
        "the branch taken"
    );
    for (name, before) in names.iter().zip(&before) {
        let after = host.state(name);
        assert_ne!(after.0, before.0, "{name:?}");
        assert_eq!(after.1, before.1, "the page of {name:?} is protected again");
    }

    // SAFETY: the library is loaded and nobody else calls into it.
    unsafe { redirected.undo() }
        .map_err(|(_, error)| error)
        .expect("unchanged since");
    for ((name, answer), before) in MOVABLE.into_iter().zip(before) {
        assert_eq!(host.call(&text(name), 7), answer, "{name:?}");
        assert_eq!(host.state(name), before, "{name:?}");
    }
}

#[test]
fn jumps_are_as_short_and_as_whole_as_they_can_be() {
    let host = Host::load("redirect-shapes");
    let _redirected = host
        .redirect(&[c"four", c"odd", c"odd_short"], false)
        .expect("room");
    assert_eq!(
        host.state(c"four").0[0],
        0xe9,
        "in one aligned word: the near jump"
    );
    assert_eq!(
        &host.state(c"odd").0[..6],
        [0xff, 0x25, 0, 0, 0, 0],
        "straddles, and has room: the far jump"
    );
    assert_eq!(
        host.state(c"odd_short").0[0],
        0xe9,
        "straddles, and has no room: the near jump"
    );
    assert_eq!(host.call("call_odd", 1), 501_001);
    assert_eq!(host.call("call_odd_short", 1), 501_001);
}

#[test]
fn what_cannot_be_redirected_is_refused_and_nothing_changed() {
    let host = Host::load("redirect-refused");
    let refused = |names: &[&'static CStr], keep: bool| {
        let before: Vec<_> = names
            .iter()
            .map(|name| host.object.function(name).map(|_| host.state(name)))
            .collect();
        let error = host.redirect(names, keep).expect_err("refused");
        let after: Vec<_> = names
            .iter()
            .map(|name| host.object.function(name).map(|_| host.state(name)))
            .collect();
        assert_eq!(before, after, "nothing changed");
        error
    };
    for name in [c"cramped", c"cramped_unseen", c"cramped_trap", c"before_named"] {
        let error = refused(&[c"nine", name], false);
        assert!(
            matches!(&error, PatchError::NoRoom { room: 4, .. }),
            "{name:?}: {error}"
        );
    }
    let error = refused(&[c"four", c"absent"], false);
    assert_eq!(error.to_string(), "absent is not there");
    let error = refused(&[c"four", c"leaves"], false);
    assert!(
        matches!(
            error,
            PatchError::AlreadyRedirected {
                to: 0x1122_3344_5566_7788,
                ..
            }
        ),
        "{error}"
    );

    let moved = |error: PatchError| match error {
        PatchError::CannotMove { source, .. } => source,
        other => panic!("{other}"),
    };
    let back = moved(refused(&[c"four", c"loop_back"], true));
    assert_eq!(back, CannotMove::BranchBack { from: 6, to: 2 });
    let entry = moved(refused(&[c"four", c"loop_entry"], true));
    assert_eq!(entry, CannotMove::BranchBack { from: 7, to: 0 });
    assert_eq!(moved(refused(&[c"calls_first"], true)), CannotMove::Call(4));
    assert_eq!(moved(refused(&[c"runs_on"], true)), CannotMove::TooShort(4));
    // The same can be replaced whole, when nobody wants to call them.
    let redirected = host.redirect(&[c"loop_back", c"loop_entry", c"calls_first", c"runs_on"], false);
    assert_eq!(redirected.expect("room").original(c"loop_back"), None);
    assert_eq!(host.call("call_loop_entry", 1), 501_001);
}

#[test]
fn an_entry_redirected_by_another_is_refused() {
    let host = Host::load("redirect-twice");
    let first = host.redirect(&[c"four", c"odd"], true).expect("first");
    for name in [c"four", c"odd"] {
        let error = host
            .redirect(&[c"nine", name], false)
            .expect_err("redirected already");
        assert!(matches!(error, PatchError::AlreadyRedirected { .. }), "{error}");
    }
    assert_eq!(
        host.call("nine", 0),
        0x101,
        "nothing of the second set was changed"
    );

    let replaced = host.redirect(&[c"five"], false).expect("another function");
    // Somebody else changes the entry afterwards: we do not put back what would undo their change.
    let entry = host.object.function(c"four").expect("exported").entry;
    let page = entry & !4095;
    // SAFETY: the page of `entry`, which nothing executes now; the byte is put back below.
    let poke = |byte: u8| unsafe {
        let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        assert_eq!(libc::mprotect(page as *mut _, 4096, all), 0);
        let old = std::ptr::replace(entry as *mut u8, byte);
        assert_eq!(
            libc::mprotect(page as *mut _, 4096, libc::PROT_READ | libc::PROT_EXEC),
            0
        );
        old
    };
    let ours = poke(0xcc);
    // SAFETY: the library is loaded and nobody else calls into it.
    let (first, error) = unsafe { first.undo() }.expect_err("changed");
    assert!(
        matches!(&error, PatchError::Changed(name) if name == "four"),
        "{error}"
    );
    assert_eq!(host.call("odd", 1), 500_001, "none of the set was put back");
    poke(ours);
    // SAFETY: as above.
    unsafe { first.undo() }
        .map_err(|(_, error)| error)
        .expect("as it was left");
    // SAFETY: as above.
    unsafe { replaced.undo() }
        .map_err(|(_, error)| error)
        .expect("as it was left");
    assert_eq!(host.call("call_four", 1), 1002);
    assert_eq!(host.call("call_five", 1), 1003);
}

#[test]
fn jumps_disassemble_as_meant() {
    use lean_region::redirect::encode_x86_64::{absolute_jump, near_jump};
    let dir = testkit::temp_dir("redirect-objdump");
    let file = dir.path().join("code.bin");
    let objdump = testkit::process::which("objdump").expect("objdump (Debian: apt-get install binutils)");
    let disassemble = |code: &[u8]| {
        std::fs::write(&file, code).expect("temporary file");
        let mut command = std::process::Command::new(&objdump);
        command
            .args(["-D", "-b", "binary", "-m", "i386:x86-64", "--adjust-vma=0x5000"])
            .arg(&file);
        String::from_utf8(command.output().expect("objdump runs").stdout).expect("text")
    };
    let near = disassemble(&near_jump(0x5000, 0x1_2345).expect("near"));
    assert!(
        near.lines()
            .any(|l| l.contains("e9 40 d3 00 00") && l.contains("jmp") && l.ends_with("0x12345")),
        "{near}"
    );
    let far = disassemble(&absolute_jump(usize::MAX / 3));
    let indirect = |l: &str| {
        l.contains("ff 25 00 00 00 00") && l.contains("jmp    *0x0(%rip)") && l.ends_with("# 0x5006")
    };
    assert!(far.lines().any(indirect), "{far}");
}
