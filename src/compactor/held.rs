//! Values taken out of references that other threads may change: whoever sets such a reference releases what it held, so
//! the compactor owns what it has read. It does so as long as it knows the addresses of objects, which is as long as it
//! lives: an object that goes may come back at the same address as another one.

use super::values::Values;
use crate::object::Obj;
use olean_reader::format::room::{self, NoMemory};

/// The values, each owned, and how to give them back.
#[derive(Default)]
pub(super) struct Held {
    values: Vec<Obj>,
    release: Option<Box<dyn Fn(Obj) + Send>>,
}

impl Held {
    /// Takes over a value that `host` gave.
    ///
    /// # Errors
    /// [`NoMemory`]; the value is given back.
    pub(super) fn push(&mut self, value: Obj, host: &impl Values) -> Result<(), NoMemory> {
        let release = self.release.get_or_insert_with(|| host.releaser());
        room::push(&mut self.values, value, "values of shared references").inspect_err(|_| release(value))
    }

    /// Whether no shared reference was met.
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(release) = &self.release {
            self.values.drain(..).for_each(release);
        }
    }
}
