//! More regions than a process may have mappings.

use super::{Files, IMAGE};
use std::fs;
use std::path::Path;

/// Linux allows 65,530 mappings unless it is told otherwise.
const MANY: usize = 70_000;

#[test]
fn more_regions_than_mappings_are_served_from_one_mapping() {
    // Files on memory where there is such a place: making so many is what takes the time.
    let memory = Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::Builder::new()
            .prefix("lean-region-many-")
            .tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let files = Files { dir: dir.unwrap() };
    let (save, read) = (format!("save-many:{MANY}"), format!("read-many:{MANY}"));
    files.run_plain(&[&save]);
    let output = files.image(&["build", ".", "-o", IMAGE]).success();
    assert!(output.stdout.contains("70,000 regions"), "{output}");
    let all = files.run_image(&[], &[&read, "live"]).success().stdout;
    let mappings = |line: &str| -> usize {
        let words: Vec<&str> = line.lines().next().unwrap().split(' ').collect();
        words[words.len() - 2].parse().unwrap()
    };
    assert!(
        all.starts_with(&format!(
            "{MANY} from the image, 0 mapped, 0 relocated, 0 failed; "
        )),
        "{all}"
    );
    assert!(all.ends_with(&format!("{MANY} alive\n")), "{all}");
    assert!(mappings(&all) < 100, "{all}");
    // Without it there is no mapping for each, if this system has the limit that Linux has by itself: some are copied.
    let most: usize = fs::read_to_string("/proc/sys/vm/max_map_count")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let without = files.run_plain(&[&read]);
    assert!(without.contains(" 0 failed; "), "{without}");
    if most < MANY {
        let all = format!("0 from the image, {MANY} mapped, ");
        assert!(!without.starts_with(&all), "{without}");
        assert!(mappings(&without) < most, "{without}");
    }
}
