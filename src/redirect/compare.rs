//! What stands in for the host's loader functions in mode compare: each call is served by ours, then given to the
//! host's own function, and both outcomes are compared. Ours is what the caller gets. Our own entry points lie in a
//! layer above and are given to [`table`].
//!
//! No lock is held while the host's function runs, and an exception of the host's passes through, as it would
//! without us; then our result is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::attach::{Entry, FREE, READ, SAVE};
use super::observe::{KEPT, host_function};
use super::verdict::{self, Call, Finding};
use crate::compare::files::{self, PartBases};
use crate::compare::objects::Difference;
use crate::compare::regions::{self, Side};
use crate::compare::{errors, objects};
use crate::host::Host;
use crate::object::Obj;
use crate::os::panics;
use crate::region::calls;
use crate::region::chain::Chain;
use crate::region::twin::Twin;

type SaveFn = unsafe extern "C-unwind" fn(Obj, Obj, Obj, Obj, Obj, u8) -> Obj;
type ReadFn = unsafe extern "C-unwind" fn(Obj, Obj) -> Obj;
type FreeFn = unsafe extern "C-unwind" fn(Obj) -> Obj;

/// What serves each call: the entry points of this library, with their arguments and contracts.
#[derive(Clone, Copy, Debug)]
pub struct Ours {
    /// `lean_compacted_region_save`.
    pub save: unsafe fn(Obj, Obj, Obj, Obj, Obj, u8) -> Obj,
    /// `lean_compacted_region_read`.
    pub read: unsafe fn(Obj, Obj) -> Obj,
    /// `lean_compacted_region_free`.
    pub free: unsafe fn(Obj) -> Obj,
}

/// Set once, before the host's functions lead here.
static OURS: OnceLock<Ours> = OnceLock::new();

/// The stand-ins of mode compare, for hosts of the structure generation; they have `ours` serve.
#[must_use]
pub fn table(ours: Ours) -> Vec<Entry> {
    OURS.get_or_init(|| ours);
    vec![
        (SAVE, save as SaveFn as usize),
        (READ, read as ReadFn as usize),
        (FREE, free as FreeFn as usize),
    ]
}

fn ours() -> &'static Ours {
    OURS.get().expect("set when the table was made")
}

/// Tag of an IO result that is a value.
const TAG_OK: u8 = 0;

/// An IO result as what it says: the value or the text of the error, both borrowed.
enum Outcome {
    Value(Obj),
    Failure(String),
}

/// # Safety
/// `result` is an IO result of one field; an error is `IO.userError`.
unsafe fn outcome(result: Obj) -> Outcome {
    // SAFETY: an IO result has a field, and a user error has one, which is a string.
    unsafe {
        match result.kind().tag {
            TAG_OK => Outcome::Value(result.field(0)),
            _ => {
                let error = result.field(0);
                let text = if error.is_scalar() {
                    None
                } else {
                    text(error.field(0))
                };
                Outcome::Failure(text.unwrap_or_else(|| "an error without a text".to_owned()))
            }
        }
    }
}

/// The text of a string object; `None` if it is something else.
///
/// # Safety
/// `string` is a scalar or a live object.
unsafe fn text(string: Obj) -> Option<String> {
    // SAFETY: a live object's header may be read; a live string is not changed meanwhile.
    let bytes = unsafe {
        if string.is_scalar() || string.kind().tag != olean_reader::format::object::TAG_STRING {
            return None;
        }
        string.string_bytes()
    };
    let (_, text) = bytes.split_last()?;
    String::from_utf8(text.to_vec()).ok()
}

/// Compares without letting a panic out: a failure of the comparison itself counts as a difference. In a save that is
/// `racy`, as other threads may have changed references between the two loaders' looks at them, a difference says
/// nothing.
fn judge(call: Call, file: &str, racy: bool, compare: impl FnOnce() -> Result<(), Finding>) {
    let judged = panics::caught(|| match compare() {
        Ok(()) => verdict::equal(call),
        Err(finding) if racy => {
            if let Some(theirs) = &finding.host_file {
                // Nobody needs it. If it stays, it is one file too many.
                let _ = fs::remove_file(theirs);
            }
            verdict::not_compared(
                file,
                "it holds references that other threads may have changed between the two saves",
            );
        }
        Err(finding) => verdict::different(finding),
    });
    if let Err(detail) = judged {
        verdict::different(finding(call, file, detail));
    }
}

fn finding(call: Call, file: &str, detail: impl Into<String>) -> Finding {
    Finding {
        call,
        file: file.to_owned(),
        host_file: None,
        detail: detail.into(),
    }
}

/// Both failures, or one outcome against another kind, in words.
fn other_outcome(call: Call, file: &str, ours: &Outcome, host: &Outcome) -> Option<Finding> {
    let detail = match (ours, host) {
        (Outcome::Value(_), Outcome::Value(_)) => return None,
        (Outcome::Failure(a), Outcome::Failure(b)) if errors::agree(a, b, file) => return None,
        (Outcome::Failure(a), Outcome::Failure(b)) => {
            format!("both fail, for different reasons: ours \"{a}\", the host \"{b}\"")
        }
        (Outcome::Failure(a), Outcome::Value(_)) => format!("ours fails, the host does not: \"{a}\""),
        (Outcome::Value(_), Outcome::Failure(b)) => format!("the host fails, ours does not: \"{b}\""),
    };
    Some(finding(call, file, detail))
}

/// The name under which the host saves what ours saves as `file`.
fn host_file(file: &str) -> String {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    format!("{file}.host.{}.{serial}", std::process::id())
}

unsafe extern "C-unwind" fn save(
    fname: Obj,
    key: Obj,
    data: Obj,
    deps: Obj,
    prev: Obj,
    allow_closures: u8,
) -> Obj {
    // SAFETY: called like the host's function, so the arguments are live objects or scalars. `prev` is an option,
    // whose value is a compactor that it keeps alive; it is consumed by our own function and not used after.
    let (host, file, chained, twin) = unsafe {
        let host = Host::get().ok();
        let chained = !prev.is_scalar();
        let twin = host
            .filter(|_| chained)
            .and_then(|host| Chain::take_twin(prev.field(0), host));
        (host, text(fname), chained, twin)
    };
    // SAFETY: our entry point, with the arguments that were meant for the host's function of the same contract.
    let ours = unsafe { (ours().save)(fname, key, data, deps, prev, allow_closures) };
    let (Some(host), Some(file)) = (host, file) else {
        return ours;
    };
    if chained && twin.is_none() {
        verdict::not_compared(&file, "the host has no compactor for the parts before this one");
        return ours;
    }
    let sibling = host_file(&file);
    let (compactor, mut parts) = match twin {
        Some(twin) => (Some(twin.compactor), twin.parts),
        None => (None, Vec::new()),
    };
    // SAFETY: as our caller called its function, with another file name and the host's own compactor; the name is
    // released after the call, which borrows it, and the option is consumed.
    let theirs = unsafe {
        let name = host.mk_string(&sibling);
        let prev = compactor.map_or(Obj::UNIT, |compactor| host.mk_some(compactor));
        let theirs = host_function::<SaveFn>(SAVE).expect(KEPT)(name, key, data, deps, prev, allow_closures);
        host.dec(name);
        theirs
    };
    // SAFETY: what both returned.
    let (a, b) = unsafe { (outcome(ours), outcome(theirs)) };
    let b = match b {
        Outcome::Failure(text) => Outcome::Failure(text.replace(&sibling, &file)),
        value => value,
    };
    // SAFETY: of a save that succeeded, our compactor, which is alive.
    let racy = matches!(a, Outcome::Value(ours) if unsafe { Chain::met_shared_references(ours, host) });
    judge(Call::Save, &file, racy, || {
        if let Some(finding) = other_outcome(Call::Save, &file, &a, &b) {
            return Err(finding);
        }
        match b {
            Outcome::Value(_) => saved_files(&file, &sibling, &mut parts),
            Outcome::Failure(_) => Ok(()),
        }
    });
    // SAFETY: the results' values are compactors; the host's gets an owner of its own, or goes with the result.
    unsafe {
        if let (Outcome::Value(ours), Outcome::Value(compactor)) = (a, outcome(theirs)) {
            host.inc(compactor);
            Chain::set_twin(ours, host, Twin { compactor, parts });
        }
        host.dec(theirs);
    }
    ours
}

/// Compares two files that were saved and removes the host's if they are the same.
fn saved_files(file: &str, sibling: &str, parts: &mut Vec<PartBases>) -> Result<(), Finding> {
    let content = |path: &str| {
        fs::read(path).map_err(|e| finding(Call::Save, file, format!("'{path}' cannot be read back: {e}")))
    };
    let (ours, host) = (content(file)?, content(sibling)?);
    if let Some(difference) = files::compare(&ours, &host, parts) {
        let absolute = std::path::absolute(sibling).unwrap_or_else(|_| PathBuf::from(sibling));
        return Err(Finding {
            host_file: Some(absolute.to_string_lossy().into_owned()),
            ..finding(Call::Save, file, difference.to_string())
        });
    }
    parts.extend(PartBases::of(&ours, &host));
    fs::remove_file(Path::new(sibling))
        .map_err(|e| finding(Call::Save, file, format!("'{sibling}' cannot be removed: {e}")))
}

unsafe extern "C-unwind" fn read(fname: Obj, deps: Obj) -> Obj {
    // SAFETY: our entry point, with the arguments that were meant for the host's function of the same contract.
    let ours = unsafe { (ours().read)(fname, deps) };
    // SAFETY: the caller's string, and what our function returned.
    let (Ok(host), Some(file), a) = (unsafe { (Host::get(), text(fname), outcome(ours)) }) else {
        return ours;
    };
    if let Outcome::Failure(text) = &a
        && !errors::host_refuses_too(text, &file)
    {
        verdict::not_compared(
            &file,
            &format!("the host's reader does not check for this: {text}"),
        );
        return ours;
    }
    // SAFETY: the host's own function, called as our caller called it. Our regions are structures of the host's
    // layout, which is all that it knows of the ones it returned itself.
    let theirs = unsafe { host_function::<ReadFn>(READ).expect(KEPT)(fname, deps) };
    // SAFETY: what the host returned.
    let b = unsafe { outcome(theirs) };
    judge(Call::Read, &file, false, || {
        // SAFETY: the arguments are the caller's, the outcomes those of the two calls, both still alive.
        unsafe { compare_reads(host, &file, fname, deps, &a, &b) }
    });
    // SAFETY: nobody uses the host's region any more; its structure is owned by a count of its own when the result
    // that held it goes, and consumed by the host's own function.
    unsafe {
        let region = match b {
            Outcome::Value(pair) => Some(pair.field(1)),
            Outcome::Failure(_) => None,
        };
        region.into_iter().for_each(|region| host.inc(region));
        host.dec(theirs);
        if let Some(region) = region {
            host.dec(host_function::<FreeFn>(FREE).expect(KEPT)(region));
        }
    }
    ours
}

/// # Safety
/// `a` and `b` are the outcomes of reading the file `fname` with `deps`, by ours and by the host's function; their
/// regions are alive.
unsafe fn compare_reads(
    host: &Host,
    file: &str,
    fname: Obj,
    deps: Obj,
    a: &Outcome,
    b: &Outcome,
) -> Result<(), Finding> {
    if let (Outcome::Value(_), Outcome::Failure(_)) = (a, b) {
        // The host has to relocate what lies mapped in our region, and sees pointers that ours did not look at.
        // SAFETY: both objects are alive, by the contract.
        let relocated = unsafe { calls::relocate_only(host, fname, deps) };
        let relocated = match relocated {
            Ok(()) => Outcome::Value(Obj::UNIT),
            Err(e) => Outcome::Failure(e.to_string()),
        };
        return other_outcome(Call::Read, file, &relocated, b).map_or(Ok(()), Err);
    }
    if let Some(finding) = other_outcome(Call::Read, file, a, b) {
        return Err(finding);
    }
    let (Outcome::Value(ours), Outcome::Value(theirs)) = (a, b) else {
        return Ok(());
    };
    // SAFETY: values of reading are pairs of root and region, which are alive.
    let difference = unsafe {
        match (side(host, *ours), side(host, *theirs)) {
            (Some((ours, mine)), Some((theirs, names))) => regions::compare(&ours, &theirs).or_else(|| {
                (mine != names).then(|| objects::Difference {
                    offset: 0,
                    detail: format!("the region's file name: ours {mine:?}, the host's {names:?}"),
                })
            }),
            _ => Some(Difference {
                offset: 0,
                detail: "a result that is no pair of root and region".to_owned(),
            }),
        }
    };
    difference.map_or(Ok(()), |d| Err(finding(Call::Read, file, d.to_string())))
}

/// The region in a pair of root and region, and its file name.
///
/// # Safety
/// `pair` is such a pair, and the region alive as long as the result.
unsafe fn side<'a>(host: &Host, pair: Obj) -> Option<(Side<'a>, Option<String>)> {
    // SAFETY: a pair has two fields; the structure describes the live region's memory, which nobody writes: our
    // caller does not know it yet.
    unsafe {
        let facts = host.read_region_structure(pair.field(1))?;
        let side = Side {
            bytes: std::slice::from_raw_parts(facts.buffer as *const u8, facts.size),
            root: pair.field(0).0,
            base: facts.base,
        };
        let same_root = facts.root == pair.field(0);
        same_root.then(|| (side, text(host.region_file_path(pair.field(1)))))
    }
}

unsafe extern "C-unwind" fn free(region: Obj) -> Obj {
    // The host's copy was released when it had been compared.
    // SAFETY: our entry point, with the argument that was meant for the host's function of the same contract.
    unsafe { (ours().free)(region) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_that_another_thread_may_have_made_counts_as_not_compared() {
        let dir = testkit::temp_dir("racy");
        let theirs = dir.path().join("a.olean.host.1.0");
        let before = verdict::now();
        for racy in [true, false] {
            fs::write(&theirs, "x").expect("a file");
            judge(Call::Save, "a.olean", racy, || {
                Err(Finding {
                    host_file: Some(theirs.to_string_lossy().into_owned()),
                    ..finding(Call::Save, "a.olean", "a word")
                })
            });
            assert_eq!(theirs.exists(), !racy, "what nobody has to look at is removed");
        }
        judge(Call::Save, "a.olean", true, || Ok(()));
        let now = verdict::now();
        assert_eq!(now.not_compared - before.not_compared, 1);
        assert_eq!(now.saves.1 - before.saves.1, 1);
        assert_eq!(now.saves.0 - before.saves.0, 1, "what is equal is equal");
    }
}
