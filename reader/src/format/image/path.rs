//! How the path of a source file is written down in an image.

/// Writes `path` as an absolute path into `out`, in the lexical sense: `.` and empty components go, `..` takes the
/// component before it along; no link is followed. `folder` is what a relative path is relative to.
pub fn absolute(folder: &[u8], path: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let parts = if path.first() == Some(&b'/') {
        [&[][..], path]
    } else {
        [folder, path]
    };
    for component in parts.iter().flat_map(|part| part.split(|&b| b == b'/')) {
        match component {
            b"" | b"." => {}
            b".." => {
                let parent = out.iter().rposition(|&b| b == b'/').unwrap_or(0);
                out.truncate(parent);
            }
            name => {
                out.push(b'/');
                out.extend_from_slice(name);
            }
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
}

/// Whether [`absolute`] would leave `path` as it is: then it need not be copied.
#[must_use]
pub fn is_absolute(path: &[u8]) -> bool {
    let Some((b'/', rest)) = path.split_first() else {
        return false;
    };
    rest.is_empty()
        || rest
            .split(|&b| b == b'/')
            .all(|c| !matches!(c, b"" | b"." | b".."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made(folder: &str, path: &str) -> String {
        let mut out = Vec::new();
        absolute(folder.as_bytes(), path.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn paths_become_absolute_without_looking_at_any_file() {
        for (folder, path, expected) in [
            ("/a/b", "c", "/a/b/c"),
            ("/a/b", "./c//d/.", "/a/b/c/d"),
            ("/a/b", "../c", "/a/c"),
            ("/a/b", "../../../c", "/c"),
            ("/a/b", "/x/./y/../z", "/x/z"),
            ("/", "", "/"),
            ("/a", "..", "/"),
            ("/a", "...", "/a/..."),
        ] {
            assert_eq!(made(folder, path), expected, "{folder} {path}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(14), ..ProptestConfig::default() })]
        #[test]
        fn what_was_made_absolute_stays(folder in "(/[a.]{1,3}){0,3}", path in "/?([a.]{0,3}/){0,4}[a.]{0,2}") {
            let once = made(&folder, &path);
            prop_assert!(is_absolute(once.as_bytes()), "{}", once);
            prop_assert_eq!(made("/elsewhere", &once), once.clone());
            if is_absolute(path.as_bytes()) {
                prop_assert_eq!(once, path);
            }
        }
    }
}
