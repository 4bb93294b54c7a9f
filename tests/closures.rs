//! Closures in version 3 files: saved in one process, loaded and called in another, with the programs in
//! `c-tests/closures`; and files whose libraries are missing, changed, moved, or whose trailers are damaged.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use olean_reader::{self, DepBytes, verify_region};
use testkit::closures::{build_plug, build_program};
use testkit::lean::Options;
use testkit::process::{self, Output};

/// Exit code of the program when the loader answers with an error.
const REFUSED: i32 = 3;
/// What the closures of `program` answer, called with 11.
const RESULTS: [(&str, &str); 4] = [("0", "165"), ("1", "19"), ("2", "167000"), ("3", "165")];

/// The ways to read a file.
const ENVIRONMENTS: [&[(&str, &str)]; 4] = [
    &[],
    &[("LEAN_REGION_FORCE_RELOCATE", "1")],
    &[("LEAN_REGION_VERIFY", "1")],
    &[("LEAN_REGION_FORCE_RELOCATE", "1"), ("LEAN_REGION_VERIFY", "1")],
];

/// The programs and libraries that all tests use.
struct Built {
    dir: PathBuf,
    program: PathBuf,
    plug: PathBuf,
}

static BUILT: LazyLock<Built> = LazyLock::new(|| {
    let dir = testkit::shared_dir("closures");
    let plug = build_plug(&dir.join("libplug.so"), &[]);
    let program = build_program(&dir, "program", &[]);
    Built { dir, program, plug }
});

/// Runs `program COMMAND ARGS...` without any of our variables but `env`.
fn run(program: &Path, command: &str, args: &[&Path], env: &[(&str, &str)]) -> Output {
    let options = env.iter().fold(Options::stock(), |options, (name, value)| {
        options.env(*name, *value)
    });
    process::run(options.apply(Command::new(program).arg(command).args(args)))
}

/// Asserts that the loader refused, and gives its text.
#[track_caller]
fn refusal(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(REFUSED), "{output}");
    output
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("error "))
        .unwrap_or_else(|| panic!("{output}"))
}

/// The lines `word KEY VALUE` of an output.
fn values<'a>(output: &'a Output, word: &str) -> BTreeMap<&'a str, &'a str> {
    let lines = output
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
    lines
        .map(|line| line.split_once(' ').expect("a key and a value"))
        .collect()
}

#[track_caller]
fn assert_results(output: &Output) {
    assert!(output.status.success(), "{output}");
    assert_eq!(values(output, "result"), BTreeMap::from(RESULTS), "{output}");
    assert!(output.stdout.contains("shared 1\n"), "{output}");
}

/// Proves `file`, whose pointers may lead into `deps`.
#[track_caller]
fn assert_verified(file: &Path, deps: &[&Path]) {
    let bytes = |path: &Path| fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let deps: Vec<Vec<u8>> = deps.iter().map(|dep| bytes(dep)).collect();
    let deps: Vec<DepBytes<'_>> = deps.iter().map(|bytes| DepBytes { bytes, name: "" }).collect();
    if let Err(error) = verify_region(&bytes(file), &deps, &olean_reader::Options::default()) {
        panic!("{}: {error}", file.display());
    }
}

#[test]
fn closures_saved_in_one_process_run_in_another() {
    let built = &*BUILT;
    let setting =
        fs::read_to_string("/proc/sys/kernel/randomize_va_space").expect("the setting of the kernel");
    assert_eq!(
        setting.trim(),
        "2",
        "this test needs address space layout randomisation"
    );
    let mut runs = 0;
    for round in 0..5 {
        let file = built.dir.join(format!("across{round}.olean"));
        let saved = run(&built.program, "save", &[&file, &built.plug], &[]).success();
        assert_verified(&file, &[]);
        for i in 0..10 {
            let env = ENVIRONMENTS[i % ENVIRONMENTS.len()];
            let loaded = run(&built.program, "load", &[&file, &built.plug], env);
            assert_results(&loaded);
            let (before, after) = (values(&saved, "base"), values(&loaded, "base"));
            for library in ["program", "liblinked.so", "libplug.so"] {
                assert_ne!(before[library], after[library], "{library}\n{saved}\n{loaded}");
            }
            runs += 1;
        }
    }
    assert_eq!(runs, 50);
}

#[test]
fn padding_of_closures_is_zero_and_objects_are_what_the_incumbent_writes() {
    let built = &*BUILT;
    let file = built.dir.join("padding.olean");
    run(&built.program, "save", &[&file, &built.plug], &[]).success();
    let bytes = fs::read(&file).expect("the file");
    let trailer = Sections::of(&bytes);
    assert_eq!(bytes[5], 3);
    assert_eq!(trailer.closures.len(), 3);
    for offset in &trailer.closures {
        let object = 96 + *offset as usize - 8;
        assert_eq!(bytes[object + 20..object + 24], [0; 4], "padding at {object:#x}");
        assert_eq!(bytes[object + 7], 245);
    }
}

#[test]
fn a_file_without_closures_needs_no_libraries() {
    let built = &*BUILT;
    let file = built.dir.join("without.olean");
    let output = run(&built.program, "without", &[&file], &[]).success();
    assert!(output.stdout.contains("text no closures"), "{output}");
    let bytes = fs::read(&file).expect("the file");
    assert_eq!(bytes[5], 3);
    assert!(bytes.ends_with(&[0; 8]) && bytes.len() == Sections::of(&bytes).at + 8);
    assert_verified(&file, &[]);
}

#[test]
fn closures_are_refused_unless_allowed() {
    let built = &*BUILT;
    let file = built.dir.join("not-allowed.olean");
    let output = run(&built.program, "not-allowed", &[&file], &[]);
    let text = refusal(&output);
    let wanted = format!(
        "failed to write '{}': Closures cannot be compacted (unless explicitly",
        file.display()
    );
    assert!(text.starts_with(&wanted), "{text}");
    assert_nothing_left(&file);
}

/// Neither the file nor a temporary one beside it.
#[track_caller]
fn assert_nothing_left(file: &Path) {
    let name = file.file_name().expect("a file").to_string_lossy().into_owned();
    let entries = fs::read_dir(file.parent().expect("a directory")).expect("the directory");
    let left: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|entry| entry.starts_with(&name))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn code_outside_every_library_is_refused_with_arity_and_address() {
    let built = &*BUILT;
    for kind in ["code", "data", "wild"] {
        let file = built.dir.join(format!("outside-{kind}.olean"));
        let output = run(&built.program, "outside", &[&file, Path::new(kind)], &[]);
        let text = refusal(&output);
        let address = output
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("address "))
            .expect("an address");
        let wanted = format!(
            "failed to write '{}': closure function pointer does not belong to any loaded library",
            file.display()
        );
        assert!(text.starts_with(&wanted), "{text}");
        assert!(
            text.contains("arity 2") && text.contains(&format!("{address},")),
            "{text}"
        );
        assert_nothing_left(&file);
    }
}

#[test]
fn a_missing_library_is_named_in_the_incumbents_words() {
    let built = &*BUILT;
    let file = built.dir.join("missing.olean");
    run(&built.program, "save", &[&file, &built.plug], &[]).success();
    let output = run(&built.program, "load", &[&file], &[]);
    let wanted = format!(
        "failed to read '{}': library required for closure relocation is not loaded in this process: '{}'",
        file.display(),
        built.plug.display()
    );
    assert_eq!(refusal(&output), wanted);
}

#[test]
fn a_library_rebuilt_at_the_same_path_is_refused() {
    let built = &*BUILT;
    for (name, flag) in [
        ("by-build-id", "-Wl,--build-id=sha1"),
        ("by-digest", "-Wl,--build-id=none"),
    ] {
        let plug = built.dir.join(format!("lib{name}.so"));
        let file = built.dir.join(format!("{name}.olean"));
        build_plug(&plug, &[flag]);
        run(&built.program, "save", &[&file, &plug], &[]).success();
        assert_verified(&file, &[]);
        assert_results(&run(&built.program, "load", &[&file, &plug], &[]));

        // The same code at other places, and other code at the same places.
        for changed in ["-DPLUG_FACTOR=1001", "-Wl,-z,nodelete"] {
            build_plug(&plug, &[flag, changed]);
            let output = run(&built.program, "load", &[&file, &plug], &[]);
            let text = refusal(&output);
            let wanted = format!(
                "failed to read '{}': library '{}' is not the one that the closures were saved with",
                file.display(),
                plug.display()
            );
            assert!(text.starts_with(&wanted), "{text}");
            let kind = if name == "by-digest" {
                "digest "
            } else {
                "build id "
            };
            let identities: Vec<&str> = text
                .match_indices(kind)
                .map(|(at, _)| &text[at + kind.len()..at + kind.len() + 32])
                .collect();
            assert!(identities.len() == 2 && identities[0] != identities[1], "{text}");
        }

        // The same library built once more is the same library.
        build_plug(&plug, &[flag]);
        assert_results(&run(&built.program, "load", &[&file, &plug], &[]));
    }
}

#[test]
fn another_program_is_not_taken_for_the_one_that_saved() {
    let built = &*BUILT;
    for (name, flag) in [("sha1", "-Wl,--build-id=sha1"), ("none", "-Wl,--build-id=none")] {
        let program = build_program(&built.dir, &format!("one-{name}"), &[flag]);
        let other = build_program(&built.dir, &format!("other-{name}"), &[flag, "-DOTHER_PROGRAM"]);
        let file = built.dir.join(format!("program-{name}.olean"));
        run(&program, "save", &[&file, &built.plug], &[]).success();
        let output = run(&other, "load", &[&file, &built.plug], &[]);
        let text = refusal(&output);
        let wanted = "library 'the main program' is not the one that the closures were saved with";
        assert!(text.contains(wanted), "{text}");
        // The program itself may be called anything.
        let renamed = built.dir.join(format!("renamed-{name}"));
        // Not copied: a process started meanwhile by another test would hold the copy open for writing.
        fs::rename(&program, &renamed).expect("another name for the program");
        assert_results(&run(&renamed, "load", &[&file, &built.plug], &[]));
    }
}

#[test]
fn a_library_that_moved_is_accepted_when_asked_for() {
    let built = &*BUILT;
    for (name, flag) in [
        ("moved-by-build-id", "-Wl,--build-id=sha1"),
        ("moved-by-digest", "-Wl,--build-id=none"),
    ] {
        let plug = build_plug(&built.dir.join(format!("lib{name}.so")), &[flag]);
        let file = built.dir.join(format!("{name}.olean"));
        run(&built.program, "save", &[&file, &plug], &[]).success();
        let moved = built.dir.join(format!("lib{name}-now.so"));
        fs::rename(&plug, &moved).expect("move the library");

        let output = run(&built.program, "load", &[&file, &moved], &[]);
        let text = refusal(&output);
        let wanted = format!(
            "library required for closure relocation is not loaded in this process: '{}'; the same library is loaded \
             as '{}': set LEAN_REGION_ALLOW_MOVED_LIBRARIES=1",
            plug.display(),
            moved.display()
        );
        assert!(text.contains(&wanted), "{text}");

        let allowed = [("LEAN_REGION_ALLOW_MOVED_LIBRARIES", "1")];
        assert_results(&run(&built.program, "load", &[&file, &moved], &allowed));
        // Another library at another path is still another library.
        build_plug(&moved, &[flag, "-DPLUG_FACTOR=5"]);
        let output = run(&built.program, "load", &[&file, &moved], &allowed);
        assert!(
            refusal(&output).ends_with(&format!("'{}'", plug.display())),
            "{output}"
        );
    }
}

#[test]
fn parts_of_a_chain_share_closures() {
    let built = &*BUILT;
    let files: Vec<PathBuf> = (0..3)
        .map(|i| built.dir.join(format!("chain{i}.olean")))
        .collect();
    let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    run(&built.program, "chain", &paths, &[]).success();
    let mut end = None;
    for (i, file) in files.iter().enumerate() {
        assert_verified(file, &paths[..i]);
        let bytes = fs::read(file).expect("the file");
        let sections = Sections::of(&bytes);
        assert_eq!(
            sections.closures.len(),
            [3, 1, 0][i],
            "offsets are cleared for each part"
        );
        let base = u64::from_le_bytes(bytes[80..88].try_into().expect("8 bytes"));
        // A part lies at the first multiple of 64 KiB behind everything the part before it reserves.
        if let Some(end) = end {
            assert_eq!(base, end);
        }
        let table = bytes.len() - sections.table_at - sections.extension.len();
        let round = |n: usize| n.next_multiple_of(8);
        let reserved =
            sections.at + 8 + 8 * sections.closures.len() + round(table) + round(sections.extension.len());
        end = Some(base + reserved.next_multiple_of(1 << 16) as u64);
    }
    for env in ENVIRONMENTS {
        let output = run(&built.program, "load-chain", &paths, env).success();
        let results: Vec<&str> = output
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("result "))
            .collect();
        // The first file's four closures, then twice: linked, main, a new one, linked.
        let again = ["0 19", "1 165", "2 99", "3 19"];
        assert_eq!(results[..4], ["0 165", "1 19", "2 12", "3 165"], "{output}");
        assert_eq!(
            (&results[4..8], &results[8..]),
            (&again[..], &again[..]),
            "{output}"
        );
    }
}

#[test]
fn a_part_that_allows_no_closures_reaches_none_in_a_chain_that_does() {
    let built = &*BUILT;
    for kind in ["new", "old"] {
        let (first, second) = (
            built.dir.join(format!("{kind}-1.olean")),
            built.dir.join(format!("{kind}-2.olean")),
        );
        let output = run(
            &built.program,
            "chain-refused",
            &[&first, &second, Path::new(kind)],
            &[],
        );
        let text = refusal(&output);
        let wanted = format!(
            "failed to write '{}': Closures cannot be compacted",
            second.display()
        );
        assert!(text.starts_with(&wanted), "{text}");
        assert!(first.exists());
        assert_nothing_left(&second);
    }
}

#[test]
fn a_region_inside_saved_data_leads_to_the_loaded_region() {
    let built = &*BUILT;
    let (inner, outer) = (built.dir.join("inner.olean"), built.dir.join("outer.olean"));
    run(&built.program, "regions-save", &[&inner, &outer], &[]).success();
    assert_verified(&outer, &[&inner]);
    for env in ENVIRONMENTS {
        let output = run(&built.program, "regions-load", &[&inner, &outer], env).success();
        assert!(
            output.stdout.starts_with("path 1\nroot 1\nclosure 1\nshared 1\n"),
            "{output}"
        );
        assert_eq!(values(&output, "result")["0"], "165", "{output}");
    }
}

#[test]
fn only_pages_with_closures_become_private() {
    let built = &*BUILT;
    let file = built.dir.join("pages.olean");
    run(&built.program, "pages", &[&file], &[]).success();
    let output = run(&built.program, "pages-load", &[&file], &[]).success();
    let number = |word: &str| -> i64 {
        let line = output
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        line.and_then(|n| n.parse().ok())
            .unwrap_or_else(|| panic!("{output}"))
    };
    assert_eq!(number("result"), 2);
    assert!(number("size") > 1000, "{output}");
    assert_eq!(number("private"), 4, "the closure's page alone: {output}");
}

#[test]
fn tens_of_thousands_of_dependencies_cost_little() {
    let built = &*BUILT;
    let file = built.dir.join("many.olean");
    let times = |n: &str| -> BTreeMap<String, f64> {
        let output = run(&built.program, "many", &[&file, Path::new(n)], &[]).success();
        let lines = output.stdout.lines().filter_map(|line| line.split_once(' '));
        let times: BTreeMap<_, _> = lines
            .map(|(what, ms)| (what.to_owned(), ms.parse().expect("a number")))
            .collect();
        assert_eq!(times.len(), 4, "{output}");
        times
    };
    // A cost that grows with the square of the number would be 16 times as much.
    let (few, many) = (times("10000"), times("40000"));
    for (what, ms) in many {
        assert!(
            ms < 8.0 * few[&what] + 5.0,
            "{what}: {ms} ms, {} ms with a quarter",
            few[&what]
        );
        assert!(ms < 200.0, "{what}: {ms} ms");
    }
}

/// A version 3 file taken apart, with code of its own.
struct Sections {
    /// File offset of the number of closures.
    at: usize,
    closures: Vec<u64>,
    /// File offset of the number of libraries.
    table_at: usize,
    /// File offsets of the entries of the library table.
    entries: Vec<usize>,
    /// The extension section.
    extension: Vec<u8>,
}

impl Sections {
    fn of(bytes: &[u8]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes")) as usize;
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let at = 96 + u64_at(88) as usize;
        let closures: Vec<u64> = (0..u32_at(at)).map(|i| u64_at(at + 4 + 8 * i)).collect();
        let table_at = at + 4 + 8 * closures.len();
        let mut end = table_at + 4;
        let entries: Vec<usize> = (0..u32_at(table_at))
            .map(|_| {
                let entry = end;
                end += 12 + u32_at(entry + 8);
                entry
            })
            .collect();
        Self {
            at,
            closures,
            table_at,
            entries,
            extension: bytes[end..].to_vec(),
        }
    }
}

/// Loads `bytes` with little memory to spare; the closures must run, or the loader must refuse. Whether it refused.
#[track_caller]
fn try_altered(file: &Path, bytes: &[u8], what: &str) -> bool {
    let built = &*BUILT;
    fs::write(file, bytes).expect("the altered file");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 400000 && exec \"$@\"", "sh"]);
    command.arg(&built.program).arg("load").arg(file).arg(&built.plug);
    let output = process::run(Options::stock().apply(&mut command));
    match output.status.code() {
        Some(0) => {
            assert_results(&output);
            false
        }
        _ => {
            assert_eq!(output.status.code(), Some(REFUSED), "{what}: {output}");
            let text = refusal(&output);
            assert!(text.starts_with("failed to read"), "{what}: {output}");
            true
        }
    }
}

#[test]
fn truncated_trailers_are_refused() {
    let built = &*BUILT;
    let file = built.dir.join("truncated.olean");
    run(&built.program, "save", &[&file, &built.plug], &[]).success();
    let bytes = fs::read(&file).expect("the file");
    let sections = Sections::of(&bytes);
    let table_end = bytes.len() - sections.extension.len();
    let mut harmless = Vec::new();
    for n in (96..bytes.len())
        .rev()
        .filter(|n| *n >= sections.at || n % 32 == 0)
    {
        if !try_altered(&file, &bytes[..n], &format!("cut to {n} bytes")) {
            harmless.push(n);
        }
    }
    // Cut right behind the library table, it is a file as the incumbent writes it.
    assert_eq!(harmless, [table_end]);
}

#[test]
fn altered_trailers_do_no_harm() {
    let built = &*BUILT;
    let file = built.dir.join("altered.olean");
    run(&built.program, "save", &[&file, &built.plug], &[]).success();
    let bytes = fs::read(&file).expect("the file");
    let sections = Sections::of(&bytes);
    let extension_at = bytes.len() - sections.extension.len();

    let mut alterations: Vec<(usize, Vec<u8>)> = Vec::new();
    let words = |values: &[u64]| {
        values
            .iter()
            .map(|v| v.to_le_bytes().to_vec())
            .collect::<Vec<_>>()
    };
    let halves = |values: &[u32]| {
        values
            .iter()
            .map(|v| v.to_le_bytes().to_vec())
            .collect::<Vec<_>>()
    };
    let mut at = |at: usize, values: Vec<Vec<u8>>| alterations.extend(values.into_iter().map(|v| (at, v)));
    at(
        88,
        words(&[
            0,
            7,
            8,
            16,
            bytes.len() as u64,
            1 << 40,
            1 << 63,
            u64::MAX,
            u64::MAX - 7,
        ]),
    );
    at(sections.at, halves(&[0, 1, 2, 4, 1000, 0x2000_0000, u32::MAX]));
    for i in 0..sections.closures.len() {
        let own = sections.closures[i];
        let other = sections.closures[(i + 1) % 3];
        at(
            sections.at + 4 + 8 * i,
            words(&[
                0,
                8,
                12,
                own - 8,
                own + 8,
                own + 1,
                other,
                own ^ 1 << 40,
                1 << 63,
                u64::MAX,
                u64::MAX - 7,
            ]),
        );
    }
    at(sections.table_at, halves(&[0, 1, 2, 4, 0x1000_0000, u32::MAX]));
    for entry in &sections.entries {
        let base = u64::from_le_bytes(bytes[*entry..entry + 8].try_into().expect("8 bytes"));
        at(
            *entry,
            words(&[
                0,
                base + 8,
                base + 4096,
                base - 4096,
                base + (1 << 20),
                u64::MAX,
                !4095,
            ]),
        );
        at(entry + 8, halves(&[0, 1, 2, 0x7fff_ffff, u32::MAX]));
    }
    // Every byte from the counts to the end, in two ways.
    for (offset, byte) in bytes.iter().enumerate().skip(sections.at) {
        at(offset, vec![vec![byte ^ 0xff], vec![byte ^ 0x01]]);
    }

    let mut accepted = Vec::new();
    for (at, value) in &alterations {
        let mut altered = bytes.clone();
        altered[*at..at + value.len()].copy_from_slice(value);
        let what = format!("{value:02x?} at {at:#x}");
        if altered != bytes && !try_altered(&file, &altered, &what) {
            accepted.push((*at, value.clone()));
        }
    }
    // All of the incumbent's sections is covered by a digest, so only what switches the digest off gets through:
    // the section's magic, and the kinds of its two records.
    let second_record = extension_at + 24 + record_length(&sections.extension);
    let switches = [
        extension_at..extension_at + 8,
        extension_at + 16..extension_at + 20,
        second_record..second_record + 4,
    ];
    for (at, value) in accepted {
        assert!(
            switches.iter().any(|s| s.contains(&at)),
            "{value:02x?} at {at:#x} was accepted"
        );
    }
}

/// Length of the first record of an extension section.
fn record_length(section: &[u8]) -> usize {
    u32::from_le_bytes(section[20..24].try_into().expect("4 bytes")) as usize
}
