//! What mode compare found: counts and the first difference. Atomics and no locks: calls come from several threads, and
//! the process may end at any moment.

use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use crate::os::notes;
use crate::os::stderr::complain;

/// A call whose outcome is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// `lean_compacted_region_save`.
    Save,
    /// `lean_compacted_region_read`.
    Read,
}

/// What two loaders did differently.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// In which call.
    pub call: Call,
    /// The file that was saved or read.
    pub file: String,
    /// The file that the host wrote in its place, which was kept.
    pub host_file: Option<String>,
    /// What differs.
    pub detail: String,
}

struct Counts {
    equal: AtomicU64,
    different: AtomicU64,
}

impl Counts {
    const fn new() -> Self {
        Self {
            equal: AtomicU64::new(0),
            different: AtomicU64::new(0),
        }
    }
}

static SAVES: Counts = Counts::new();
static READS: Counts = Counts::new();
static NOT_COMPARED: AtomicU64 = AtomicU64::new(0);
/// Null or leaked, never changed.
static FIRST: AtomicPtr<Finding> = AtomicPtr::new(ptr::null_mut());

impl Call {
    /// The call as the report names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Save => "save",
            Self::Read => "read",
        }
    }

    fn counts(self) -> &'static Counts {
        match self {
            Self::Save => &SAVES,
            Self::Read => &READS,
        }
    }
}

/// Counts a call in which both did the same.
pub fn equal(call: Call) {
    call.counts().equal.fetch_add(1, Ordering::Relaxed);
}

/// Counts a call in which they did not, and says so in one line on stderr.
pub fn different(finding: Finding) {
    finding.call.counts().different.fetch_add(1, Ordering::Relaxed);
    let kept = match &finding.host_file {
        Some(path) => format!("; the host's file is kept as '{path}'"),
        None => String::new(),
    };
    complain(&format!(
        "compare: {} of '{}' differs from the host's: {}{kept}",
        finding.call.name(),
        finding.file,
        finding.detail
    ));
    let new = Box::into_raw(Box::new(finding));
    if FIRST
        .compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Relaxed)
        .is_err()
    {
        // SAFETY: the box made above, which nobody else has seen.
        drop(unsafe { Box::from_raw(new) });
    }
}

/// Counts a call that the host's loader could not be given, and notes why.
pub fn not_compared(file: &str, why: &str) {
    NOT_COMPARED.fetch_add(1, Ordering::Relaxed);
    notes::add(Path::new(file), format!("not compared: {why}"));
}

/// What a forked child begins with. Stores only.
pub(super) fn reset() {
    for counts in [&SAVES, &READS] {
        counts.equal.store(0, Ordering::Relaxed);
        counts.different.store(0, Ordering::Relaxed);
    }
    NOT_COMPARED.store(0, Ordering::Relaxed);
    FIRST.store(ptr::null_mut(), Ordering::Relaxed);
}

/// Whether any call had different outcomes.
pub(super) fn any_different() -> bool {
    [&SAVES, &READS]
        .iter()
        .any(|c| c.different.load(Ordering::Relaxed) > 0)
}

/// What was found so far.
pub(super) struct Verdict {
    /// Saves with equal and with different outcomes.
    pub saves: (u64, u64),
    /// Reads with equal and with different outcomes.
    pub reads: (u64, u64),
    /// Calls that were not compared.
    pub not_compared: u64,
    /// The first difference.
    pub first: Option<&'static Finding>,
}

/// What was found so far.
pub(super) fn now() -> Verdict {
    let number = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let counts = |c: &Counts| (number(&c.equal), number(&c.different));
    Verdict {
        saves: counts(&SAVES),
        reads: counts(&READS),
        not_compared: number(&NOT_COMPARED),
        // SAFETY: null, or leaked complete and never changed (`different`).
        first: unsafe { FIRST.load(Ordering::Acquire).as_ref() },
    }
}
