//! The report: what was attached to and what the loader did, as JSON; written to `LEAN_REGION_REPORT` when
//! an attached process ends, however it ends.

use std::ffi::CStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};

use super::attach::complain;
use super::mode::Mode;
use super::verdict;
use crate::host::Host;
use crate::os::counters::{self, Counts};
use crate::os::map::mapping_counts;
use crate::os::{env, notes, saved_files};

/// `%p` in the value stands for the process id.
const VARIABLE: &str = "LEAN_REGION_REPORT";

/// What an attached process is.
struct Attachment {
    mode: Mode,
    names: Vec<&'static CStr>,
    report: Option<PathBuf>,
}

/// Null while detached. Never freed: read at exit without a lock.
static ATTACHMENT: AtomicPtr<Attachment> = AtomicPtr::new(ptr::null_mut());
/// The process that the counters belong to. A child that shares memory with it (vfork) has another id.
static OWNER: AtomicI32 = AtomicI32::new(0);
/// Whether that is a forked child of the process that attached.
static FORKED: AtomicBool = AtomicBool::new(false);
static WRITTEN: AtomicBool = AtomicBool::new(false);

/// Notes that the process is attached now. Answers whether there is something to do when it ends.
pub(super) fn begin(mode: Mode, names: Vec<&'static CStr>) -> bool {
    static FORK_HANDLER: Once = Once::new();
    // SAFETY: the handler does nothing but atomic stores and getpid, which a forked child may.
    FORK_HANDLER.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(after_fork));
    });
    let report = env::var(VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
    // The process may change its directory.
    let report = report.map(|path| std::path::absolute(&path).unwrap_or(path));
    saved_files::keep(report.is_some());
    let strict = mode == Mode::Compare && verdict::begin();
    let wanted = report.is_some() || strict;
    OWNER.store(process_id(), Ordering::Relaxed);
    ATTACHMENT.store(
        Box::into_raw(Box::new(Attachment { mode, names, report })),
        Ordering::Release,
    );
    wanted
}

/// Notes that the process is no longer attached.
pub(super) fn end() {
    ATTACHMENT.store(ptr::null_mut(), Ordering::Release);
}

fn attachment() -> Option<&'static Attachment> {
    // SAFETY: null or leaked by `begin`, complete and never changed.
    unsafe { ATTACHMENT.load(Ordering::Acquire).as_ref() }
}

fn process_id() -> i32 {
    // SAFETY: has no requirements.
    unsafe { libc::getpid() }
}

/// Whether this is the process that attached or a forked child, and no child that shares its memory.
pub(super) fn owns_process() -> bool {
    OWNER.load(Ordering::Relaxed) == process_id()
}

unsafe extern "C" fn after_fork() {
    counters::reset();
    notes::reset();
    saved_files::reset();
    verdict::reset();
    OWNER.store(process_id(), Ordering::Relaxed);
    FORKED.store(true, Ordering::Relaxed);
    WRITTEN.store(false, Ordering::Relaxed);
}

/// What the host's `_exit` and `_Exit` lead to.
pub(super) extern "C" fn leave(status: i32) -> ! {
    write_at_exit();
    // SAFETY: what the caller asked for.
    unsafe { libc::_exit(verdict::exit_status(status)) }
}

/// Writes the report of an attached process that ends, once. Takes no lock of this library's. Does
/// nothing in a process that shares memory with the attached one, and nothing in a forked child that
/// never called the loader.
pub fn write_at_exit() {
    let Some(attachment) = attachment() else { return };
    let Some(path) = &attachment.report else { return };
    let called = [&counters::SAVE, &counters::READ, &counters::FREE]
        .iter()
        .any(|c| c.counts().calls > 0);
    if !owns_process() || FORKED.load(Ordering::Relaxed) && !called || WRITTEN.swap(true, Ordering::Relaxed) {
        return;
    }
    // A panic must neither cross into C nor keep the process from ending.
    let _ = catch_unwind(|| {
        let path = expand(path);
        if let Err(error) = replace(&path, &json()) {
            complain(&format!(
                "the report '{}' cannot be written: {error}",
                path.display()
            ));
        }
    });
}

fn expand(path: &Path) -> PathBuf {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = path.as_os_str().as_bytes().to_vec();
    let id = std::process::id().to_string();
    while let Some(at) = bytes.windows(2).position(|w| w == b"%p") {
        bytes.splice(at..at + 2, id.bytes());
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// Puts `text` into the file `path` as a whole.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".tmp.{}", std::process::id()));
    let temporary = PathBuf::from(name);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&temporary, path));
    written.inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// The report as of now: one line of JSON with a line end.
///
/// The host is asked for its version, for which it may allocate.
#[must_use]
pub fn json() -> String {
    let attachment = attachment();
    let mode = attachment.map_or(Mode::Off, |a| a.mode);
    let mut out = String::with_capacity(1024);
    // Writing to a string does not fail.
    let _ = write!(
        out,
        r#"{{"schema":1,"pid":{},"mode":"{}","host":"#,
        process_id(),
        mode.name()
    );
    push_host(&mut out);
    out.push_str(r#","attached":"#);
    let names = attachment.map_or(&[][..], |a| &a.names);
    push_list(&mut out, names, |out, name| {
        push_string(out, &name.to_string_lossy())
    });
    push_counts(&mut out);
    if mode == Mode::Compare {
        verdict::push_json(&mut out);
    }
    push_files_and_process(&mut out);
    out.push_str(r#","notes":"#);
    let (notes, noted) = notes::all();
    push_list(&mut out, &notes, |out, note| {
        push_note(out, &note.file, &note.reason)
    });
    if noted > notes::MAX {
        out.pop();
        out.push(',');
        push_note(
            &mut out,
            "",
            &format!("{} more notes were not kept", noted - notes::MAX),
        );
        out.push(']');
    }
    out.push_str("}\n");
    out
}

fn push_host(out: &mut String) {
    let Ok(host) = Host::get() else {
        return out.push_str("null");
    };
    let identity = host.file_identity();
    out.push_str(r#"{"library":"#);
    push_string(out, &host.library_path().to_string_lossy());
    let _ = write!(out, r#","abi":"{}","lean_version":"#, host.generation().name());
    push_string(out, &text(&identity.version));
    out.push_str(r#","githash":"#);
    push_string(out, &text(&identity.githash));
    out.push_str(r#","allocator":"#);
    push_string(out, host.allocator_name());
    out.push('}');
}

/// A field of a file's header without its padding.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn push_counts(out: &mut String) {
    let Counts {
        calls,
        errors,
        bytes,
        nanoseconds,
        ..
    } = counters::SAVE.counts();
    let _ = write!(
        out,
        r#","save":{{"calls":{calls},"bytes":{bytes},"ns":{nanoseconds},"errors":{errors}}}"#
    );
    let Counts {
        calls,
        errors,
        bytes,
        nanoseconds,
        mapped,
        mapped_nanoseconds,
        relocated,
    } = counters::READ.counts();
    let _ = write!(
        out,
        r#","read":{{"calls":{calls},"mapped":{mapped},"relocated":{relocated},"bytes":{bytes},"ns":{nanoseconds},"errors":{errors},"mapped_ns":{mapped_nanoseconds}}}"#
    );
    let _ = write!(out, r#","free":{{"calls":{}}}"#, counters::FREE.counts().calls);
}

/// What `olean ab` compares and measures beside the counts.
fn push_files_and_process(out: &mut String) {
    out.push_str(r#","saved":"#);
    push_list(out, &saved_files::all(), |out, file| {
        push_string(out, &file.to_string_lossy())
    });
    let number = |n: Option<usize>| n.map_or("null".to_owned(), |n| n.to_string());
    let (mappings, limit) = match attachment().and_then(|a| a.report.as_ref()) {
        Some(_) => mapping_counts(),
        None => (None, None),
    };
    let _ = write!(
        out,
        r#","process":{{"mappings":{},"max_map_count":{}}}"#,
        number(mappings),
        number(limit)
    );
}

fn push_note(out: &mut String, file: &str, reason: &str) {
    out.push_str(r#"{"file":"#);
    push_string(out, file);
    out.push_str(r#","reason":"#);
    push_string(out, reason);
    out.push('}');
}

fn push_list<T>(out: &mut String, items: &[T], push: impl Fn(&mut String, &T)) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push(out, item);
    }
    out.push(']');
}

/// A JSON string (RFC 8259, section 7).
pub(super) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        let mut out = String::new();
        push_string(&mut out, "a\"b\\c\nd\u{1}é");
        assert_eq!(out, r#""a\"b\\c\nd\u0001é""#);
    }

    #[test]
    fn every_percent_p_is_the_process_id() {
        let id = std::process::id();
        assert_eq!(
            expand(Path::new("/a/%p.%p%d")),
            PathBuf::from(format!("/a/{id}.{id}%d"))
        );
        assert_eq!(expand(Path::new("%")), PathBuf::from("%"));
    }

    #[test]
    fn a_report_replaces_a_file_whole_and_leaves_nothing_behind() {
        let dir = testkit::temp_dir("report");
        let path = dir.path().join("r.json");
        replace(&path, "one").unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        // The target is a directory: the rename fails.
        let taken = dir.path().join("d");
        fs::create_dir(&taken).unwrap();
        assert!(replace(&taken, "three").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file");
        assert!(replace(&dir.path().join("absent/r.json"), "").is_err());
    }

    #[test]
    fn the_report_is_json_with_the_documented_keys_in_order() {
        let text = json();
        let value: testkit::Value = text.parse().unwrap();
        assert_eq!(value["schema"], 1);
        assert_eq!(value["pid"], std::process::id());
        assert_eq!(value["mode"], "off");
        assert_eq!(value["host"]["abi"], "structure");
        let keys = [
            "schema",
            "pid",
            "mode",
            "host",
            "library",
            "abi",
            "lean_version",
            "githash",
            "allocator",
            "attached",
            "save",
            "calls",
            "bytes",
            "ns",
            "errors",
            "read",
            "calls",
            "mapped",
            "relocated",
            "bytes",
            "ns",
            "errors",
            "mapped_ns",
            "free",
            "calls",
            "saved",
            "process",
            "mappings",
            "max_map_count",
            "notes",
        ];
        let mut rest = &text[..];
        for key in keys {
            let quoted = format!("\"{key}\":");
            let at = rest.find(&quoted).unwrap_or_else(|| panic!("{key} in {rest}"));
            rest = &rest[at + quoted.len()..];
        }
    }
}
