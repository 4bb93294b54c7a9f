//! Paths from the root, such as `constants[12].val.type.fn.declName`: field names where the type is known,
//! plain `.3` otherwise, `[12]` for elements of arrays and of lists whose type is known.

use super::graph::{Graph, Value};
use super::space::NodeId;
use super::types::Type;
use crate::format::object::Kind;
use std::fmt::Write as _;

/// Longest text shown of a string or of bytes.
const MAX_TEXT: usize = 60;
/// Longest bignum shown as a number, in bytes.
const MAX_BIGNUM: usize = 64;

/// A place in a graph.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// What is there.
    pub value: Value,
    /// Its type, as far as known.
    pub ty: Type,
    /// For a rest of a list: how many elements came before.
    pub before: Option<u64>,
}

/// Why a path leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The text is no path.
    #[error("`{0}` is no path: write it like constants[12].val.type or .0[3]")]
    Syntax(String),
    /// A step that the object does not have.
    #[error("there is no `{step}` after `{path}`, which is {what}")]
    NoSuch {
        /// The step.
        step: String,
        /// The path up to it.
        path: String,
        /// What is there.
        what: String,
    },
}

impl Graph<'_, '_> {
    /// The place of the root.
    #[must_use]
    pub fn root_place(&self) -> Place {
        Place {
            value: self.root(),
            ty: self.root_type(),
            before: None,
        }
    }

    /// The place of pointer field `i` of an object at `place`, and appends the step to `path`.
    #[must_use]
    pub fn step(&self, place: Place, n: NodeId, i: usize, path: &mut String) -> Option<Place> {
        let value = self.child(n, i)?;
        let ty = self.child_type(place.ty, n, i);
        let mut before = None;
        // Writing to a string does not fail.
        let _ = match place.ty {
            Type::List(_) if self.is_cons(n) => {
                let index = place.before.unwrap_or(0);
                if i == 1 {
                    before = Some(index + 1);
                    Ok(())
                } else {
                    write!(path, "[{index}]")
                }
            }
            _ if self.kind(n) == Kind::Array => write!(path, "[{i}]"),
            _ => match self.shape(place.ty, n) {
                Some(c) => write!(path, ".{}", c.fields[i].0),
                None => write!(path, ".{i}"),
            },
        };
        Some(Place { value, ty, before })
    }

    /// The place at the end of a path.
    ///
    /// # Errors
    /// The text is no path, or leads nowhere.
    pub fn follow(&self, path: &str) -> Result<Place, PathError> {
        let mut place = self.root_place();
        let mut rest = path.trim_start_matches('.');
        let mut done = String::new();
        let syntax = || PathError::Syntax(path.to_owned());
        while !rest.is_empty() {
            let (step, next) = if let Some(inner) = rest.strip_prefix('[') {
                inner.split_once(']').ok_or_else(syntax)?
            } else {
                let name = rest.strip_prefix('.').unwrap_or(rest);
                name.split_at(name.find(['.', '[']).unwrap_or(name.len()))
            };
            if step.is_empty() {
                return Err(syntax());
            }
            let indexed = rest.starts_with('[');
            place = self
                .take(place, step, indexed, &mut done)
                .ok_or_else(|| PathError::NoSuch {
                    step: step.to_owned(),
                    path: done.clone(),
                    what: self.describe(place),
                })?;
            rest = next;
        }
        Ok(place)
    }

    fn take(&self, mut place: Place, step: &str, indexed: bool, done: &mut String) -> Option<Place> {
        let Value::Object(mut n) = place.value else {
            return None;
        };
        let number = step.parse::<u64>().ok();
        if indexed && matches!(place.ty, Type::List(_)) {
            for _ in 0..number? {
                place = self.step(place, n, 1, done).filter(|_| self.is_cons(n))?;
                let Value::Object(next) = place.value else {
                    return None;
                };
                n = next;
            }
            return self.step(place, n, 0, done);
        }
        if let Some(i) = number {
            return self.step(place, n, usize::try_from(i).ok()?, done);
        }
        let i = self.shape(place.ty, n)?.fields.iter().position(|f| f.0 == step)?;
        self.step(place, n, i, done)
    }

    /// One line about what is at a place: names, strings and numbers readable, long ones cut.
    #[must_use]
    pub fn describe(&self, place: Place) -> String {
        let n = match place.value {
            Value::Scalar(0) if matches!(place.ty, Type::Name) => return "[anonymous]".to_owned(),
            Value::Scalar(0) if matches!(place.ty, Type::List(_)) => return "[]".to_owned(),
            Value::Scalar(v) => return v.to_string(),
            Value::Outside(p) => return format!("pointer {p:#x} into another file"),
            Value::Object(n) => n,
        };
        if let Some(name) = self.name(place.value) {
            return cut(&format!("`{name}"), 4 * MAX_TEXT);
        }
        let len = self.children_len(n);
        match self.kind(n) {
            Kind::Ctor => {
                if let Some(c) = self.shape(place.ty, n) {
                    return c.name.to_owned();
                }
                if matches!(place.ty, Type::List(_)) && self.is_cons(n) {
                    return "list".to_owned();
                }
                let scalars = self.scalars(n);
                let mut text = format!("ctor {} with {len} fields", self.tag(n));
                if !scalars.is_empty() {
                    text += &format!(", scalars {}", hex(scalars));
                }
                text
            }
            Kind::Closure => {
                let c = self.closure(n).expect("a closure");
                let library = String::from_utf8_lossy(c.library);
                format!(
                    "closure {library}+{:#x}, arity {}, {} fixed",
                    c.offset, c.arity, c.fixed
                )
            }
            Kind::Array => format!("array of {len}"),
            Kind::Sarray => {
                let (element, bytes) = self.sarray(n).expect("a scalar array");
                let count = bytes.len() / usize::from(element);
                format!("scalar array of {count} x {element} bytes: {}", hex(bytes))
            }
            Kind::String => format!("{:?}", cut(self.string(n).unwrap_or_default(), MAX_TEXT)),
            Kind::Mpz => {
                let v = self.bignum(n).expect("a bignum");
                match v.magnitude.len() {
                    0..=MAX_BIGNUM => v.to_decimal(),
                    len => format!("bignum of {len} bytes"),
                }
            }
            kind => kind.name().to_owned(),
        }
    }
}

fn cut(s: &str, max: usize) -> String {
    match s.char_indices().nth(max) {
        Some((i, _)) => format!("{}…", &s[..i]),
        None => s.to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    let shown: String = bytes
        .iter()
        .take(MAX_TEXT / 2)
        .map(|b| format!("{b:02x}"))
        .collect();
    if bytes.len() > MAX_TEXT / 2 {
        shown + "…"
    } else {
        shown
    }
}
