//! Installing, using and removing: `make install` into a root of its own, C programs that find the library by
//! pkg-config and by CMake, the library preloaded by its bare name, completions in bash, the Debian package.
//!
//! Needs `make`, `pkg-config`, `cmake`, `bash` and `dpkg-deb` besides the C compiler.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use testkit::lean::{self, Options};
use testkit::process::{self, Output};
use testkit::tree::{self, Tree};
use testkit::{TempDir, c, library, program, real_lean, shared_dir, static_library, temp_dir, workspace_dir};

const TEXT: &str = "found by its package";

/// A program that uses the library, and says how many copies of it the process has mapped.
const SOURCE: &str = r#"
#include <stdio.h>
#include <string.h>
#include <lean_region.h>

int main(void) {
    lean_object *text = lean_region_mk_string("found by its package", 20);
    puts(lean_region_string_text(text));
    lean_region_dec(text);
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[4096], seen[4096] = "";
    int copies = 0;
    while (maps && fgets(line, sizeof line, maps)) {
        char *path = strchr(line, '/');
        if (path && strstr(path, "liblean_region") && strcmp(path, seen)) {
            strcpy(seen, path);
            copies++;
        }
    }
    printf("%d copies\n", copies);
    return 0;
}
"#;

/// A folder that looks like a finished release build, made of what cargo built for this test.
fn build_dir() -> &'static Path {
    static DIR: OnceLock<TempDir> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let dir = temp_dir("install-build");
        for built in [library(), static_library(), program("olean")] {
            symlink(&built, dir.path().join(built.file_name().unwrap())).unwrap();
        }
        dir
    });
    dir.path()
}

/// `make` with these words; one at a time, as the stage is one folder.
#[track_caller]
fn make(words: &[String]) -> Output {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock();
    let build = format!("BUILD={}", build_dir().display());
    let mut command = Command::new("make");
    process::run(command.arg("-C").arg(workspace_dir()).arg(build).args(words)).success()
}

fn destdir(root: &Path) -> String {
    format!("DESTDIR={}", root.display())
}

/// The paths of all files below `root`, relative to it.
fn files(root: &Path) -> Vec<String> {
    let output = process::run(
        Command::new("find")
            .current_dir(root)
            .args([".", "!", "-type", "d"]),
    )
    .success();
    let mut files: Vec<_> = output.stdout.lines().map(|line| line[1..].to_owned()).collect();
    files.sort();
    files
}

/// An installation below a root of its own.
struct Installed {
    root: TempDir,
}

impl Installed {
    fn new(label: &str) -> Self {
        let root = temp_dir(label);
        make(&["install".into(), destdir(root.path())]);
        Installed { root }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    fn pkg_config(&self) -> Command {
        let mut command = Command::new("pkg-config");
        self.apply_pkg_config(&mut command);
        command
    }

    fn apply_pkg_config(&self, command: &mut Command) {
        command
            .env("PKG_CONFIG_LIBDIR", self.path("usr/local/lib/pkgconfig"))
            .env("PKG_CONFIG_SYSROOT_DIR", self.root.path());
    }

    /// Runs a program that is linked with the library.
    #[track_caller]
    fn run(&self, program: &Path) -> Output {
        let mut command = Command::new(program);
        Options::stock().apply(&mut command);
        process::run(command.env("LD_LIBRARY_PATH", self.path("usr/local/lib"))).success()
    }

    /// A program built with what pkg-config says.
    fn linked_program(&self) -> PathBuf {
        let words = process::run(self.pkg_config().args(["--cflags", "--libs", "lean_region"])).success();
        let source = self.path("use.c");
        fs::write(&source, SOURCE).unwrap();
        let mut build = c::Build::new();
        build.file(&source);
        for word in words.stdout.split_whitespace() {
            build.arg(word);
        }
        build.build(self.path("use"))
    }
}

/// A few modules, compiled by the stock compiler.
fn stock_tree() -> &'static Tree {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| {
        let tree = tree::generate(&shared_dir("install-tree"), 3, 3, 5);
        lean::compile(&real_lean(), &tree, &Options::stock());
        tree
    })
}

#[test]
fn an_installation_is_complete_is_used_and_goes_without_a_trace() {
    let installed = Installed::new("install");
    let found = files(installed.root.path());
    let version = env!("CARGO_PKG_VERSION");
    for path in [
        "/usr/local/include/lean_region.h".to_owned(),
        "/usr/local/lib/liblean_region.a".to_owned(),
        "/usr/local/lib/liblean_region.so".to_owned(),
        "/usr/local/lib/liblean_region.so.0".to_owned(),
        format!("/usr/local/lib/liblean_region.so.{version}"),
        "/usr/local/lib/pkgconfig/lean_region.pc".to_owned(),
        "/usr/local/bin/olean".to_owned(),
        "/usr/local/share/man/man1/olean.1".to_owned(),
        "/usr/local/share/man/man1/olean-verify.1".to_owned(),
        "/usr/local/share/bash-completion/completions/olean".to_owned(),
        "/usr/local/share/zsh/site-functions/_olean".to_owned(),
        "/usr/local/share/fish/vendor_completions.d/olean.fish".to_owned(),
        "/usr/local/share/doc/lean-region/LICENSE".to_owned(),
        "/usr/local/share/doc/lean-region/MANIFEST".to_owned(),
    ] {
        assert!(found.contains(&path), "{path} is missing in {found:#?}");
    }
    let licences = |name: &str| found.iter().any(|f| f.contains(&format!("/THIRD-PARTY/{name}-")));
    assert!(
        licences("iced-x86") && licences("clap"),
        "licences are missing: {found:#?}"
    );
    assert!(
        !licences("proptest") && !licences("syn"),
        "licences of what is not linked in: {found:#?}"
    );

    let output = installed.run(&installed.linked_program());
    assert_eq!(output.stdout, format!("{TEXT}\n1 copies\n"));
    let tool = process::run(Command::new(installed.path("usr/local/bin/olean")).args([
        "with",
        "--verbose",
        "--",
        "true",
    ]));
    let library = installed
        .path("usr/local/lib")
        .join(format!("liblean_region.so.{version}"));
    assert!(
        tool.stderr
            .contains(&library.canonicalize().unwrap().display().to_string()),
        "the installed tool uses another library: {tool}"
    );

    // An upgrade: a file that only the old version had goes, and the library is another file, not the old one changed.
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let before = inode(&library);
    let held = fs::File::open(&library).unwrap();
    let old = installed.path("usr/local/lib/liblean_region.so.0.0.9");
    fs::write(&old, "old").unwrap();
    let manifest = installed.path("usr/local/share/doc/lean-region/MANIFEST");
    let listed = fs::read_to_string(&manifest).unwrap();
    fs::write(
        &manifest,
        format!("/usr/local/lib/liblean_region.so.0.0.9\n{listed}"),
    )
    .unwrap();
    make(&["install".into(), destdir(installed.root.path())]);
    assert_ne!(inode(&library), before, "the library was overwritten in place");
    assert!(!old.exists(), "the old version's file is still there");
    drop(held);

    for mine in ["use", "use.c"] {
        fs::remove_file(installed.path(mine)).unwrap();
    }
    make(&["uninstall".into(), destdir(installed.root.path())]);
    let left = process::run(
        Command::new("find")
            .arg(installed.root.path())
            .args(["-mindepth", "1"]),
    )
    .success();
    assert_eq!(left.stdout, "", "the removal left something");
}

/// What bash offers for the last of these words, with the completions that are installed.
#[track_caller]
fn completed(installed: &Installed, words: &[&str]) -> Vec<String> {
    let script = r#"
        source "$0"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        set -- $(complete -p olean)
        while [ "$1" != -F ]; do shift; done
        "$2" olean "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", script]);
    command.arg(installed.path("usr/local/share/bash-completion/completions/olean"));
    let output = process::run(command.args(words)).success();
    assert_eq!(output.stderr, "", "{output}");
    output.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_options() {
    let installed = Installed::new("install-bash");
    assert_eq!(completed(&installed, &["olean", "veri"]), ["verify"]);
    assert_eq!(completed(&installed, &["olean", "image", "ref"]), ["refresh"]);
    assert_eq!(completed(&installed, &["olean", "verify", "--js"]), ["--json"]);
    let files = completed(&installed, &["olean", "doctor", "--no-such"]);
    assert_eq!(files, [""], "nothing of the kind");
}

#[test]
fn cmake_finds_the_package() {
    let installed = Installed::new("install-cmake");
    let source = installed.path("cmake");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("use.c"), SOURCE).unwrap();
    fs::write(
        source.join("CMakeLists.txt"),
        "cmake_minimum_required(VERSION 3.18)\nproject(use C)\nfind_package(PkgConfig REQUIRED)\n\
         pkg_check_modules(lean_region REQUIRED IMPORTED_TARGET lean_region)\nadd_executable(use use.c)\n\
         target_link_libraries(use PkgConfig::lean_region)\n",
    )
    .unwrap();
    for words in [&["-S", ".", "-B", "build"][..], &["--build", "build"][..]] {
        let mut command = Command::new(testkit::cmake());
        installed.apply_pkg_config(&mut command);
        process::run(command.current_dir(&source).args(words)).success();
    }
    let output = installed.run(&source.join("build/use"));
    assert_eq!(output.stdout, format!("{TEXT}\n1 copies\n"));
}

#[test]
fn preloaded_from_one_path_and_linked_from_another_it_is_one_copy() {
    let installed = Installed::new("install-twice");
    let program = installed.linked_program();
    let mut command = Command::new(&program);
    Options::preloaded(library()).apply(&mut command);
    let output = process::run(command.env("LD_LIBRARY_PATH", installed.path("usr/local/lib"))).success();
    assert_eq!(output.stdout, format!("{TEXT}\n1 copies\n"), "{output}");
}

#[test]
fn the_bare_name_of_an_installed_library_attaches() {
    let installed = Installed::new("install-bare");
    let reports = temp_dir("install-reports");
    let tree = stock_tree();
    let options = Options::preloaded("liblean_region.so.0")
        .env("LD_LIBRARY_PATH", installed.path("usr/local/lib"))
        .report(reports.path());
    let mut command = lean::command(&real_lean(), &tree.dir, &options);
    process::run(command.arg("All.lean")).success();
    let reports = lean::reports(reports.path());
    assert_eq!(reports.len(), 1, "no report: the library did not attach");
    assert_eq!(reports[0]["mode"], "replace");
    assert!(
        reports[0]["read"]["calls"].as_u64().unwrap() > 0,
        "{}",
        reports[0]
    );
}

#[test]
fn the_debian_package_installs_works_and_goes() {
    let out = temp_dir("install-deb");
    let root = out.path().join("root");
    make(&["deb".into(), format!("PACKAGES={}", out.path().display())]);
    let is_package = |path: &PathBuf| path.extension().is_some_and(|e| e == "deb");
    let packages: Vec<PathBuf> = fs::read_dir(out.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    let package = packages.iter().find(|path| is_package(path)).expect("a package");
    // A root with an empty package database; the dependencies are those of this very system.
    fs::create_dir_all(root.join("var/lib/dpkg/info")).unwrap();
    fs::create_dir_all(root.join("var/lib/dpkg/updates")).unwrap();
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    let dpkg = |words: &[&str]| {
        let mut command = Command::new("dpkg");
        command
            .arg("--root")
            .arg(&root)
            .args(["--force-depends", "--force-not-root", "--no-triggers"]);
        process::run(command.arg("--log=/dev/null").args(words)).success()
    };
    dpkg(&["--install", package.to_str().unwrap()]);
    let output = process::run(Command::new(root.join("usr/bin/olean")).arg("--version")).success();
    assert!(output.stdout.contains(env!("CARGO_PKG_VERSION")), "{output}");
    let listed = dpkg(&["--listfiles", "lean-region"]).stdout;
    assert!(listed.contains("/liblean_region.so.0\n"), "{listed}");
    dpkg(&["--purge", "lean-region"]);
    assert!(
        !root.join("usr").exists(),
        "left behind: {:#?}",
        files(&root.join("usr"))
    );
}
