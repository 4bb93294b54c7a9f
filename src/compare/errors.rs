//! Whether two loaders failed alike. Our error messages begin with the words of the incumbent, Lean's own loader, and
//! go on with the cause. We also refuse damaged files that the incumbent does not notice and may crash on; those it
//! must not be given.

/// How the incumbent's messages begin about the contents of a file that it has already read into memory. Failures of
/// other kinds it finds before that, as we do.
const READER_WORDS: [&str; 3] = [
    "region_reader: ",
    "library required for closure relocation is not loaded in this process",
    "'unreachable' code was reached",
];
/// Of our messages that begin with the last of [`READER_WORDS`], those of which the incumbent fails in good order
/// too: it looks at pointers and tags one by one, as we do, and stops at the same object. Of a wrong size it notices
/// nothing, and walks on behind the end of the file.
const POINTERS: [&str; 2] = [
    "leads neither into this file nor",
    "cannot be in a file of this version",
];

/// Whether the incumbent's reader, given the file `file` that ours refuses with the text `ours`, fails as well
/// and in good order. It checks neither sizes nor pointers ahead, and a damaged file can make it crash.
#[must_use]
pub fn host_refuses_too(ours: &str, file: &str) -> bool {
    let Some(content) = ours.strip_prefix(&format!("failed to read '{file}': ")) else {
        // The file cannot be opened, or its header is wrong.
        return true;
    };
    let words = READER_WORDS.iter().any(|w| content.starts_with(w));
    words && (!content.starts_with(READER_WORDS[2]) || POINTERS.iter().any(|p| content.contains(p)))
}

/// Whether the two texts of a failed call tell of the same failure: ours begins with the host's. Where the system
/// refused a call, the two need not have asked for the same: it matters only that both failed for what it said, as
/// far as the host tells, which of writing seldom gives a reason.
#[must_use]
pub fn agree(ours: &str, host: &str, file: &str) -> bool {
    let write = format!("failed to write '{file}': ");
    let writing = |text: &str| {
        let cause = text.strip_prefix(&write)?;
        Some(cause.starts_with("failed to create file") || cause.contains(" while "))
    };
    // Of renaming the host tells the system's number and words.
    let numbered = |text: &'_ str| {
        let (number, words) = text.strip_prefix(&write)?.split_once(' ')?;
        number.parse::<u32>().is_ok().then(|| words.to_owned())
    };
    ours.starts_with(host)
        || writing(ours) == Some(true)
            && (writing(host) == Some(true) || numbered(host).is_some_and(|words| ours.contains(&words)))
        || match (reading(ours, file), reading(host, file)) {
            (Some(ours), Some(host)) => host.is_empty() || ours == host,
            _ => false,
        }
}

/// What the system said when it refused to open the file, to tell its size, or to read it; nothing where the text does
/// not say.
fn reading<'a>(text: &'a str, file: &str) -> Option<&'a str> {
    let rest = ["open", "stat", "read"]
        .iter()
        .find_map(|step| text.strip_prefix(&format!("failed to {step} file '{file}'")))?;
    match rest {
        "" => Some(""),
        _ => rest.strip_prefix(": "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_not_given_files_that_it_cannot_refuse() {
        let yes = [
            "failed to open file 'f': No such file or directory",
            "failed to read file 'f', invalid header: the file has 3 bytes and a header has 88",
            "failed to read 'f': region_reader: dep regions have overlapping `base_addr` ranges (0x1 and 0x2)",
            "failed to read 'f': 'unreachable' code was reached: at offset 0x60: the pointer 0x8 leads neither into this \
             file nor into a dependency",
        ];
        let no = [
            "failed to read 'f': the file is truncated: it has 88 bytes and its root should be at 88",
            "failed to read 'f': 'unreachable' code was reached: at offset 0x60: an object with tag 0 says that it has",
            "failed to read 'f': out of memory: 5 bytes for the region are not available",
        ];
        assert!(yes.iter().all(|text| host_refuses_too(text, "f")));
        assert!(!no.iter().any(|text| host_refuses_too(text, "f")));
    }

    #[test]
    fn failures_agree_by_the_hosts_words() {
        let host = "failed to open file 'f': No such file or directory";
        assert!(agree(host, host, "f"));
        assert!(agree(
            "failed to read file 'f', invalid header: x",
            "failed to read file 'f', invalid header",
            "f"
        ));
        assert!(!agree(host, "failed to read file 'f', invalid header", "f"));
        let full = "failed to write 'f': No space left on device while writing; nothing was changed";
        assert!(agree(full, "failed to write 'f': failed to create file", "f"));
        assert!(!agree(
            full,
            "failed to write 'f': Closures cannot be compacted",
            "f"
        ));
        let renamed =
            "failed to write 'f': Operation not permitted while renaming the complete temporary file";
        assert!(agree(
            renamed,
            "failed to write 'f': 1 Operation not permitted",
            "f"
        ));
        assert!(!agree(renamed, "failed to write 'f': 5 Input/output error", "f"));
        let stat = "failed to stat file 'f': Operation not permitted";
        assert!(agree(
            stat,
            "failed to read file 'f': Operation not permitted",
            "f"
        ));
        assert!(agree(stat, "failed to read file 'f'", "f"));
        assert!(!agree(stat, "failed to read file 'f': Input/output error", "f"));
        assert!(!agree(stat, "failed to read file 'f', invalid header", "f"));
        assert!(!agree(
            stat,
            "failed to read file 'g': Operation not permitted",
            "f"
        ));
    }
}
