//! Names as Lean prints them: components joined by dots, those that are no identifiers in French quotes
//! (upstream `src/Init/Meta/Defs.lean`, `Name.toString`; `src/Init/Prelude.lean`, `isIdFirst`, `isIdRest`).

use super::graph::{Graph, Value};
use crate::format::object::Kind;

/// Longest name that is put together, in components.
const MAX_COMPONENTS: usize = 1000;

/// A component of a name.
enum Part<'a> {
    Text(&'a str),
    Number(String),
}

impl<'a> Graph<'_, 'a> {
    /// The text of a value that has the shape of a `Lean.Name`: constructors `str` and `num` with their 8
    /// bytes of hash, down to the anonymous name. `None` for the anonymous name itself, which any 0 could be.
    #[must_use]
    pub fn name(&self, v: Value) -> Option<String> {
        let parts = self.name_parts(v)?;
        let escape = !(inaccessible(&parts) || has_macro_scopes(&parts) || pseudo_syntax(&parts));
        let mut text = String::new();
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                text.push('.');
            }
            match part {
                Part::Number(n) => text += n,
                Part::Text(s) if !escape || is_identifier(s) || s.contains('»') => text += s,
                Part::Text(s) => {
                    text.push('«');
                    text += s;
                    text.push('»');
                }
            }
        }
        Some(text)
    }

    /// The last component of a name, if it is a text.
    #[must_use]
    pub fn last_component(&self, v: Value) -> Option<&'a str> {
        let Value::Object(n) = v else { return None };
        let shaped = self.kind(n) == Kind::Ctor && self.children_len(n) == 2 && self.scalars(n).len() == 8;
        match self.child(n, 1)? {
            Value::Object(s) if shaped && self.tag(n) == 1 => self.string(s),
            _ => None,
        }
    }

    /// The components of a name, outermost first.
    fn name_parts(&self, v: Value) -> Option<Vec<Part<'a>>> {
        let mut parts = Vec::new();
        let mut v = v;
        while let Value::Object(n) = v {
            let shaped = self.kind(n) == Kind::Ctor && self.children_len(n) == 2;
            if !shaped || self.scalars(n).len() != 8 || parts.len() == MAX_COMPONENTS {
                return None;
            }
            let part = self.child(n, 1)?;
            parts.push(match (self.tag(n), part) {
                (1, Value::Object(s)) => Part::Text(self.string(s)?),
                (2, Value::Object(big)) => Part::Number(self.bignum(big)?.to_decimal()),
                (2, Value::Scalar(small)) => Part::Number(small.to_string()),
                _ => return None,
            });
            v = self.child(n, 0)?;
        }
        parts.reverse();
        (v == Value::Scalar(0) && !parts.is_empty()).then_some(parts)
    }
}

/// Whether Lean shows the name with a dagger.
fn inaccessible(parts: &[Part<'_>]) -> bool {
    let last = parts.iter().rev().find_map(|p| match p {
        Part::Text(s) => Some(*s),
        Part::Number(_) => None,
    });
    last.is_some_and(|s| s.contains('✝') || s == "_inaccessible")
}

/// Whether a macro has made the name: it ends with `_hyg` and numbers.
fn has_macro_scopes(parts: &[Part<'_>]) -> bool {
    let text = parts.iter().rposition(|p| matches!(p, Part::Text(_)));
    text.is_some_and(|i| matches!(parts[i], Part::Text("_hyg")))
}

/// Whether it stands for a loose bound variable or a metavariable.
fn pseudo_syntax(parts: &[Part<'_>]) -> bool {
    matches!(parts[0], Part::Text(s) if s.starts_with(['#', '?']))
}

/// Whether a text can stand in a name without quotes.
#[must_use]
pub fn is_identifier(s: &str) -> bool {
    let mut chars = s.chars();
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || is_letter_like(c);
    let rest = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '_' | '\'' | '!' | '?')
            || is_letter_like(c)
            || is_subscript(c)
    };
    chars.next().is_some_and(first) && chars.all(rest)
}

fn is_letter_like(c: char) -> bool {
    match u32::from(c) {
        // Lower Greek without lambda, upper Greek without Pi and Sigma, Coptic.
        0x3bb | 0x3a0 | 0x3a3 => false,
        0x3b1..=0x3c9 | 0x391..=0x3a9 | 0x3ca..=0x3fb => true,
        // Latin letters with accents, without the signs of multiplication and division.
        0xd7 | 0xf7 => false,
        0xc0..=0x17f => true,
        // Polytonic Greek, letter-like symbols, script, double-struck and Fraktur letters.
        0x1f00..=0x1ffe | 0x2100..=0x214f | 0x1d49c..=0x1d59f => true,
        _ => false,
    }
}

fn is_subscript(c: char) -> bool {
    matches!(u32::from(c), 0x2080..=0x2089 | 0x2090..=0x209c | 0x1d62..=0x1d6a | 0x2c7c)
}

#[cfg(test)]
mod tests {
    use super::is_identifier;

    #[test]
    fn identifiers_are_those_that_need_no_quotes() {
        for good in [
            "a", "_x", "n'", "größe", "α", "x₁", "get!", "find?", "ℕ", "𝒜", "_proof_1",
        ] {
            assert!(is_identifier(good), "{good}");
        }
        for bad in ["", "1", "a b", "a.b", "λ", "Π", "«a»", "+", "x-y", "₁", "'", "a×"] {
            assert!(!is_identifier(bad), "{bad}");
        }
    }
}
