//! What would come of the image that the user named: how many files it would serve, and whether it can lie where it
//! has to.

use crate::image::outlook::outlook;
use crate::render::{count, plural};
use std::path::Path;

/// How good a finding about an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Good,
    /// It works, but not as well as it could.
    Warn,
    /// It does not work.
    Bad,
}

/// What is to be said of the image `path` under a Lean with this git hash; `maps` are the first address, the end and the
/// name of each mapping of a process just started, if they are known.
pub fn findings(path: &Path, githash: &str, maps: Option<&[(u64, u64, &str)]>) -> Vec<(Grade, String)> {
    let name = path.display();
    let outlook = match outlook(path) {
        Ok(outlook) => outlook,
        Err(e) => return vec![(Grade::Bad, format!("'{name}' is not used, files are read: {e}"))],
    };
    if outlook.githash != githash {
        let text = format!(
            "'{name}' is of another Lean, {}, and not used; build it again",
            outlook.githash
        );
        return vec![(Grade::Bad, text)];
    }
    let mut all = Vec::new();
    let served = format!(
        "'{name}' would serve {} of {}",
        count(outlook.same),
        plural(outlook.files, "file")
    );
    all.push(match outlook.files - outlook.same {
        0 => (Grade::Good, served),
        _ => (Grade::Warn, served),
    });
    if outlook.may_be_copies > 0 {
        let text = format!(
            "{} have other times, inodes or devices than when it was built: if their content is the same, `olean image \
             refresh` has them served again",
            plural(outlook.may_be_copies, "file")
        );
        all.push((Grade::Warn, text));
    }
    if outlook.changed > 0 {
        let text = format!(
            "{} changed or went away; build the image again to serve them",
            plural(outlook.changed, "file")
        );
        all.push((Grade::Warn, text));
    }
    let end = outlook.base + outlook.size;
    let own = path
        .canonicalize()
        .map(|p| p.display().to_string())
        .unwrap_or_default();
    let taken = maps.map(|maps| {
        maps.iter()
            .find(|(start, stop, what)| *start < end && outlook.base < *stop && *what != own)
    });
    let range = format!("its addresses, {:#x} to {end:#x},", outlook.base);
    match taken {
        None => {}
        Some(None) => all.push((
            Grade::Good,
            format!("{range} were free in a process just started"),
        )),
        Some(Some((.., what))) => {
            let what = if what.is_empty() { "anonymous memory" } else { what };
            all.push((
                Grade::Bad,
                format!("{range} were taken by {what}; build it again with another --base"),
            ));
        }
    }
    all
}
