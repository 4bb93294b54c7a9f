//! Auxiliary declarations: what Lean adds to a declaration of the source, and under which of them it belongs.

use super::kind::Kind;
use super::module::{Decl, user_name};
use std::collections::HashMap;

/// Last components of what Lean derives from inductive types, structures and recursive definitions.
const DERIVED: [&str; 30] = [
    "rec",
    "recOn",
    "casesOn",
    "below",
    "brecOn",
    "binductionOn",
    "ibelow",
    "noConfusion",
    "noConfusionType",
    "noConfusionEnum",
    "ctorIdx",
    "ctorElim",
    "ctorElimType",
    "toCtorIdx",
    "ofNat",
    "ofNat_ctorIdx",
    "inj",
    "injEq",
    "sizeOf_spec",
    "hinj",
    "elim",
    "eq_def",
    "eq_unfold",
    "induct",
    "induct_unfolding",
    "mutual_induct",
    "fun_cases",
    "fun_cases_unfolding",
    "congr_simp",
    "sunfold",
];
/// Last components that go on with a number.
const NUMBERED: [&str; 6] = ["match_", "eq_", "proof_", "splitter_", "rec_", "below_"];

/// For each declaration the one that it belongs under: itself if that is none of the others.
pub fn parents(decls: &[Decl]) -> Vec<usize> {
    let by_name: HashMap<&str, usize> = decls
        .iter()
        .enumerate()
        .map(|(i, d)| (d.name.as_str(), i))
        .collect();
    let mut parents: Vec<usize> = (0..decls.len()).collect();
    for (i, decl) in decls.iter().enumerate() {
        parents[i] = above(decl, &by_name).unwrap_or(i);
    }
    // Names get shorter on the way up, so this ends.
    for i in 0..parents.len() {
        let mut top = i;
        while parents[top] != top {
            top = parents[top];
        }
        parents[i] = top;
    }
    parents
}

/// The declaration with the longest name that this one goes on with, if it is an auxiliary one.
fn above(decl: &Decl, by_name: &HashMap<&str, usize>) -> Option<usize> {
    let mut auxiliary = matches!(decl.kind, Kind::Constructor | Kind::Recursor);
    let mut name = decl.name.as_str();
    while let Some((prefix, last)) = name.rsplit_once('.') {
        auxiliary |= is_auxiliary(last);
        if prefix.starts_with("_private") && user_name(prefix) == prefix {
            return None;
        }
        if auxiliary {
            let found = by_name.get(prefix).or_else(|| by_name.get(user_name(prefix)));
            if let Some(&i) = found {
                return Some(i);
            }
        }
        name = prefix;
    }
    None
}

fn is_auxiliary(component: &str) -> bool {
    let numbered = |p: &&'static str| {
        let rest = component.strip_prefix(*p).unwrap_or("");
        !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit())
    };
    component.starts_with('_') || DERIVED.contains(&component) || NUMBERED.iter().any(numbered)
}

#[cfg(test)]
mod tests {
    use super::is_auxiliary;

    #[test]
    fn auxiliary_names_are_told_by_their_last_component() {
        for yes in ["_proof_1", "match_3", "eq_12", "recOn", "_sizeOf_inst", "injEq"] {
            assert!(is_auxiliary(yes), "{yes}");
        }
        for no in ["match_", "eq_comm", "add", "record"] {
            assert!(!is_auxiliary(no), "{no}");
        }
    }
}
