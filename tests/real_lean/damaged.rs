//! Files that are not as they should be. With `LEAN_REGION_VERIFY=1` no file that breaks the format ends a real Lean
//! by a signal: importing it is an error that names the file. The stock loader dies of many such files.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use testkit::lean;
use testkit::olean::Rng;
use testkit::process;
use testkit::{real_lean, temp_dir, tree};

use crate::ours;

const DAMAGED: u64 = 60;

#[test]
fn damaged_files_are_errors_and_never_signals() {
    let dir = temp_dir("damaged");
    let tree = tree::generate(dir.path(), 3, 6, 7);
    lean::compile(&real_lean(), &tree, &lean::Options::stock());
    let victim = tree
        .modules
        .iter()
        .find(|m| !m.is_module)
        .expect("a module of one part");
    let path = tree.dir.join(victim.olean());
    let whole = fs::read(&path).unwrap();
    let options = ours().env("LEAN_REGION_VERIFY", "1");
    let import = || process::run(lean::command(&real_lean(), &tree.dir, &options).arg(tree.all().source()));
    assert!(import().status.success());

    let mut refused = 0;
    for seed in 0..DAMAGED {
        let damaged = damage(&whole, seed);
        // Damage that keeps to the format, such as another letter in a string, is for Lean to notice or not.
        if olean_reader::verify_region(&damaged, &[], &olean_reader::Options::default()).is_ok() {
            continue;
        }
        // A new file each time: nobody has the old one mapped.
        fs::remove_file(&path).unwrap();
        fs::write(&path, damaged).unwrap();
        let output = import();
        let name = victim.olean();
        assert_eq!(output.status.signal(), None, "damage {seed}: {output}");
        assert!(!output.status.success(), "damage {seed}: {output}");
        assert!(
            output.stdout.contains("failed to read"),
            "damage {seed}: {output}"
        );
        assert!(
            output.stdout.contains(name.to_str().unwrap()),
            "damage {seed}: {output}"
        );
        refused += 1;
    }
    assert!(
        refused > DAMAGED / 2,
        "only {refused} of {DAMAGED} damages broke the format"
    );
}

#[test]
fn a_file_of_another_githash_is_read_if_that_is_wanted() {
    let dir = temp_dir("githash");
    let tree = tree::generate(dir.path(), 3, 6, 7);
    lean::compile(&real_lean(), &tree, &lean::Options::stock());
    let victim = tree
        .modules
        .iter()
        .find(|m| !m.is_module)
        .expect("a module of one part");
    let path = tree.dir.join(victim.olean());
    let mut bytes = fs::read(&path).unwrap();
    bytes[40..44].copy_from_slice(b"beef");
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    let import = |options: &lean::Options| {
        process::run(lean::command(&real_lean(), &tree.dir, options).arg(tree.all().source()))
    };
    let refused = import(&ours());
    assert!(!refused.status.success(), "{refused}");
    assert!(refused.stdout.contains("incompatible header"), "{refused}");
    assert!(refused.stdout.contains("LEAN_REGION_ANY_GITHASH=1"), "{refused}");
    import(&ours().env("LEAN_REGION_ANY_GITHASH", "1")).success();
}

/// `whole` with one word changed, one bit flipped, or its end cut off.
fn damage(whole: &[u8], seed: u64) -> Vec<u8> {
    let mut rng = Rng(seed);
    let mut bytes = whole.to_vec();
    let words = whole.len() as u64 / 8;
    let at = rng.below(words) as usize * 8;
    match seed % 4 {
        0 => bytes.truncate(at),
        1 => bytes[at + rng.below(8) as usize] ^= 1 << rng.below(8),
        2 => bytes[at..at + 8].copy_from_slice(&rng.draw().to_le_bytes()),
        _ => {
            let word = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            bytes[at..at + 8].copy_from_slice(&word.wrapping_add(8).to_le_bytes());
        }
    }
    bytes
}
