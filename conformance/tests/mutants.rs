//! Damaged files: real ones, and ones of the test kit with everything that real ones lack. Each is refused,
//! or harmless by the word of both checkers; none takes long or much memory. A program of its own, for it counts
//! allocations, and needs `../shared` and `python3`.

use conformance::{Judge, corpus};
use olean_reader::{CheckError, File, Graph, Region, Width};
use peak_alloc::PeakAlloc;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};
use testkit::olean::{Node, Rng, Spec, Val};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Taken by every test, so that what one measures is its own.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Damaged copies without `LEAN_REGION_MUTANTS`, which may ask for another number.
const MUTANTS: u64 = 300;
/// Longest time for one file.
const LIMIT: Duration = Duration::from_secs(5);

/// A file to damage.
struct Source {
    path: PathBuf,
    width: Width,
    deps: Vec<PathBuf>,
    dep_bytes: Vec<Vec<u8>>,
}

fn check<'a>(bytes: &'a [u8], width: Option<Width>, deps: &'a [Vec<u8>]) -> Result<(), CheckError> {
    let file = File::parse(bytes, "", width)?;
    let parse = |d: &'a Vec<u8>| Region::walk(File::parse(d, "dep", Some(file.width()))?);
    let deps: Vec<Region<'_>> = deps.iter().map(parse).collect::<Result<_, _>>()?;
    let deps: Vec<&Region<'_>> = deps.iter().collect();
    Region::check(file, &deps).map(drop)
}

fn hashes(bytes: &[u8], width: Option<Width>, deps: &[Vec<u8>]) -> (String, String) {
    let file = File::parse(bytes, "", width).unwrap();
    let parse = |d| Region::walk(File::parse(d, "dep", Some(file.width())).unwrap()).unwrap();
    let deps: Vec<Region<'_>> = deps.iter().map(|d| parse(d)).collect();
    let deps: Vec<&Region<'_>> = deps.iter().collect();
    let region = Region::check(file, &deps).unwrap();
    let digests = Graph::new(&region, &deps).unwrap().digests().unwrap();
    (digests.graphhash.to_string(), digests.sharehash.to_string())
}

/// Files with every kind of object, as version 2 and 3, of both widths and bignum layouts, half of them with
/// a dependency.
fn made(dir: &std::path::Path) -> Vec<Source> {
    let mut sources = Vec::new();
    for i in 0..16u64 {
        let (wide, gmp, version, cross) =
            (i & 1 == 0, i & 2 == 0, if i & 4 == 0 { 3 } else { 2 }, i & 8 != 0);
        let mut rng = Rng(i);
        let mut entropy = || (0..400).map(|_| rng.draw()).collect::<Vec<_>>();
        let (mut deps, mut dep_bytes, mut addresses) = (vec![], vec![], vec![]);
        if cross {
            let mut dep = Spec::random(wide, gmp, 3, &entropy(), &[]);
            dep.base = 0x4000_0000;
            let written = dep.write();
            addresses = written.offsets.iter().map(|&o| dep.base + o as u64).collect();
            deps.push(dir.join(format!("dep{i}")));
            std::fs::write(&deps[0], &written.bytes).unwrap();
            dep_bytes.push(written.bytes);
        }
        let mut spec = Spec::random(wide, gmp, version, &entropy(), &addresses);
        if cross {
            spec.root = spec.push(Node::Array(vec![spec.root, Val::Word(addresses[0])]));
        }
        spec.extension = (version == 3 && wide).then(|| b"identity of libraries".to_vec());
        let path = dir.join(format!("made{i}"));
        std::fs::write(&path, spec.write().bytes).unwrap();
        sources.push(Source {
            path,
            width: if wide { Width::W64 } else { Width::W32 },
            deps,
            dep_bytes,
        });
    }
    sources
}

#[test]
fn damaged_files_are_refused_or_harmless() {
    let _alone = alone();
    let count = match std::env::var("LEAN_REGION_MUTANTS") {
        Ok(n) => n.parse().expect("LEAN_REGION_MUTANTS is a number"),
        Err(_) => MUTANTS,
    };
    let dir = testkit::temp_dir("mutants");
    let mut sources = made(dir.path());
    let real = corpus();
    let is_small = |bytes: usize| count > MUTANTS || bytes < 300_000;
    sources.extend(real.iter().filter(|m| is_small(m.bytes.len())).map(|m| Source {
        path: m.path.clone(),
        width: Width::W32,
        deps: vec![],
        dep_bytes: vec![],
    }));
    for s in &sources {
        let bytes = std::fs::read(&s.path).unwrap();
        check(&bytes, None, &s.dep_bytes).unwrap_or_else(|e| panic!("{}: {e}", s.path.display()));
    }
    let files: Vec<Value> = sources
        .iter()
        .map(|s| json!({"path": s.path, "width": s.width.bits(), "deps": s.deps}))
        .collect();
    let mut judge = Judge::start(&json!({"do": "mutate", "files": files, "count": count}));
    let (mut seen, mut refused, mut longest, mut most) = (0, 0, Duration::ZERO, 0);
    while let Some((answer, bytes)) = judge.answer() {
        seen += 1;
        let source = &sources[answer["file"].as_u64().unwrap() as usize];
        let about = || format!("{} {}", source.path.display(), answer["what"]);
        for (key, width) in [("auto", None), ("forced", Some(source.width))] {
            ALLOCATED.reset_peak_usage();
            let before = ALLOCATED.current_usage();
            let start = Instant::now();
            let verdict = check(&bytes, width, &source.dep_bytes);
            let (time, peak) = (start.elapsed(), ALLOCATED.peak_usage() - before);
            let size = bytes.len() + source.dep_bytes.iter().map(Vec::len).sum::<usize>();
            assert!(time < LIMIT, "{time:?} for {}", about());
            assert!(
                peak <= 4 * size + 65536,
                "{peak} bytes of memory for {size}: {}",
                about()
            );
            (longest, most) = (longest.max(time), most.max(peak));
            let other = &answer[key];
            match &verdict {
                Ok(()) => {
                    assert_eq!(
                        other["ok"],
                        true,
                        "we accept, {key}: {} {}",
                        other["why"],
                        about()
                    );
                    // A closure's size may be up to 8 bytes too large, which at 32 bits is room for one
                    // argument more than it says.
                    let place = answer["what"]["where"].as_str().unwrap_or_default();
                    let slack = place.ends_with("m_num_fixed") && source.width == Width::W32;
                    assert!(slack || answer["what"]["verify_detects"] != true, "{}", about());
                    let (graph, sharing) = hashes(&bytes, width, &source.dep_bytes);
                    assert_eq!(
                        (other["graphhash"].as_str(), other["sharehash"].as_str()),
                        (Some(&*graph), Some(&*sharing)),
                        "{}",
                        about()
                    );
                }
                Err(e) => {
                    assert_eq!(other["ok"], false, "we refuse, {key}: {e} {}", about());
                    assert!(!e.reason().is_empty());
                    refused += u64::from(width.is_some());
                }
            }
        }
    }
    assert_eq!(seen, count);
    assert!(refused > count / 2, "only {refused} of {count} are refused");
    println!("{seen} damaged files, {refused} refused; at most {longest:?} and {most} bytes for one");
}
