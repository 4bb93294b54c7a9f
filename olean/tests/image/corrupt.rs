//! Damaged images: never a signal, and the program sees what it would see without one.

use super::{Files, IMAGE, places};
use olean_reader::format::image::header::{Header, PAGE};
use olean_reader::format::image::{Tables, digest};
use std::fs;
use std::os::unix::fs::FileExt;

const WORDS: [&str; 5] = [
    "read:A.olean",
    "read:A.olean.server:0",
    "read:A.olean.private:0,1",
    "read:B.olean",
    "read:R.olean",
];
const TEXTS: [&str; 5] = ["first", "second", "third", "other", "changing"];

/// Runs the program; answers how many reads the image served.
fn check(files: &Files, what: &str) -> usize {
    let output = files.run_image(&[], &WORDS);
    assert!(output.status.success(), "{what}: {output}");
    let lines: Vec<String> = output.stdout.lines().map(str::to_owned).collect();
    let texts: Vec<&str> = lines.iter().map(|l| l.rsplit(' ').next().unwrap()).collect();
    assert_eq!(texts, TEXTS, "{what}: {output}");
    places(&lines).iter().filter(|p| **p == "image").count()
}

fn tables_end(files: &Files) -> u64 {
    let output = files.image(&["info", IMAGE, "--json"]).success();
    let info: testkit::Value = output.stdout.parse().unwrap();
    info["table_bytes"].as_u64().unwrap()
}

#[test]
fn two_thousand_flips_in_header_and_tables_are_harmless() {
    let files = Files::saved();
    files.build();
    assert_eq!(check(&files, "whole"), 5);
    let end = tables_end(&files);
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(files.path(IMAGE))
        .unwrap();
    let mut seed = 0x9876_5432_10fe_dcba_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut served = 0;
    for round in 0..2000 {
        // Half of them in the header.
        let at = if round % 2 == 0 {
            random() % 256
        } else {
            4096 + random() % (end - 4096)
        };
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        let flipped = [byte[0] ^ 1 << (random() % 8)];
        file.write_all_at(&flipped, at).unwrap();
        served += check(&files, &format!("byte {at:#x}"));
        file.write_all_at(&byte, at).unwrap();
    }
    // What fills the header's page, and the tables for other uses, are not looked at.
    assert!(served < 2000 * 5 / 2, "{served}");
    assert_eq!(check(&files, "whole again"), 5);
}

#[test]
fn a_file_cut_anywhere_is_not_used() {
    let files = Files::saved();
    files.build();
    let whole = fs::read(files.path(IMAGE)).unwrap();
    let end = tables_end(&files) as usize;
    for size in [
        0,
        1,
        8,
        100,
        247,
        248,
        263,
        264,
        4095,
        4096,
        end - 1,
        end,
        2 << 20,
        whole.len() - 4096,
        whole.len() - 1,
    ] {
        fs::write(files.path(IMAGE), &whole[..size]).unwrap();
        assert_eq!(check(&files, &format!("cut to {size}")), 0);
    }
    fs::write(files.path(IMAGE), [&whole[..], &[0]].concat()).unwrap();
    assert_eq!(check(&files, "one byte more"), 0);
}

#[test]
fn flips_in_the_data_are_found_by_verify_and_by_who_asks_for_proofs() {
    let files = Files::saved();
    files.build();
    let output = files.image(&["list", IMAGE, "--json"]).success();
    let list: testkit::Value = output.stdout.parse().unwrap();
    let rows = list["regions"].as_array().unwrap();
    let row = rows
        .iter()
        .find(|r| r["paths"][0].as_str().unwrap().ends_with("/B.olean"))
        .unwrap();
    let info: testkit::Value = files
        .image(&["info", IMAGE, "--json"])
        .success()
        .stdout
        .parse()
        .unwrap();
    let offset = row["address"].as_u64().unwrap() - info["base"].as_u64().unwrap();
    assert_eq!(files.image(&["verify", IMAGE]).status.code(), Some(0));
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(files.path(IMAGE))
        .unwrap();
    // The tag of the first object.
    let mut tag = [0];
    file.read_exact_at(&mut tag, offset + 96 + 7).unwrap();
    file.write_all_at(&[tag[0] ^ 0x55], offset + 96 + 7).unwrap();
    let output = files.image(&["verify", IMAGE]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        output
            .stdout
            .contains("B.olean: its region in the image is damaged"),
        "{output}"
    );
    let output = files
        .run_image(&[("LEAN_REGION_VERIFY", "1")], &["read:A.olean", "read:B.olean"])
        .success();
    let lines: Vec<String> = output.stdout.lines().map(str::to_owned).collect();
    assert_eq!(places(&lines), ["image", "file"]);
    assert!(
        output.stderr.contains("the image has a region that is not used"),
        "{output}"
    );
}

#[test]
fn a_copy_of_a_root_that_is_none_is_found_by_who_asks_for_proofs() {
    let files = Files {
        dir: testkit::temp_dir("image-wrong-root"),
    };
    files.run_plain(&["save-small"]);
    files.age();
    assert!(files.image(&["build", ".", "-o", IMAGE]).status.success());
    let mut bytes = fs::read(files.path(IMAGE)).unwrap();
    let (mut header, layout) = Header::decode(&bytes, bytes.len() as u64, PAGE).unwrap();
    let path = fs::canonicalize(files.path("F.olean")).unwrap();
    let tables = Tables::new(&header, &layout, &bytes).unwrap();
    let (index, _) = tables.find_path(path.to_str().unwrap().as_bytes()).unwrap();
    // Its first two fields exchanged, and digests that fit.
    let copy = layout.roots.start as usize + 64 * index as usize;
    bytes[copy + 8..copy + 24].rotate_left(8);
    header.roots = digest(&bytes[layout.roots.start as usize..layout.roots.end as usize]);
    let page = header.encode();
    bytes[..page.len()].copy_from_slice(&page);
    fs::write(files.path(IMAGE), bytes).unwrap();

    let proved = files
        .run_image(&[("LEAN_REGION_VERIFY", "1")], &["read:S.olean", "read:F.olean"])
        .success();
    let lines: Vec<String> = proved.stdout.lines().map(str::to_owned).collect();
    assert_eq!(places(&lines), ["image", "file"], "{proved}");
    assert!(lines[1].ends_with(" full"), "{proved}");
    assert!(proved.stderr.contains("its root is not the one"), "{proved}");
}
