//! Which addresses are taken: the mappings of a process, and what of them lies where a file wants to be.

use crate::error::{Failure, Result};
use crate::outcome::Outcome;
use crate::output::Output;
use lean_region::os::file::errno_text;
use lean_region::os::maps;
use lean_region::os::page::{LOWEST_ADDRESS, USER_END};
use std::path::Path;
use std::process::Command;

/// A mapping of a process.
#[derive(Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// Address behind the last byte.
    pub end: u64,
    /// File or name of what is there; empty for anonymous memory.
    pub what: String,
}

/// What lies between `base` and `base + size` in a process with these mappings.
pub fn taken(maps: &[Mapping], base: u64, size: u64) -> Option<String> {
    let end = base.saturating_add(size);
    if base < LOWEST_ADDRESS as u64 {
        return Some("nothing may be mapped so low".to_owned());
    }
    if end > USER_END {
        return Some("it is beyond what a process may use".to_owned());
    }
    let other = maps.iter().find(|m| m.start < end && base < m.end)?;
    Some(if other.what.is_empty() {
        "anonymous memory".to_owned()
    } else {
        other.what.clone()
    })
}

/// The mappings of a process that has just started, which is this program once more; or why they are not known.
pub fn fresh() -> std::result::Result<Vec<Mapping>, String> {
    let own = "/proc/self/exe";
    let run = Command::new(own).arg("__maps").output();
    let output = run.map_err(|e| format!("cannot start '{own}': {}", errno_text(&e)))?;
    let maps = parse_maps(&String::from_utf8_lossy(&output.stdout));
    if !output.status.success() || maps.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        let why = said.lines().next().map(|line| line.trim_start_matches("error: "));
        return Err(why.map_or_else(|| format!("'{own}' ended with {}", output.status), str::to_owned));
    }
    Ok(maps)
}

/// Lines as in `/proc/PID/maps`.
pub fn parse_maps(text: &str) -> Vec<Mapping> {
    maps::lines(text.as_bytes())
        .map(|(mapping, what)| Mapping {
            start: mapping.range.start as u64,
            end: mapping.range.end as u64,
            what: String::from_utf8_lossy(what).into_owned(),
        })
        .collect()
}

/// What the fresh process does.
pub fn print_own_maps(out: &mut Output) -> Result<Outcome> {
    let maps = maps::own().map_err(Failure::io("read", Path::new("/proc/self/maps")))?;
    out.raw(&maps)?;
    Ok(Outcome::Good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_told() {
        let maps = parse_maps(
            "5000000000-5000010000 r-xp 00000000 fe:00 1   /usr/bin/my prog\n7000000000-7000001000 rw-p 00000000 00:00 0 \n",
        );
        assert_eq!(maps.len(), 2);
        assert_eq!(taken(&maps, 0x4fff_ff0000, 0x10000), None);
        assert_eq!(
            taken(&maps, 0x4fff_ff0000, 0x10001).as_deref(),
            Some("/usr/bin/my prog")
        );
        assert_eq!(
            taken(&maps, 0x70_0000_0000, 1).as_deref(),
            Some("anonymous memory")
        );
        assert_eq!(taken(&maps, 0x70_0000_1000, 1), None);
        assert!(taken(&[], 0, 1).is_some());
        assert!(taken(&[], 0xffff, 1).is_some());
        assert_eq!(taken(&[], USER_END - 0x10000, 0x10000), None);
        for (base, size) in [(USER_END - 0x10000, 0x10001), (1 << 63, 8), (!7, 100)] {
            let what = taken(&[], base, size).expect("no process can have it");
            assert!(what.contains("beyond"), "{what}");
        }
    }
}
