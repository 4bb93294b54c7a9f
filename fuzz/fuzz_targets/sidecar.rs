//! Lists of files beside snapshots (`.deps`): the first byte says which folder relative paths begin at.
#![no_main]

use libfuzzer_sys::fuzz_target;
use olean_reader::format::sidecar::Sidecar;
use serde_json::Value;
use std::collections::BTreeMap;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, json)) = data.split_first() else {
        return;
    };
    let folder = [&b""[..], b"/", b"../lib", b"lib/"][usize::from(choice) % 4];
    let Ok(list) = Sidecar::parse(json, folder) else {
        return;
    };
    assert_eq!(list.is_empty(), list.len() == 0);
    same_files(&list, json, folder);
    let mut next = 0;
    let mut modules = Vec::new();
    for module in (0..list.len()).map(|i| list.module(i)) {
        // Every file is of one module, and they come in order.
        assert_eq!((module.olean.start, module.olean.end), (next, module.ir.start));
        next = module.ir.end;
        let mut entries = BTreeMap::new();
        let paths = module.olean.zip(["olean", "oleanServer", "oleanPrivate"]);
        for (i, key) in paths.chain(module.ir.zip(["irSig", "ir"])) {
            let path = list.file(i).to_str().expect("JSON is UTF-8");
            assert!(!path.is_empty());
            entries.insert(key, path);
        }
        modules.push(entries);
    }
    assert_eq!(next, list.file_count());
    // Written again, and read where no folder is put in front, it has the same files in the same order.
    let text = serde_json::to_vec(&modules).expect("plain text");
    let again = Sidecar::parse(&text, b"").expect("it was just written");
    assert_eq!((again.len(), again.file_count()), (list.len(), list.file_count()));
    assert!((0..next).all(|i| again.file(i) == list.file(i)));
});

/// What the list says is what the text says, read as any JSON. That refuses some of what a list may have beside its
/// paths, as numbers that are too large.
fn same_files(list: &Sidecar, json: &[u8], folder: &[u8]) {
    let Ok(Value::Array(modules)) = serde_json::from_slice(json) else {
        return;
    };
    assert_eq!(list.len(), modules.len());
    let path = |text: &str| {
        let mut path = if text.starts_with('/') {
            Vec::new()
        } else {
            folder.to_vec()
        };
        if !path.is_empty() && !path.ends_with(b"/") {
            path.push(b'/');
        }
        path.extend(text.as_bytes());
        path
    };
    for (i, entries) in modules.iter().enumerate() {
        let files = |keys: &[&str]| -> Vec<Vec<u8>> {
            let texts = keys.iter().filter_map(|&key| entries.get(key)?.as_str());
            texts.map(path).collect()
        };
        let listed = |files: std::ops::Range<usize>| -> Vec<Vec<u8>> {
            files.map(|i| list.file(i).to_bytes().to_vec()).collect()
        };
        let module = list.module(i);
        assert_eq!(
            listed(module.olean),
            files(&["olean", "oleanServer", "oleanPrivate"])
        );
        assert_eq!(listed(module.ir), files(&["irSig", "ir"]));
    }
}
