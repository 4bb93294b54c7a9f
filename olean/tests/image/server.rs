//! The language server of a real Lean on an image, which goes away, is replaced or built anew while the server runs;
//! and full snapshots, saved over an image.

use super::lean::{prepared, save_at_fixed_addresses, with_image};
use super::olean;
use std::fs;
use testkit::lean::{self, Options};
use testkit::{library, lsp, process, real_lean, temp_dir};

/// Written to the end of the file while the server has it open.
const EDIT: &str = "#print three";

#[test]
fn the_language_server_goes_on_with_an_image_that_is_deleted_replaced_or_built_anew() {
    let p = prepared();
    let file = p.tree.dir.join("T.lean");
    let server = |options: &Options| {
        let mut command = lean::command(&real_lean(), &p.tree.dir, options);
        command.arg("--server");
        command
    };
    let stock = lsp::session_with_edit(&mut server(&Options::stock()), &file, EDIT, &|| (), || true);
    assert_eq!(stock.diagnostics.len(), 3, "{stock:?}");
    let dir = temp_dir("image-copy");
    let image = dir.path().join("copy.image");
    let deleted = || fs::remove_file(&image).unwrap();
    let built_of = |what: &str| {
        let mut build = olean(&p.tree.dir);
        build.args(["image", "build", what, "-o"]).arg(&image);
        process::run(&mut build).success();
    };
    // By one of another file, at another address, under the same name.
    let replaced = || built_of("Base.olean");
    let rebuilt = || built_of(".");
    let cases: [(&str, &dyn Fn()); 3] = [
        ("deleted", &deleted),
        ("replaced", &replaced),
        ("rebuilt", &rebuilt),
    ];
    for (what, meanwhile) in cases {
        fs::copy(&p.image, &image).unwrap();
        let reports = temp_dir("image-server");
        let written = || lean::has_reports(reports.path());
        let options = Options::preloaded(library())
            .env("LEAN_REGION_IMAGE", &image)
            .report(reports.path());
        let ours = lsp::session_with_edit(&mut server(&options), &file, EDIT, meanwhile, written);
        assert!(
            stock.status.success() && ours.status.success(),
            "{what}: {stock:?}\n{ours:?}"
        );
        assert_eq!(
            (&stock.diagnostics, &stock.stderr),
            (&ours.diagnostics, &ours.stderr),
            "{what}"
        );
        let served: u64 = lean::reports(reports.path())
            .iter()
            .filter_map(|r| r["image"]["served"].as_u64())
            .sum();
        assert!(served >= p.reads, "{what}: {served}");
    }
}

/// The words in which two files of the same size differ: offset, and what stands there in each.
fn differences(a: &[u8], b: &[u8]) -> Vec<(usize, u64, u64)> {
    assert_eq!(a.len(), b.len(), "sizes");
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |w, &b| w << 8 | u64::from(b));
    let words = a.chunks(8).zip(b.chunks(8)).enumerate();
    words
        .filter(|(_, (a, b))| a != b)
        .map(|(i, (a, b))| (8 * i, word(a), word(b)))
        .collect()
}

#[test]
fn full_snapshots_over_an_image_are_those_without_it_but_for_numbers_of_the_process() {
    let p = prepared();
    let dir = temp_dir("image-full");
    let save = |name: &str, options: Options| {
        let out = dir.path().join(name);
        // Objects come in the same order only where one thread makes them.
        let save = format!("--incr-save={}", out.display());
        let report = save_at_fixed_addresses(p, options, &["-j1", &save]);
        let served = report["image"]["served"].as_u64().unwrap_or(0);
        (fs::read(out).unwrap(), served)
    };
    let plain = || Options::preloaded(library());
    let ((one, _), (other, _)) = (save("one", plain()), save("other", plain()));
    let (over, served) = save("over", with_image(p));
    // All itself too.
    assert_eq!(served, p.reads + 1);
    // Some numbers are other ones in every process.
    for (what, differ) in [
        ("without", differences(&one, &other)),
        ("with an image", differences(&one, &over)),
    ] {
        assert!(
            differ.len() <= 4 && differ.iter().all(|&(_, a, b)| (a | b) >> 32 == 0),
            "{what}: {differ:x?}"
        );
    }
}
