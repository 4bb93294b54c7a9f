//! MATRIX.md is what the table of hosts says.

use std::fs;
use testkit::hosts::{HOSTS, LINES, matrix};
use testkit::workspace_dir;

#[test]
fn the_committed_matrix_is_the_table() {
    let path = workspace_dir().join("MATRIX.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, matrix()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == matrix(),
        "MATRIX.md is not up to date: run `UPDATE_EXPECT=1 cargo test --release --test matrix`\n{}",
        matrix()
    );
}

#[test]
fn every_generation_has_an_imitated_host() {
    for line in LINES {
        assert!(HOSTS.iter().any(|h| h.abi == line.abi), "{line:?}");
    }
}
