//! Every file of the corpus: what the reader says of it, and what becomes of it when it is rewritten.

use crate::alone;
use conformance::{Judge, Module, corpus};
use olean_reader::transform::{narrow, relocate, widen};
use olean_reader::{File, Graph, Kind, Region, Width};
use serde_json::json;

fn checked<'a>(bytes: &'a [u8], name: &str) -> Region<'a> {
    let file = File::parse(bytes, name, None).unwrap_or_else(|e| panic!("{e}"));
    Region::check(file, &[]).unwrap_or_else(|e| panic!("{e}"))
}

fn each(test: impl Fn(&Module, &Region<'_>)) {
    for module in corpus() {
        let region = checked(&module.bytes, module.text("name"));
        test(&module, &region);
    }
}

#[test]
fn every_file_is_sound_and_as_the_manifest_says() {
    let _alone = alone();
    each(|module, region| {
        let name = module.text("name");
        let file = region.file();
        assert_eq!((file.width(), file.version()), (Width::W32, 2), "{name}");
        assert_eq!(format!("0x{:x}", file.base()), module.text("base"), "{name}");
        assert_eq!(file.bytes().len() as u64, module.number("bytes"), "{name}");
        let summary = region.summary();
        assert_eq!(u64::from(summary.objects), module.number("objects"), "{name}");
        assert_eq!(summary.pointers, module.number("pointers"), "{name}");
        assert_eq!(
            (summary.cross, summary.forward, summary.unrounded),
            (0, 0, 0),
            "{name}"
        );
        for kind in Kind::ALL {
            let expected = module.entry["objects_per_kind"][kind.name()]
                .as_u64()
                .unwrap_or(0);
            assert_eq!(u64::from(region.of_kind(kind).0), expected, "{name} {kind}");
        }
        let graph = Graph::new(region, &[]).unwrap();
        let digests = graph.digests().unwrap();
        assert_eq!(digests.graphhash.to_string(), module.text("graphhash"), "{name}");
        assert_eq!(digests.sharehash.to_string(), module.text("sharehash"), "{name}");
        assert_eq!(u64::from(digests.depth), module.number("max_depth"), "{name}");
        assert_eq!(
            u64::from(digests.distinct),
            module.number("distinct_values"),
            "{name}"
        );
        assert_eq!(
            u64::from(digests.objects + digests.small_bignums),
            module.number("objects"),
            "{name}"
        );
        let stats = graph.stats().unwrap();
        assert_eq!(stats.unreachable, (0, 0), "{name}");
        assert_eq!(stats.root_fields.len(), 5, "{name}");
        assert_eq!(stats.root_fields[2].name, "constants", "{name}");
    });
}

#[test]
fn widened_files_satisfy_the_independent_checker_and_keep_their_graph() {
    let _alone = alone();
    let dir = testkit::temp_dir("widened");
    let mut modules = Vec::new();
    let mut files = Vec::new();
    each(|module, region| {
        let name = module.text("name");
        let wide = widen(region, &[]).unwrap_or_else(|e| panic!("{name}: {e}"));
        let again = checked(&wide, name);
        assert_eq!(again.file().width(), Width::W64, "{name}");
        std::fs::write(dir.path().join(name), &wide).unwrap();
    });
    for module in corpus() {
        let path = dir.path().join(module.text("name"));
        files.push(json!({"path": path, "width": 64}));
        modules.push(module);
    }
    let mut judge = Judge::start(&json!({"do": "judge", "files": files}));
    for module in &modules {
        let name = module.text("name");
        let (answer, _) = judge.answer().expect("an answer for every file");
        assert_eq!(answer["ok"], true, "{name}: {}", answer["why"]);
        assert_eq!(answer["graphhash"], module.text("graphhash"), "{name}");
        assert_eq!(answer["sharehash"], module.text("sharehash"), "{name}");
        assert_eq!(answer["distinct"], module.number("distinct_values"), "{name}");
        assert_eq!(answer["depth"], module.number("max_depth"), "{name}");
    }
    assert!(judge.answer().is_none());
}

#[test]
fn widened_and_narrowed_files_are_what_they_were() {
    let _alone = alone();
    each(|module, region| {
        let name = module.text("name");
        let wide = widen(region, &[]).unwrap();
        let back = narrow(&checked(&wide, name), &[]).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(back == module.bytes, "{name} is not what it was");
    });
}

#[test]
fn relocated_files_keep_their_graph_and_come_back() {
    let _alone = alone();
    each(|module, region| {
        let name = module.text("name");
        let moved = relocate(region, 0x10_0000).unwrap_or_else(|e| panic!("{name}: {e}"));
        let moved = checked(&moved, name);
        let digests = Graph::new(&moved, &[]).unwrap().digests().unwrap();
        assert_eq!(digests.graphhash.to_string(), module.text("graphhash"), "{name}");
        assert!(
            relocate(&moved, region.file().base()).unwrap() == module.bytes,
            "{name}"
        );
    });
}
