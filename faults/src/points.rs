//! Fault points: each system call of an operation is refused in turn, alone and with all of its name after it, with
//! each error that fits.

use crate::errors;
use crate::run::{Traced, empty};
use crate::search::{Failure, Search, Tally};
use crate::subject::{Point, Subject, Took};
use crate::trace::{self, Call};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A point and what the call looks like that is meant.
struct Meant {
    point: Point,
    likeness: BTreeSet<String>,
}

/// How often a point is tried that hits another call than the one meant.
const ATTEMPTS: usize = 4;

/// Fewer points of a call than this may all miss it, by chance.
const FEW: usize = 6;

/// What identifies a call: its name, its number, the files that it is counted with.
type Place = (String, usize, Vec<String>);

/// The operation traced: its calls.
fn trace(search: &Search, subject: &dyn Subject) -> Result<BTreeMap<Place, BTreeSet<String>>, String> {
    let dir = search.place(&subject.name(), 0);
    let logs = search.place("logs", 0);
    empty(&dir);
    subject.prepare(&dir);
    let left = subject.program(&dir, None).run(&Traced::Whole, &logs);
    if let Some(bad) = left.bad_end() {
        return Err(format!("traced only: {bad}: {}", left.stderr));
    }
    subject
        .judge(&dir, &left, None)
        .map_err(|e| format!("traced only: {e}"))?;
    let threads = trace::threads(&logs.join("trace"));
    let ours: BTreeSet<(usize, usize)> = subject.calls(&threads).into_iter().collect();
    let named = |call: &Call| -> Vec<String> {
        let paths = subject.paths(call).into_iter();
        paths
            .map(|path| path.replace(&*dir.to_string_lossy(), "DIR"))
            .collect()
    };
    let files: BTreeSet<String> = ours
        .iter()
        .flat_map(|&(thread, at)| named(&threads[thread][at]))
        .collect();
    let mut found: BTreeMap<Place, BTreeSet<String>> = BTreeMap::new();
    for (thread, calls) in threads.iter().enumerate() {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, call) in calls.iter().enumerate() {
            let with_files = named(call).iter().any(|path| files.contains(path));
            if with_files {
                *counts.entry(&call.name).or_default() += 1;
            }
            if !ours.contains(&(thread, at)) {
                continue;
            }
            let place = if with_files {
                (
                    call.name.clone(),
                    counts[&*call.name],
                    files.iter().cloned().collect(),
                )
            } else if thread == 0
                || threads[0].iter().filter(|first| first.name == call.name).count() < call.n
            {
                (call.name.clone(), call.n, Vec::new())
            } else {
                // The first thread has a call of this number as well, before anything of ours.
                continue;
            };
            found.entry(place).or_default().insert(call.likeness(&dir));
        }
    }
    Ok(found)
}

/// All points of an operation, or in the short form some of each kind of call.
fn choose(search: &Search, subject: &dyn Subject) -> Result<(usize, Vec<Meant>), String> {
    let mut kinds: BTreeMap<String, Vec<Meant>> = BTreeMap::new();
    let mut all = 0;
    for ((call, n, paths), likeness) in trace(search, subject)? {
        for &error in errors::fitting(&call) {
            for lasting in [false, true] {
                let point = Point {
                    call: call.clone(),
                    n,
                    paths: paths.clone(),
                    error,
                    lasting,
                };
                if subject.takes(&point) {
                    all += 1;
                    let likeness = likeness.clone();
                    kinds
                        .entry(call.clone())
                        .or_default()
                        .push(Meant { point, likeness });
                }
            }
        }
    }
    let mut random = search.random(&subject.name());
    for points in kinds.values_mut() {
        random.shuffle(points);
    }
    let most = search.points_of_each();
    let mut chosen = Vec::new();
    while chosen.len() < most && kinds.values().any(|points| !points.is_empty()) {
        chosen.extend(kinds.values_mut().filter_map(Vec::pop));
    }
    chosen.truncate(most);
    Ok((all, chosen))
}

/// Tries one point; `ready` says whether this worker's directory has been made ready before.
fn strike(
    search: &Search,
    subject: &dyn Subject,
    worker: usize,
    ready: &mut bool,
    meant: &Meant,
) -> Result<Took, Failure> {
    let dir = search.place(&subject.name(), worker);
    let logs = search.place("logs", worker);
    let point = &meant.point;
    let traced = Traced::Injected {
        call: point.call.clone(),
        what: point.what(),
        paths: point.paths.clone(),
    };
    for _ in 0..ATTEMPTS {
        if !(*ready && subject.keeps_its_files()) {
            empty(&dir);
            subject.prepare(&dir);
            *ready = true;
        }
        let program = subject.program(&dir, Some(point));
        let left = program.run(&traced, &logs);
        let judged = match left.bad_end() {
            Some(bad) => Err(format!("{bad}\n{}{}", left.stdout, left.stderr)),
            None => subject.judge(&dir, &left, Some(point)),
        };
        let hit = hit(&logs.join("trace"), meant, &dir);
        match judged {
            Ok(took) if hit => return Ok(took),
            Err(what) if hit => {
                return Err(Failure {
                    subject: subject.name(),
                    point: format!("{} {}", point.call, point.what()),
                    what,
                    again: program.shown(&traced),
                });
            }
            // Another call was hit, perhaps none of the operation's: nothing follows from that, and it is tried again.
            _ => {}
        }
    }
    if std::env::var_os("FAULTS_MISSED").is_some() {
        println!("missed: {} {:?} {:?}", subject.name(), point, meant.likeness);
        for call in trace::threads(&logs.join("trace"))
            .iter()
            .flatten()
            .filter(|call| call.injected)
            .take(3)
        {
            println!("    hit {}", call.likeness(&dir));
        }
    }
    Ok(Took::Missed)
}

/// Whether the call that is meant was refused, and first.
fn hit(log: &Path, meant: &Meant, dir: &Path) -> bool {
    let threads = trace::threads(log);
    threads.iter().any(|calls| {
        let first = calls.iter().find(|call| call.injected);
        first.is_some_and(|call| meant.likeness.contains(&call.likeness(dir)))
    })
}

/// Searches an operation.
pub fn search(search: &Search, subject: &dyn Subject) -> Tally {
    let tally = Mutex::new(Tally::new(&subject.name()));
    let (all, chosen) = match choose(search, subject) {
        Ok(found) => found,
        Err(what) => {
            let mut tally = tally.into_inner().expect("no panic");
            tally.failures.push(Failure::plain(&subject.name(), what));
            return tally;
        }
    };
    tally.lock().expect("no panic").possible = all;
    let next = AtomicUsize::new(0);
    // Of each call how many points there were, and how many missed it.
    let calls: Mutex<BTreeMap<&str, (usize, usize)>> = Mutex::default();
    std::thread::scope(|scope| {
        for worker in 0..search.workers {
            let (tally, next, chosen, calls) = (&tally, &next, &chosen, &calls);
            scope.spawn(move || {
                let mut ready = false;
                while let Some(meant) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = strike(search, subject, worker, &mut ready, meant);
                    let mut calls = calls.lock().expect("no panic");
                    let (all, missed) = calls.entry(&meant.point.call).or_default();
                    *all += 1;
                    *missed += usize::from(matches!(outcome, Ok(Took::Missed)));
                    tally.lock().expect("no panic").add(outcome);
                }
            });
        }
    });
    let mut tally = tally.into_inner().expect("no panic");
    // A call that looks different when it is refused is taken for another one each time, and nothing is searched.
    for (call, (all, missed)) in calls.into_inner().expect("no panic") {
        if all >= FEW && all == missed {
            let text = format!("none of the {all} points of {call} hit it");
            tally.failures.push(Failure::plain(&tally.name, text));
        }
    }
    if tally.possible == 0 {
        let failure = Failure::plain(&tally.name, "none of its calls can be refused");
        tally.failures.push(failure);
    }
    tally
}
