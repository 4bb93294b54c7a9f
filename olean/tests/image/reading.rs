//! Reads answered from an image, or from the files: whichever it is, the program sees the same.

use super::{Files, IMAGE, olean, places, report, set_age};
use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};
use testkit::{Value, process, temp_dir};

const A: [&str; 3] = [
    "read:A.olean",
    "read:A.olean.server:0",
    "read:A.olean.private:0,1",
];

#[test]
fn every_file_is_served_and_the_report_says_so() {
    let files = Files::saved();
    let without = files.run_plain(&[
        "read:A.olean",
        "read:A.olean.server:0",
        "read:A.olean.private:1,0",
        "read:B.olean",
    ]);
    assert_eq!(without.matches("file ").count(), 4, "{without}");
    files.build();
    let lines = files.run(&[
        "read:A.olean",
        "read:A.olean.server:0",
        "read:A.olean.private:1,0",
        "read:B.olean",
        "read:Z.olean",
        "live",
        "report",
    ]);
    // B has references and tasks, which a process gets once.
    let with = lines[..4].join("\n") + "\n";
    assert_eq!(with.replace("image ", "file "), without);
    assert_eq!(places(&lines[..5]), ["image", "image", "image", "image", "file"]);
    assert_eq!(lines[5], "5 alive");
    let report = report(&lines);
    let image = &report["image"];
    assert_eq!(image["file"], files.path(IMAGE).to_str().unwrap());
    assert_eq!(
        ["regions", "served", "stale", "absent"].map(|n| image[n].as_u64().unwrap()),
        [5, 4, 0, 1],
        "{image}"
    );
    assert!(image["reason"].is_null());
}

/// After some files that had to be read the next ones are opened before they are looked for: what is found is the same.
#[test]
fn between_files_that_have_to_be_read_the_image_serves_the_others() {
    let files = Files::saved();
    files.build();
    set_age(&files.path("A.olean"), 30);
    let mut calls = vec!["read:A.olean"; 7];
    calls.extend([
        "read:Z.olean",
        "read:B.olean",
        "read:A.olean",
        "read:A.olean",
        "report",
    ]);
    let lines = files.run(&calls);
    let mut expected = vec!["file"; 8];
    expected.extend(["image", "file", "file"]);
    assert_eq!(places(&lines[..11]), expected);
    let image = &report(&lines)["image"];
    assert_eq!(
        ["served", "stale", "absent"].map(|n| image[n].as_u64().unwrap()),
        [1, 9, 1],
        "{image}"
    );
    let plain = files.run_plain(&calls[..11]);
    assert_eq!(lines[..11].join("\n").replace("image ", "file ") + "\n", plain);
}

#[test]
fn a_file_that_differs_in_anything_is_read_itself_until_a_refresh() {
    let files = Files::saved();
    files.build();
    let path = files.path("A.olean");
    let stale = |what: &str, served: u64| {
        let lines = files.run(&["read:A.olean", "report"]);
        assert_eq!(
            places(&lines[..1]),
            [if served == 1 { "image" } else { "file" }],
            "{what}"
        );
        assert_eq!(report(&lines)["image"]["stale"], 1 - served, "{what}");
    };
    let set_time = |n: u64| {
        let file = fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000, n as u32))
            .unwrap();
    };
    let refresh = || {
        let output = files.image(&["refresh", IMAGE]).success();
        assert!(
            output.stdout.contains("4 files as before, 1 refreshed"),
            "{output}"
        );
    };
    stale("nothing", 1);
    set_time(5);
    stale("modification time", 0);
    refresh();
    stale("nothing", 1);
    // The change time alone.
    let mode = fs::metadata(&path).unwrap().permissions();
    fs::set_permissions(&path, mode).unwrap();
    stale("change time", 0);
    refresh();
    stale("nothing", 1);
    // Another inode with the same content.
    fs::copy(&path, files.path("copy")).unwrap();
    fs::rename(files.path("copy"), &path).unwrap();
    set_time(5);
    stale("inode", 0);
    refresh();
    stale("nothing", 1);
    // Other content under the same name: no refresh takes it in.
    fs::copy(files.path("B.olean"), files.path("copy")).unwrap();
    fs::rename(files.path("copy"), &path).unwrap();
    let lines = files.run(&["read:A.olean"]);
    assert_eq!(lines[0].split(' ').next_back(), Some("other"));
    assert_eq!(places(&lines), ["file"]);
    let output = files.image(&["refresh", IMAGE]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.contains("A.olean: changed"), "{output}");
    assert_eq!(places(&files.run(&["read:A.olean"])), ["file"]);
    // What is there and cannot be read is not said to be gone.
    fs::remove_file(&path).unwrap();
    symlink("A.olean", &path).unwrap();
    let why = "cannot be read: Too many levels of symbolic links";
    let output = files.image(&["refresh", IMAGE]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.contains(&format!("A.olean: {why}\n")), "{output}");
    let output = files.image(&["list", IMAGE]).success();
    assert!(
        output.stdout.contains(&format!("A.olean  (the file {why})\n")),
        "{output}"
    );
    fs::remove_file(&path).unwrap();
    let output = files.image(&["refresh", IMAGE]);
    assert!(output.stdout.contains("A.olean: gone\n"), "{output}");
}

#[test]
fn links_lead_to_the_same_region() {
    let files = Files::saved();
    fs::hard_link(files.path("A.olean"), files.path("Hard.olean")).unwrap();
    symlink("A.olean", files.path("Soft.olean")).unwrap();
    let output = files.image(&["build", "A.olean", "-o", IMAGE]).success();
    assert!(output.stdout.contains("1 region"), "{output}");
    let lines = files.run(&["read:Hard.olean", "read:Soft.olean", "read:A.olean"]);
    assert_eq!(places(&lines), ["image"; 3]);
}

#[test]
fn a_part_is_served_only_over_the_parts_that_it_was_linked_against() {
    let files = Files::saved();
    files.build();
    set_age(&files.path("A.olean.server"), 30);
    let lines = files.run(&A);
    assert_eq!(places(&lines), ["image", "file", "file"]);
    assert_eq!(
        lines
            .iter()
            .map(|l| l.rsplit(' ').next().unwrap())
            .collect::<Vec<_>>(),
        ["first", "second", "third"]
    );
    // Too many, too few, one twice, the right ones.
    let files = Files::saved();
    files.build();
    let lines = files.run(&[
        "read:A.olean",
        "read:B.olean",
        "read:A.olean.server:0",
        "read:A.olean.server:0,1",
        "read:A.olean.private:0,2",
    ]);
    assert_eq!(places(&lines), ["image", "image", "image", "file", "image"]);
}

#[test]
fn what_can_change_is_given_out_once_and_the_rest_as_often_as_it_is_asked_for() {
    let files = Files::saved();
    files.build();
    let lines = files.run(&[
        "read:A.olean",
        "read:A.olean",
        "read:R.olean",
        "touch:2",
        "read:R.olean",
        "free:2",
        "read:R.olean",
        "live",
        "free:0",
        "free:1",
        "free:1",
        "read:A.olean",
        "live",
    ]);
    assert_eq!(places(&lines[..3]), ["image"; 3]);
    assert_eq!(lines[3], "written");
    assert_eq!(
        (places(&lines[4..5]), &*lines[5], places(&lines[6..7])),
        (vec!["file"], "freed", vec!["relocated"])
    );
    assert_eq!(lines[7], "4 alive");
    assert_eq!(lines[8..10], ["freed", "freed"]);
    assert!(lines[10].contains("it was freed before"), "{}", lines[10]);
    assert_eq!((places(&lines[11..12]), &*lines[12]), (vec!["image"], "3 alive"));
}

#[test]
fn what_can_change_is_read_from_the_disk_in_large_pieces() {
    let files = Files::saved();
    files.build();
    let lines = files.run(&["read:A.olean", "advised:0", "read:R.olean", "advised:1"]);
    assert_eq!(lines[1], "as it comes");
    // Where the kernel has no huge pages there is nothing to ask for.
    if fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap() {
        assert_eq!(lines[3], "large");
    }
}

#[test]
fn threads_get_one_region() {
    let files = Files::saved();
    files.build();
    assert_eq!(
        files.run(&["threads:A.olean", "live"]),
        ["400 of 400 at one place", "0 alive"]
    );
}

#[test]
fn trust_looks_at_no_file_and_takes_paths_by_their_letters() {
    let files = Files::saved();
    files.build();
    let trust = [("LEAN_REGION_IMAGE_TRUST", "1")];
    fs::remove_file(files.path("A.olean")).unwrap();
    let absolute = format!("read:{}", files.path("./x/..//A.olean").display());
    let lines = files.run_env(
        &trust,
        &[
            "read:A.olean",
            "read:./A.olean",
            &absolute,
            "read:A.olean.server:2",
            "report",
        ],
    );
    assert_eq!(places(&lines[..4]), ["image"; 4]);
    assert_eq!(report(&lines)["image"]["served"], 4);
    let lines = files.run_env(&trust, &["read:A.olean.gone"]);
    assert!(lines[0].contains("failed to open"), "{lines:?}");
}

#[test]
fn the_batch_call_is_served_whole_or_not_at_all() {
    let files = Files::saved();
    files.build();
    let batch = ["batch:A.olean,A.olean.server,A.olean.private", "live"];
    let lines = files.run(&batch);
    assert_eq!((places(&lines[..3]), &*lines[3]), (vec!["image"; 3], "3 alive"));
    set_age(&files.path("A.olean.private"), 30);
    let lines = files.run(&batch);
    assert_eq!((places(&lines[..3]), &*lines[3]), (vec!["file"; 3], "3 alive"));
}

#[test]
fn other_switches_work() {
    let files = Files::saved();
    files.build();
    let all = [
        "read:A.olean",
        "read:A.olean.server:0",
        "read:B.olean",
        "read:R.olean",
    ];
    assert_eq!(
        places(&files.run_env(&[("LEAN_REGION_VERIFY", "1")], &all)),
        ["image"; 4]
    );
    assert_eq!(
        places(&files.run_env(&[("LEAN_REGION_FORCE_RELOCATE", "1")], &all)),
        ["relocated"; 4]
    );
}

#[test]
fn a_snapshot_takes_the_digests_of_its_files_from_the_image() {
    let files = Files::saved();
    files.build();
    // The region is the old file's, whatever lies under its name when the snapshot is saved.
    let saved = files.run(&["read:A.olean", "sh:cp A.olean B && mv B A.olean", "over:T.snap:0"]);
    assert_eq!((places(&saved[..1]), &*saved[1]), (vec!["image"], "saved"));
    let info = || -> Value {
        let output = process::run(olean(files.dir.path()).args(["info", "--json", "T.snap"]));
        let document: Value = output.stdout.parse().expect("JSON");
        document["files"][0]["dependencies"].clone()
    };
    let found = info();
    assert_eq!(
        (&found["restored"], &found["stale"]),
        (&1.into(), &0.into()),
        "{found}"
    );
    let mut bytes = fs::read(files.path("A.olean")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(files.path("A.olean"), bytes).unwrap();
    let found = info();
    assert_eq!(
        (&found["restored"], &found["stale"]),
        (&0.into(), &1.into()),
        "{found}"
    );
}

/// Lean looks at the root of every region: copies of small ones lie together. Nobody can tell by what is saved.
#[test]
fn small_roots_lie_together_and_stand_for_themselves_in_what_is_saved() {
    let files = Files {
        dir: temp_dir("image-roots"),
    };
    files.run_plain(&["save-small"]);
    files.age();
    let calls = |out: &'static str| {
        [
            "read:S.olean",
            "read:S.olean.server:0",
            "read:F.olean",
            "read:L.olean",
            "rooted:0",
            "rooted:1",
            "rooted:2",
            "rooted:3",
            out,
            "free:1",
            "free:0",
        ]
    };
    let without: Vec<String> = files
        .run_plain(&calls("both:T.olean:0,1"))
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(places(&without[..4]), ["file"; 4]);
    assert_eq!(without[4..8], ["in its region"; 4]);
    let saved = fs::read(files.path("T.olean")).unwrap();
    fs::remove_file(files.path("T.olean")).unwrap();

    let built = files.image(&["build", ".", "-o", IMAGE]);
    assert!(built.status.success(), "{built}");
    let with = files.run(&calls("both:T.olean:0,1"));
    assert_eq!(places(&with[..4]), ["image"; 4]);
    assert_eq!(with[4..7], ["elsewhere"; 3]);
    assert_eq!(with[7..], without[7..], "a large root has no copy");
    assert!(
        fs::read(files.path("T.olean")).unwrap() == saved,
        "over copies of roots, another file is saved"
    );

    // Who proves regions looks at the copies too; that they are what was written is known when the image is mapped.
    let proved = files.run_env(&[("LEAN_REGION_VERIFY", "1")], &calls("both:T.olean:0,1"));
    assert_eq!(proved, with);
    let refreshed = files.image(&["refresh", IMAGE]);
    assert!(refreshed.status.success(), "{refreshed}");
    assert_eq!(files.run(&calls("both:T.olean:0,1")), with);
}

#[test]
fn an_image_that_goes_away_stays_in_use() {
    let files = Files::saved();
    files.build();
    let lines = files.run(&[
        "read:A.olean",
        "sh:rm lib.image",
        "read:A.olean.server:0",
        "read:B.olean",
    ]);
    assert_eq!(places(&lines), ["image"; 3]);
    files.build();
    let command = format!(
        "sh:{} image build A.olean -o {IMAGE} > build.log",
        env!("CARGO_BIN_EXE_olean")
    );
    let lines = files.run(&["read:A.olean", &command, "read:A.olean.server:0", "read:B.olean"]);
    assert_eq!(places(&lines), ["image"; 3], "{lines:?}");
}

#[test]
fn without_a_usable_image_the_files_serve_and_the_user_is_told_once() {
    let files = Files::saved();
    let check = |reason: &str, words: &[&str]| {
        let words = [words, &["read:A.olean", "read:B.olean", "report"]].concat();
        let output = files.run_image(&[], &words).success();
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        assert!(
            output.stderr.starts_with("lean-region: the image '") && output.stderr.contains(reason),
            "{output}"
        );
        let lines: Vec<String> = output.stdout.lines().map(str::to_owned).collect();
        assert_eq!(places(&lines[..2]), ["file", "file"]);
        let report = report(&lines);
        assert!(
            report["image"]["reason"].as_str().unwrap().contains(reason),
            "{report}"
        );
        assert_eq!(report["image"]["regions"], 0);
        assert!(
            report["notes"][0]["reason"].as_str().unwrap().contains(reason),
            "{report}"
        );
    };
    check("cannot be opened", &[]);
    fs::write(files.path(IMAGE), "something else").unwrap();
    check("it is no image", &[]);
    fs::remove_file(files.path(IMAGE)).unwrap();
    files.image(&["build", ".", "-o", IMAGE, "--base", "0x0a0000000000"]);
    check(
        "something else lies in its range of addresses",
        &["take:0x0a0000001000"],
    );
}
