//! Objects of the runtime in this process as owned handles, made through the library's C API as a program
//! without Lean makes them.

use lean_region::capi::lean_object;
use lean_region::capi::loader::{lean_read_module_data_parts, lean_save_module_data_parts};
use lean_region::capi::objects::{
    lean_region_box, lean_region_child, lean_region_child_count, lean_region_dec, lean_region_inc,
    lean_region_io_error_text, lean_region_io_is_ok, lean_region_is_scalar, lean_region_mk_array,
    lean_region_mk_ctor, lean_region_mk_name_str, lean_region_mk_number, lean_region_mk_string,
};
use std::collections::HashSet;
use std::ffi::CStr;
use std::path::Path;

/// An owned reference to an object, or a boxed scalar.
pub struct Object(*mut lean_object);

impl Object {
    fn made(p: *mut lean_object) -> Self {
        assert!(!p.is_null(), "the arguments are in range");
        Self(p)
    }

    /// A boxed scalar.
    pub fn scalar(value: usize) -> Self {
        Self(lean_region_box(value))
    }

    /// A constructor.
    pub fn ctor(tag: u8, fields: Vec<Object>, scalars: &[u8]) -> Self {
        let fields = into_raw(fields);
        // SAFETY: slices with their lengths; the references are given away, as the call consumes them.
        Self::made(unsafe {
            lean_region_mk_ctor(
                tag,
                fields.as_ptr(),
                fields.len(),
                scalars.as_ptr(),
                scalars.len(),
            )
        })
    }

    /// An array.
    pub fn array(elements: Vec<Object>) -> Self {
        let elements = into_raw(elements);
        // SAFETY: a slice with its length; the references are given away, as the call consumes them.
        Self::made(unsafe { lean_region_mk_array(elements.as_ptr(), elements.len()) })
    }

    /// A string.
    pub fn string(text: &str) -> Self {
        // SAFETY: the bytes of a string with their number.
        Self::made(unsafe { lean_region_mk_string(text.as_ptr().cast(), text.len()) })
    }

    /// A natural number of any size, lowest limb first.
    pub fn nat(limbs: &[u64]) -> Self {
        // SAFETY: a slice with its length.
        Self::made(unsafe { lean_region_mk_number(false, false, limbs.as_ptr(), limbs.len()) })
    }

    /// A list.
    pub fn list(elements: Vec<Object>) -> Self {
        let cons = |tail, head| Self::ctor(1, vec![head, tail], &[]);
        elements.into_iter().rev().fold(Self::scalar(0), cons)
    }

    /// A `Lean.Name` from its components.
    pub fn name(dotted: &str) -> Self {
        let append = |prefix: Self, part| {
            let string = Self::string(part);
            // SAFETY: both references are given away, as the call consumes them.
            Self::made(unsafe { lean_region_mk_name_str(prefix.into_raw(), string.into_raw()) })
        };
        dotted.split('.').fold(Self::scalar(0), append)
    }

    fn into_raw(self) -> *mut lean_object {
        let p = self.0;
        std::mem::forget(self);
        p
    }

    /// Child `i` of an object that has so many.
    pub fn child(&self, i: usize) -> Self {
        // SAFETY: the object lives as long as `self`; the child is given a count of its own.
        unsafe {
            let p = lean_region_child(self.0, i);
            assert!(!p.is_null(), "the object has so many children");
            lean_region_inc(p);
            Self(p)
        }
    }

    /// Number of children.
    pub fn children(&self) -> usize {
        // SAFETY: a scalar or an object that lives as long as `self`.
        unsafe { lean_region_child_count(self.0) }
    }

    /// Objects reachable from here, each counted once.
    pub fn count_reachable(&self) -> usize {
        let mut seen = HashSet::new();
        let mut stack = vec![self.0];
        while let Some(p) = stack.pop() {
            if lean_region_is_scalar(p) || !seen.insert(p) {
                continue;
            }
            // SAFETY: children of a live object live as long as it does.
            let count = unsafe { lean_region_child_count(p) };
            // SAFETY: as above.
            stack.extend((0..count).map(|i| unsafe { lean_region_child(p, i) }));
        }
        seen.len()
    }

    /// The value of an IO result, or the text of its error.
    fn io(self) -> Result<Self, String> {
        // SAFETY: an IO result that lives as long as `self`; the text of an error is a terminated string in it.
        unsafe {
            if lean_region_io_is_ok(self.0) {
                return Ok(self.child(0));
            }
            let text = lean_region_io_error_text(self.0);
            Err(CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    }
}

fn into_raw(objects: Vec<Object>) -> Vec<*mut lean_object> {
    objects.into_iter().map(Object::into_raw).collect()
}

impl Clone for Object {
    fn clone(&self) -> Self {
        // SAFETY: a scalar or an object that lives as long as `self`.
        unsafe { lean_region_inc(self.0) };
        Self(self.0)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: a reference that this value owns.
        unsafe { lean_region_dec(self.0) };
    }
}

/// Saves the parts of a module: files and roots.
pub fn save_parts(module: &str, parts: &[(&Path, &Object)]) -> Result<(), String> {
    let pair = |(path, root): &(&Path, &Object)| {
        let path = path
            .to_str()
            .ok_or_else(|| format!("'{}' is no UTF-8", path.display()))?;
        Ok(Object::ctor(0, vec![Object::string(path), (*root).clone()], &[]))
    };
    let parts = Object::array(parts.iter().map(pair).collect::<Result<_, String>>()?);
    let module = Object::name(module);
    // SAFETY: a name and an array of pairs of string and object, borrowed by the call; nobody changes them.
    let result = Object::made(unsafe { lean_save_module_data_parts(module.0, parts.0) });
    result.io().map(drop)
}

/// Reads the parts of a module: their roots, which live until the process ends.
pub fn read_parts(paths: &[&Path]) -> Result<Vec<Object>, String> {
    let string = |path: &&Path| {
        let path = path
            .to_str()
            .ok_or_else(|| format!("'{}' is no UTF-8", path.display()))?;
        Ok(Object::string(path))
    };
    let names = Object::array(paths.iter().map(string).collect::<Result<_, String>>()?);
    // SAFETY: an array of strings, borrowed by the call. The regions are never freed, so that what is handed out
    // stays alive; whoever calls this does not write into the files.
    let regions = Object::made(unsafe { lean_read_module_data_parts(names.0) }).io()?;
    Ok((0..regions.children())
        .map(|i| regions.child(i).child(0))
        .collect())
}
