//! C programs and libraries built by tests, with the compiler that the `cc` crate finds (`CC` and `CFLAGS`
//! are honoured as in a build script).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;

/// The triple this test kit was built for, for the compiler search.
const TARGET: &str = if cfg!(target_arch = "aarch64") {
    "aarch64-unknown-linux-gnu"
} else {
    "x86_64-unknown-linux-gnu"
};

/// One run of the C or C++ compiler; arguments in the order in which they were given, sources and libraries
/// included.
#[derive(Debug, Clone, Default)]
pub struct Build {
    args: Vec<OsString>,
    shared: bool,
    cpp: bool,
}

impl Build {
    /// A program, with warnings as errors, debug information and `-O1`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds a shared library in place of a program.
    pub fn shared(&mut self) -> &mut Self {
        self.shared = true;
        self
    }

    /// Uses the C++ compiler.
    pub fn cpp(&mut self) -> &mut Self {
        self.cpp = true;
        self
    }

    /// Binds a shared library's references to its own functions inside it, as Lean's releases do.
    pub fn bsymbolic(&mut self) -> &mut Self {
        self.arg("-Wl,-Bsymbolic")
    }

    /// A source file, object file or library to link.
    pub fn file(&mut self, path: impl AsRef<Path>) -> &mut Self {
        self.arg(path.as_ref())
    }

    /// A shared library to link, found again at run time in the directory where it lies now.
    pub fn link(&mut self, library: impl AsRef<Path>) -> &mut Self {
        let library = library.as_ref();
        let mut rpath = OsString::from("-Wl,-rpath,");
        rpath.push(library.parent().expect("a library lies in a directory"));
        self.arg(library).arg(rpath)
    }

    /// `-D name=value`, or `-D name` when `value` is empty.
    pub fn define(&mut self, name: &str, value: &str) -> &mut Self {
        self.arg(if value.is_empty() {
            format!("-D{name}")
        } else {
            format!("-D{name}={value}")
        })
    }

    /// A directory with headers.
    pub fn include(&mut self, dir: impl AsRef<Path>) -> &mut Self {
        self.arg("-I").arg(dir.as_ref())
    }

    /// Any argument.
    pub fn arg(&mut self, arg: impl Into<OsString>) -> &mut Self {
        self.args.push(arg.into());
        self
    }

    /// The compiler's command line for `output`, not yet run.
    pub fn command(&self, output: &Path) -> Command {
        let compiler = cc::Build::new()
            .cpp(self.cpp)
            .opt_level(1)
            .debug(true)
            .warnings(true)
            .extra_warnings(true)
            .warnings_into_errors(true)
            .pic(true)
            .host(TARGET)
            .target(TARGET)
            .cargo_metadata(false)
            .try_get_compiler()
            .unwrap_or_else(|e| {
                panic!(
                    "no {} compiler: {e} (Debian: apt-get install gcc g++)",
                    self.language()
                )
            });
        let mut command = compiler.to_command();
        if self.shared {
            command.arg("-shared");
        }
        command.arg("-o").arg(output).args(&self.args);
        command
    }

    /// Compiles and links into `output` and returns it; panics with the compiler's text when it fails.
    #[track_caller]
    pub fn build(&self, output: impl Into<PathBuf>) -> PathBuf {
        let output = output.into();
        process::run(&mut self.command(&output)).success();
        output
    }

    fn language(&self) -> &'static str {
        if self.cpp { "C++" } else { "C" }
    }
}

/// Compiles the C program in `source` into `output` and returns `output`.
#[track_caller]
pub fn compile(source: impl AsRef<Path>, output: impl Into<PathBuf>) -> PathBuf {
    Build::new().file(source).build(output)
}
