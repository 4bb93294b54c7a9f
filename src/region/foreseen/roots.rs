//! Directories in which module names begin. A module's base address is made of its name, which is the path of its file
//! from such a directory on. Which directories these are is seen from files that have been read: of a file's path, that
//! tail is the name which gives the base address in its header.

use crate::os::lock::Lock;
use olean_reader::format::base::{ANONYMOUS_HASH, base_address};
use olean_reader::format::name;
use olean_reader::format::room::{NoMemory, collected, push};

/// Directories that are remembered: a process reads the modules of so many packages at most, or does without.
const MOST: usize = 32;
/// Components of a path that are tried as the first one of a name.
const COMPONENTS: usize = 16;
/// So many files in a row that are not where their paths say, and nobody tries any more.
const FAILURES: u32 = 8;

/// How the files of first parts end, and what is behind the module's name in the name that their base address is made of.
const FIRST_PARTS: [(&[u8], &[u8]); 2] = [(b".olean", b""), (b".ir.sig", b"ir")];

struct Roots {
    /// With their last slash.
    roots: Vec<Vec<u8>>,
    /// Files in a row of which no tail of the path was the name.
    failures: u32,
}

static ROOTS: Lock<Roots> = Lock::new(Roots::new());

/// A path of a first part: without its ending, and what stands for that in a name.
fn first_part(path: &[u8]) -> Option<(&[u8], &'static [u8])> {
    FIRST_PARTS
        .iter()
        .find_map(|&(end, behind)| Some((path.strip_suffix(end)?, behind)))
}

/// The base address of the module with this path from a root on, and with `behind` behind its name.
fn base_of(module: &[u8], behind: &[u8]) -> u64 {
    let components = module.split(|&byte| byte == b'/');
    let behind = (!behind.is_empty()).then_some(behind);
    let hash = components
        .chain(behind)
        .fold(ANONYMOUS_HASH, |prefix, c| name::combine(prefix, name::bytes(c)));
    base_address(hash)
}

impl Roots {
    const fn new() -> Self {
        Roots {
            roots: Vec::new(),
            failures: 0,
        }
    }

    /// How long the root is that `path` lies in: the longest one, if one lies in the other.
    fn around(&self, path: &[u8]) -> Option<usize> {
        let around = self.roots.iter().filter(|root| path.starts_with(root));
        around.map(Vec::len).max()
    }

    /// Whether something may be learnt from one more file.
    fn is_open(&self) -> bool {
        self.failures < FAILURES && self.roots.len() < MOST
    }

    /// Remembers in which root a file lies; `None` if that was not to be seen.
    fn learn(&mut self, root: Option<&[u8]>) -> Result<(), NoMemory> {
        const WHAT: &str = "directories of modules";
        self.failures += 1;
        if let Some(root) = root {
            self.failures = 0;
            if !self.roots.iter().any(|known| known == root) {
                let root = collected(root.iter().copied(), WHAT)?;
                push(&mut self.roots, root, WHAT)?;
            }
        }
        Ok(())
    }
}

/// The base address that the file `path` has by its name, if the root that it lies in is known.
pub(super) fn base(path: &[u8]) -> Option<u64> {
    let (module, behind) = first_part(path)?;
    let root = ROOTS.lock().around(module)?;
    Some(base_of(module.get(root..)?, behind))
}

/// Learns from a file's path and its base address.
#[cold]
pub(super) fn learn(path: &[u8], base: u64) {
    let Some((module, behind)) = first_part(path) else {
        return;
    };
    if !ROOTS.lock().is_open() {
        return;
    }
    let root = root_of(module, behind, base);
    // Without memory for it there is no foresight.
    _ = ROOTS.lock().learn(root);
}

/// The root of a module with this path, which has the base address `base`.
fn root_of<'a>(module: &'a [u8], behind: &[u8], base: u64) -> Option<&'a [u8]> {
    let slashes = (0..module.len()).rev().filter(|&i| module[i] == b'/');
    let begins = slashes.map(|slash| slash + 1).chain([0]).take(COMPONENTS);
    let found = begins.map(|begin| module.split_at(begin));
    found
        .filter(|&(_, name)| base_of(name, behind) == base)
        .map(|(root, _)| root)
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_learnt_from_base_addresses() {
        // Header bases of files written by Lean 4.35.0 for modules of these names.
        let (base, ab, irs) = (0x5ad8_1c0d_0000, 0x42fd_2199_0000, 0x7029_e9ba_0000);
        let of = |path: &'static [u8], base| {
            let (module, behind) = first_part(path).expect("a first part");
            root_of(module, behind, base)
        };
        assert_eq!(of(b"/lib/lean/Base.olean", base), Some(&b"/lib/lean/"[..]));
        assert_eq!(of(b"/lib/lean/Base.ir.sig", irs), Some(&b"/lib/lean/"[..]));
        assert_eq!(of(b"/lib/A/B.olean", ab), Some(&b"/lib/"[..]));
        assert_eq!(of(b"A/B.olean", ab), Some(&b""[..]));
        assert_eq!(of(b"/lib/A/B.olean", base), None);
        assert_eq!(first_part(b"/lib/Base.olean.server"), None);
        assert_eq!(first_part(b"snapshot"), None);
        let mut roots = Roots::new();
        assert_eq!(roots.around(b"/lib/A/B"), None);
        for root in [&b"/lib/"[..], b"/lib/deep/", b"/lib/"] {
            roots.learn(Some(root)).expect("memory");
        }
        assert_eq!(roots.roots.len(), 2);
        assert_eq!(roots.around(b"/lib/A/B"), Some(5));
        assert_eq!(roots.around(b"/lib/deep/A"), Some(10));
        assert_eq!(roots.around(b"/library/A"), None);
        assert_eq!(base_of(b"A/B", b""), ab);
        assert_eq!(base_of(b"Base", b"ir"), irs);
    }

    #[test]
    fn after_some_files_that_are_not_named_so_nobody_tries() {
        let mut roots = Roots::new();
        for _ in 1..FAILURES {
            roots.learn(None).expect("memory");
        }
        assert!(roots.is_open());
        roots.learn(Some(b"a/")).expect("memory");
        for _ in 0..FAILURES {
            assert!(roots.is_open(), "one was");
            roots.learn(None).expect("memory");
        }
        assert!(!roots.is_open());
        let mut roots = Roots::new();
        for i in 0..MOST {
            assert!(roots.is_open());
            roots.learn(Some(format!("{i}/").as_bytes())).expect("memory");
        }
        assert!(!roots.is_open());
    }
}
