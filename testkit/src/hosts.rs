//! The Lean releases that are served, and the runtimes that stand in for them in tests: one table, from which the
//! tests of imitated hosts take their hosts and MATRIX.md is made.

use crate::c;
use std::path::{Path, PathBuf};

/// A runtime to imitate, as the macros of `c-tests/hosts` say.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// `BATCH`, `HANDLE` or `STRUCTURE`.
    pub generation: &'static str,
    /// `FUSED`, `MIMALLOC`, `SMALL` or `PLAIN`.
    pub allocator: &'static str,
    /// Fields of an IO result, `1` or `2`.
    pub io_fields: &'static str,
    /// Whether bignums are GMP's, `1` or `0`.
    pub gmp: &'static str,
    /// Name of the generation in reports.
    pub abi: &'static str,
    /// Name of the allocation scheme in reports.
    pub allocator_name: &'static str,
}

/// All imitated hosts.
pub const HOSTS: [Host; 11] = [
    host("BATCH", "SMALL", "2", "1", "batch", "small"),
    host("BATCH", "MIMALLOC", "2", "1", "batch", "mimalloc"),
    host("BATCH", "MIMALLOC", "1", "1", "batch", "mimalloc"),
    host("BATCH", "PLAIN", "2", "0", "batch", "malloc"),
    host("HANDLE", "MIMALLOC", "1", "1", "handle", "mimalloc"),
    host("HANDLE", "SMALL", "1", "0", "handle", "small"),
    host("HANDLE", "PLAIN", "1", "1", "handle", "malloc"),
    host("STRUCTURE", "MIMALLOC", "1", "1", "structure", "mimalloc"),
    host("STRUCTURE", "FUSED", "1", "1", "structure", "mimalloc-fused"),
    host("STRUCTURE", "SMALL", "1", "0", "structure", "small"),
    host("STRUCTURE", "PLAIN", "1", "1", "structure", "malloc"),
];

const fn host(
    generation: &'static str,
    allocator: &'static str,
    io_fields: &'static str,
    gmp: &'static str,
    abi: &'static str,
    allocator_name: &'static str,
) -> Host {
    Host {
        generation,
        allocator,
        io_fields,
        gmp,
        abi,
        allocator_name,
    }
}

impl Host {
    /// Builds the runtime and the program `source` of `c-tests/hosts` on it in the directory `dir`; answers the
    /// program.
    #[track_caller]
    pub fn build(&self, dir: &Path, source: &str) -> PathBuf {
        let sources = crate::workspace_dir().join("c-tests/hosts");
        let define = |build: &mut c::Build| {
            build.define(self.generation, "").define(self.allocator, "");
            build.define("IO_FIELDS", self.io_fields).define("GMP", self.gmp);
        };
        let mut runtime = c::Build::new();
        runtime.shared().bsymbolic().file(sources.join("host.c"));
        define(&mut runtime);
        let runtime = runtime.build(dir.join("libhost.so"));
        let mut program = c::Build::new();
        program.file(sources.join(source)).link(runtime).arg("-ldl");
        define(&mut program);
        program.build(dir.join("program"))
    }

    /// What the host is called in test output and in MATRIX.md.
    #[must_use]
    pub fn label(&self) -> String {
        let fields = if self.io_fields == "2" { ", 2 fields" } else { "" };
        format!("{}-{}{fields}", self.abi, self.allocator_name)
    }
}

/// Builds the runtime of `c-tests/redirect` as `defines` and `link_args` say, and the program there linked against it,
/// in the directory `dir`: `libhost.so` and `program`. Answers the program.
#[track_caller]
pub fn build_redirected(dir: &Path, defines: &[&str], link_args: &[&str]) -> PathBuf {
    let sources = crate::workspace_dir().join("c-tests/redirect");
    let mut runtime = c::Build::new();
    runtime.shared().bsymbolic().file(sources.join("host.c"));
    for define in defines {
        runtime.define(define, "");
    }
    for arg in link_args {
        runtime.arg(*arg);
    }
    let runtime = runtime.build(dir.join("libhost.so"));
    let mut program = c::Build::new();
    program.file(sources.join("program.c")).arg("-Wl,--no-as-needed");
    program.link(runtime).arg("-ldl").arg("-lpthread");
    program.build(dir.join("program"))
}

/// A line of Lean releases whose loaders are called alike.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// The releases.
    pub releases: &'static str,
    /// Name of the generation in reports.
    pub abi: &'static str,
    /// Fields of an IO result.
    pub io_fields: &'static str,
    /// The allocation scheme of the official releases, as reports name it.
    pub allocator: &'static str,
    /// Whether files of version 3 (closures) exist there.
    pub closures: bool,
    /// Whether the tests run a real release of this line.
    pub real: bool,
}

/// All lines, oldest first. Releases before v4.20 have other functions and are refused by name.
pub const LINES: [Line; 5] = [
    line("v4.20 to v4.25", "batch", "2", "mimalloc", false, false),
    line("v4.26 to v4.30", "batch", "1", "mimalloc", false, false),
    line("v4.31", "handle", "1", "mimalloc", false, false),
    line("v4.32 to v4.34", "structure", "1", "mimalloc", true, false),
    line("v4.35", "structure", "1", "mimalloc-fused", true, true),
];

const fn line(
    releases: &'static str,
    abi: &'static str,
    io_fields: &'static str,
    allocator: &'static str,
    closures: bool,
    real: bool,
) -> Line {
    Line {
        releases,
        abi,
        io_fields,
        allocator,
        closures,
        real,
    }
}

impl Line {
    /// How the line's loader is tested: the strongest of a real release, an imitated host of the same generation, IO
    /// results and allocator, one of the same generation, and nothing but the symbols.
    fn tested(&self) -> String {
        if self.real {
            return format!("real {}", super::REAL_LEAN_VERSION);
        }
        let same = |h: &&Host| h.abi == self.abi && h.io_fields == self.io_fields;
        let exact = HOSTS
            .iter()
            .filter(same)
            .find(|h| h.allocator_name == self.allocator);
        let near = || HOSTS.iter().find(|h| h.abi == self.abi);
        match exact.or_else(near) {
            Some(host) => format!("imitated ({})", host.label()),
            None => "by symbol only".to_owned(),
        }
    }
}

/// The text of MATRIX.md.
#[must_use]
pub fn matrix() -> String {
    let mut text = String::from(
        "# Lean releases\n\n\
         Made from `testkit/src/hosts.rs` (`UPDATE_EXPECT=1 cargo test --release --test matrix`); do not edit.\n\n\
         Each cell says how the thing is tested: on a *real* release, on an *imitated* host (a small runtime in \
         `c-tests/hosts`, by the names that reports show), or *by symbol only*: recognised, and not run. `-` is what the \
         release does not have.\n\n\
         | releases | generation | fields of an IO result | allocator of releases | saves | reads | closures | image | preload |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for line in LINES {
        let tested = line.tested();
        let closures = match (line.closures, line.real) {
            (false, _) => "-",
            (true, true) => &tested,
            // No imitated host has code whose closures a file could hold.
            (true, false) => "by symbol only",
        };
        text += &format!(
            "| {} | {} | {} | {} | {tested} | {tested} | {closures} | {tested} | {tested} |\n",
            line.releases, line.abi, line.io_fields, line.allocator
        );
    }
    text += "\nHosts that are imitated besides: ";
    let labels: Vec<String> = HOSTS.iter().map(Host::label).collect();
    text += &labels.join("; ");
    text += ". Processors: x86-64 is tested; on aarch64 the encodings of jumps and moved instructions are, by unit tests, \
             and nothing was run. Systems: Linux with glibc 2.17 or later; mapping at fixed addresses needs Linux 4.17, \
             older kernels relocate. Files of every release with format version 2 or 3, and of both pointer widths, are \
             read by `olean`.\n";
    text
}
