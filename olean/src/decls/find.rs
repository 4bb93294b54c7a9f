//! Looking up declarations by the names that people type.

use super::module::user_name;
use std::collections::BTreeSet;

/// How many near names are suggested.
const SUGGESTIONS: usize = 3;
/// Less alike than this is no suggestion.
const ALIKE: f64 = 0.7;

/// How well a name fits a query, 0 best: it is the name itself; a private one that its author calls so; without quotes
/// one of these; or the query is its end. `None` if it does not fit.
pub fn rank(query: &str, name: &str) -> Option<u8> {
    let query = query.trim_start_matches('`');
    let user = user_name(name);
    if name == query {
        return Some(0);
    }
    if user == query {
        return Some(1);
    }
    let (bare, name, user) = (unquoted(query), unquoted(name), unquoted(user));
    if name == bare || user == bare {
        return Some(2);
    }
    let ends = name
        .strip_suffix(bare.as_str())
        .is_some_and(|before| before.ends_with('.'));
    ends.then_some(3)
}

/// Which of `names` a query means: all that fit best.
pub fn find<'n>(query: &str, names: impl Iterator<Item = &'n str>) -> Vec<usize> {
    let fits = |(i, name)| Some((rank(query, name)?, i));
    let found: Vec<(u8, usize)> = names.enumerate().filter_map(fits).collect();
    let best = found.iter().map(|f| f.0).min();
    found
        .into_iter()
        .filter(|f| Some(f.0) == best)
        .map(|f| f.1)
        .collect()
}

/// The names most like a query, best first.
pub fn nearest<'n>(query: &str, names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let bare = unquoted(query);
    let mut rated: Vec<(f64, &str)> = names
        .map(|name| {
            let user = unquoted(user_name(name));
            let last = user.rsplit('.').next().unwrap_or(&user).to_owned();
            let alike = strsim::jaro_winkler(&bare, &user).max(0.98 * strsim::jaro_winkler(&bare, &last));
            (alike, name)
        })
        .filter(|(alike, _)| *alike >= ALIKE)
        .collect();
    rated.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let mut seen = BTreeSet::new();
    rated.retain(|(_, name)| seen.insert(*name));
    rated
        .into_iter()
        .take(SUGGESTIONS)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// An end for messages: `; did you mean A, B or C?`, or nothing.
pub fn suggestion(near: &[String]) -> String {
    match near {
        [] => String::new(),
        [one] => format!("; did you mean {one}?"),
        [most @ .., last] => format!("; did you mean {} or {last}?", most.join(", ")),
    }
}

fn unquoted(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '«' | '»')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["A.add", "_private.A.0.priv", "A.«tief 3»", "größe.x₁", "B.add"];

    fn found(query: &str) -> Vec<&'static str> {
        find(query, NAMES.iter().copied())
            .into_iter()
            .map(|i| NAMES[i])
            .collect()
    }

    #[test]
    fn names_are_found_as_people_type_them() {
        assert_eq!(found("A.add"), ["A.add"]);
        assert_eq!(found("`A.add"), ["A.add"]);
        assert_eq!(found("priv"), ["_private.A.0.priv"]);
        assert_eq!(found("A.tief 3"), ["A.«tief 3»"]);
        assert_eq!(found("A.«tief 3»"), ["A.«tief 3»"]);
        assert_eq!(found("x₁"), ["größe.x₁"]);
        assert_eq!(found("add"), ["A.add", "B.add"]);
        assert!(found("dd").is_empty());
    }

    #[test]
    fn near_names_are_suggested() {
        assert_eq!(nearest("A.ad", NAMES.iter().copied())[0], "A.add");
        assert_eq!(nearest("prib", NAMES.iter().copied())[0], "_private.A.0.priv");
        assert!(nearest("zzz", NAMES.iter().copied()).is_empty());
        assert_eq!(
            suggestion(&["a".to_owned(), "b".to_owned()]),
            "; did you mean a or b?"
        );
    }
}
