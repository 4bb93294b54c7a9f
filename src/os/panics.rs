//! Panics caught where they must not go on: at the border to C, and where a failure of ours is one answer among others.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f`; a panic of it becomes a text that asks for a report.
///
/// # Errors
/// The text of the panic. Values that `f` had borrowed to write may be half written.
pub fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| internal(panic.as_ref()))
}

fn internal(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!(
        "internal error of lean-region, please report it: {}",
        text.unwrap_or("unknown panic")
    )
}
