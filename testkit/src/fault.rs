//! A library that is wrong on purpose.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::process;

/// `liblean_region.so` built with the feature `fault-injection` into a target directory of its own, by the first
/// call. It is wrong in processes where `LEAN_REGION_FAULT` is `save` or `read`.
pub fn faulty_library() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let target = crate::target_dir().join("faulty");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .current_dir(crate::workspace_dir())
            .args(["build", "--locked", "-p", "lean-region", "--lib"])
            .args(["--features", "fault-injection", "--target-dir"])
            .arg(&target)
            .env_remove("CARGO_TARGET_DIR");
        process::run(&mut command).success();
        let library = target.join("debug/deps/liblean_region.so");
        assert!(library.is_file(), "{} was not built", library.display());
        library
    };
    LIBRARY.get_or_init(build).clone()
}
