//! The report: what was attached to and what the loader did, as one line of JSON, and the file it is written to.

use std::ffi::CString;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::mode::Mode;
use super::process::process_id;
use super::{attachment, verdict};
use crate::host::Host;
use crate::os::counters::{self, Counts};
use crate::os::limits::mapping_counts;
use crate::os::new_file::{NewFile, WriteStep};
use crate::os::stderr::complain;
use crate::os::{image_use, notes, saved_files};

/// Writes the report to `path`, in which `%p` stands for the process id; says so on stderr if it cannot be written.
///
/// # Safety
/// As [`json`].
pub(super) unsafe fn write(path: &Path) {
    let path = expand(path);
    // SAFETY: passed on from the caller.
    if let Err(error) = replace(&path, &unsafe { json() }) {
        complain(&format!(
            "the report '{}' cannot be written: {error}",
            path.display()
        ));
    }
}

fn expand(path: &Path) -> PathBuf {
    let mut bytes = path.as_os_str().as_bytes().to_vec();
    let id = std::process::id().to_string();
    while let Some(at) = bytes.windows(2).position(|w| w == b"%p") {
        bytes.splice(at..at + 2, id.bytes());
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// Puts `text` into the file `path` as a whole. What is no regular file, such as a terminal, a pipe or `/dev/null`, stays
/// what it is, and the text is written into it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let target = CString::new(path.as_os_str().as_bytes())?;
    match NewFile::write(&target, &[text.as_bytes()]).and_then(NewFile::publish) {
        Err((WriteStep::Target, _)) => {
            // A pipe that nobody reads must not keep the process from ending.
            let mut options = std::fs::OpenOptions::new();
            options
                .write(true)
                .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
            let mut file = options.open(path)?;
            // SAFETY: changes the descriptor of `file` alone; one that is read waits for its reader.
            unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, 0) };
            file.write_all(text.as_bytes())
        }
        written => written.map_err(|(_, error)| error),
    }
}

/// The report as of now: one line of JSON with a line end.
///
/// # Safety
/// The host is asked for its version, for which it may have to allocate: it can do so on this thread.
#[must_use]
pub unsafe fn json() -> String {
    let attachment = attachment::current();
    let mode = attachment.map_or(Mode::Off, |a| a.mode);
    let mut out = String::with_capacity(1024);
    // Writing to a string does not fail.
    let _ = write!(
        out,
        r#"{{"schema":1,"pid":{},"mode":"{}","host":"#,
        process_id(),
        mode.name()
    );
    // SAFETY: passed on from the caller.
    unsafe { push_host(&mut out) };
    out.push_str(r#","attached":"#);
    let names = attachment.map_or(&[][..], |a| &a.names);
    push_list(&mut out, names, |out, name| {
        push_string(out, &name.to_string_lossy())
    });
    push_counts(&mut out);
    if mode == Mode::Compare {
        push_verdict(&mut out);
    }
    push_image(&mut out);
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

/// # Safety
/// As [`json`].
unsafe fn push_host(out: &mut String) {
    let Ok(host) = Host::get() else {
        return out.push_str("null");
    };
    // SAFETY: passed on from the caller.
    let identity = unsafe { host.file_identity() };
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

/// The member `compare` of the report, with its comma.
fn push_verdict(out: &mut String) {
    let verdict = verdict::now();
    // Writing to a string does not fail.
    let _ = write!(
        out,
        r#","compare":{{"saves_equal":{},"saves_different":{},"reads_equal":{},"reads_different":{},"not_compared":{},"first_difference":"#,
        verdict.saves.0, verdict.saves.1, verdict.reads.0, verdict.reads.1, verdict.not_compared,
    );
    match verdict.first {
        None => out.push_str("null"),
        Some(first) => {
            let _ = write!(out, r#"{{"call":"{}","file":"#, first.call.name());
            push_string(out, &first.file);
            out.push_str(r#","host_file":"#);
            match &first.host_file {
                None => out.push_str("null"),
                Some(path) => push_string(out, path),
            }
            out.push_str(r#","detail":"#);
            push_string(out, &first.detail);
            out.push('}');
        }
    }
    out.push('}');
}

/// The image that the user named: how it was used, or why not. There is no such member without one.
fn push_image(out: &mut String) {
    let Some(named) = image_use::named() else { return };
    out.push_str(r#","image":{"file":"#);
    push_string(out, &named.file.to_string_lossy());
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let _ = write!(
        out,
        r#","regions":{},"served":{},"stale":{},"absent":{},"reason":"#,
        named.regions,
        count(&image_use::SERVED),
        count(&image_use::STALE),
        count(&image_use::ABSENT)
    );
    match &named.reason {
        None => out.push_str("null"),
        Some(reason) => push_string(out, reason),
    }
    out.push('}');
}

/// What `olean ab` compares and measures beside the counts.
fn push_files_and_process(out: &mut String) {
    out.push_str(r#","saved":"#);
    push_list(out, &saved_files::all(), |out, file| {
        push_string(out, &file.to_string_lossy())
    });
    let number = |n: Option<usize>| n.map_or("null".to_owned(), |n| n.to_string());
    let (mappings, limit) = match attachment::current().and_then(|a| a.report.as_ref()) {
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
fn push_string(out: &mut String, text: &str) {
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
    use std::fs;

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
        // SAFETY: the embedded runtime can allocate anywhere.
        let text = unsafe { json() };
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
