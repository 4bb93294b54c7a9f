//! The library against real files and against the independent checker. Needs `../shared` beside the
//! workspace and `python3`.

mod corpus;
mod decls;
mod resave;
mod tool;
mod written;

use std::sync::{Mutex, MutexGuard};

/// Taken by every test, so that what one measures is its own.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
