//! The one way to say something to people: a line on stderr.

use std::io;

/// Writes one line, and takes no lock for it: another thread of the parent may have held that of the standard library
/// when this process was forked. Nobody is left to tell that stderr is closed.
pub fn complain(text: &str) {
    let line = format!("lean-region: {text}\n");
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        // SAFETY: `rest` is readable for its length.
        let wrote = unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) };
        match usize::try_from(wrote) {
            Ok(0) => return,
            Ok(wrote) => rest = &rest[wrote..],
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
