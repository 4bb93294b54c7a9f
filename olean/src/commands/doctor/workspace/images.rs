//! Images: what they hold is what their files are now.

use super::finding::{Finding, Place, Severity};
use crate::image::open::{self, Image};
use crate::image::refresh::{State, compare};
use crate::render::{count, plural};
use olean_reader::format::image::MAGIC;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Looks at the files that are images.
pub fn look(files: &[PathBuf]) -> Vec<Finding> {
    let (mut stale, mut damaged) = (Vec::new(), Vec::new());
    for path in files.iter().filter(|path| is_image(path)) {
        let name = path.display().to_string();
        match judge(path) {
            Ok(None) => {}
            Ok(Some(why)) => stale.push(Place::with(name, why)),
            Err(why) => damaged.push(Place::with(name, why)),
        }
    }
    let finding = |kind, places: Vec<Place>, what: &str, severity, remedy| {
        (!places.is_empty()).then(|| Finding {
            kind,
            severity,
            what: format!("{} {what}", plural(places.len() as u64, "image")),
            places,
            remedy,
        })
    };
    [
        finding(
            "stale-image",
            stale,
            "built of files that have changed since: these are read from their files",
            Severity::Warn,
            "olean image refresh FILE if only times changed, else olean image build",
        ),
        finding(
            "damaged-image",
            damaged,
            "cannot be used",
            Severity::Bad,
            "build it again with olean image build",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn is_image(path: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut start))
        .is_ok()
        && start == MAGIC
}

/// What of an image does not fit its files any more, or why it is none.
fn judge(path: &Path) -> std::result::Result<Option<String>, String> {
    let image = Image::open(path).map_err(|e| e.to_string())?;
    let tables = image.tables().map_err(|e| e.to_string())?;
    let states = compare(&tables, &open::paths(&tables));
    let number = |is: fn(&State) -> bool| states.iter().filter(|state| is(state)).count() as u64;
    let gone = number(|state| matches!(state, State::Gone | State::Unreadable(_)));
    let same = number(|state| matches!(state, State::Same));
    let all = states.len() as u64;
    Ok((same < all).then(|| {
        format!(
            "of {} changed {}, gone {}",
            plural(all, "file"),
            count(all - same - gone),
            count(gone)
        )
    }))
}
