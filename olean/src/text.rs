//! Texts laid out for a terminal.

use crate::render::{cut, cut_left};

/// A text in lines of at most `width` columns; all but the first leave two columns for an indentation. Longer words
/// have lines of their own.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let room = if lines.is_empty() {
            width
        } else {
            width.saturating_sub(2)
        };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    lines.push(line);
    lines
}

/// Columns of a list: `left`, which is never cut, what follows it, and at the end `right`; together at most `width`
/// columns. What follows is cut before `right` is left out.
pub fn columns(left: &str, middle: &str, right: &str, width: usize) -> (String, String) {
    let room = width.saturating_sub(left.chars().count());
    let gap = if right.is_empty() { 0 } else { 2 };
    let right = cut_left(right, (width / 3).max(8));
    let least = 12.min(room);
    let beside = right.chars().count() + gap;
    if room < least + beside {
        return (cut(middle, room), String::new());
    }
    (cut(middle, room - beside), right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit() {
        for width in [20, 40, 80] {
            let (middle, right) = columns("def ", &"name".repeat(30), "A.Long.Module.Name", width);
            let gap = if right.is_empty() { 0 } else { 2 };
            assert!(
                4 + middle.chars().count() + gap + right.chars().count() <= width,
                "{width}"
            );
        }
        assert_eq!(
            columns("def ", "x", "M", usize::MAX),
            ("x".to_owned(), "M".to_owned())
        );
    }

    #[test]
    fn texts_are_wrapped_at_blanks() {
        assert_eq!(wrapped("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrapped("aaaaaaa b", 5), ["aaaaaaa", "b"]);
    }
}
