//! A C program in a process with a real Lean: files that are read again while their regions are alive. What cannot
//! change is one region here, and a copy each time with the stock loader; what can change is everybody's own with
//! either.

use std::process::Command;

use testkit::c::Build;
use testkit::lean::Options;
use testkit::process;
use testkit::{real_lean, temp_dir, workspace_dir};

use crate::{ours, stock_tree};

#[test]
fn what_cannot_change_is_one_region_however_often_it_is_read() {
    let dir = temp_dir("rereads");
    let mut build = Build::new();
    build.file(workspace_dir().join("c-tests/closures/rereads.c"));
    let program = real_lean().link(&mut build).build(dir.path().join("rereads"));
    let module = stock_tree().dir.join("Base.olean");
    let run = |options: &Options| {
        let mut run = Command::new(&program);
        let files = [
            dir.path().join("constant"),
            dir.path().join("changing"),
            module.clone(),
        ];
        process::run(options.apply(&mut run).args(files)).success().stdout
    };
    assert_eq!(run(&Options::stock()), "copies\ncopies\ncopies\nleft 0\n");
    assert_eq!(run(&ours()), "the same\ncopies\nthe same\nleft 0\n");
}
