//! Commands on a pseudo-terminal.

use crate::run::olean;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What a terminal of so many columns shows of a command, and the exit code.
pub fn on_terminal(columns: u16, dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> (String, i32) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let controller = openpt(flags).expect("a terminal");
    grantpt(&controller).expect("a terminal");
    unlockpt(&controller).expect("a terminal");
    let name = ptsname(&controller, Vec::new()).expect("its name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = File::from(rustix::fs::open(name, flags, Mode::empty()).expect("a terminal"));
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size).expect("a size");
    let clone = || terminal.try_clone().expect("a descriptor");
    let mut command = olean(dir, args);
    command
        .env("TERM", "xterm-256color")
        .envs(environment.iter().copied());
    let mut child = command
        .stdin(clone())
        .stdout(clone())
        .stderr(clone())
        .spawn()
        .expect("the tool runs");
    // The last descriptors on the tool's side close when it ends; reading then fails with EIO.
    drop((terminal, command));
    let mut shown = Vec::new();
    let _ = File::from(controller).read_to_end(&mut shown);
    let code = child.wait().expect("the tool ends").code().expect("no signal");
    (String::from_utf8(shown).expect("UTF-8"), code)
}

/// The text without escape sequences.
pub fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // CSI sequences end with a letter.
            let _ = chars.find(char::is_ascii_alphabetic);
        } else {
            out.push(c);
        }
    }
    out
}
