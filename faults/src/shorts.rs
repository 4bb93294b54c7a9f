//! Short transfers: reads and writes that transfer less than they were asked to, or are interrupted, each in turn and
//! all of them. An interposed library does it (`c-tests/faults/shim.c`), for a tracer can only pretend.

use crate::operations::{Built, Operation};
use crate::run::{Traced, empty};
use crate::search::{Failure, Search, Tally};
use crate::subject::{Subject, Took};

/// Runs an operation; how many transfers were shortened.
fn run(search: &Search, operation: &Operation, built: &Built, what: &str) -> Result<usize, Failure> {
    let (dir, logs) = (search.place(&operation.name(), 0), search.place("logs", 0));
    empty(&dir);
    operation.prepare(&dir);
    let mut program = operation.command(&dir, 0, 0, false);
    program.preload.push(built.shim.clone());
    program.env.push(("FAULTS_SHORT".into(), what.to_owned()));
    let left = program.run(&Traced::Not, &logs);
    let shortened = left
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("shortened ")?.parse().ok());
    // The line of the shim comes first.
    let mut seen = left.clone();
    seen.stdout = left
        .stdout
        .lines()
        .filter(|line| !line.starts_with("shortened"))
        .map(|line| format!("{line}\n"))
        .collect();
    let judged = left
        .bad_end()
        .map_or(Ok(()), Err)
        .and_then(|()| operation.judge(&dir, &seen, None));
    match (judged, shortened) {
        (Ok(_), Some(count)) => Ok(count),
        (judged, _) => Err(Failure {
            subject: operation.name(),
            point: what.to_owned(),
            what: format!("{:?}\n{}{}", judged.err(), left.stdout, left.stderr),
            again: program.shown(&Traced::Not),
        }),
    }
}

/// Searches an operation.
pub fn search(search: &Search, operation: &Operation, built: &Built) -> Tally {
    let mut tally = Tally::new(&format!("{}: short transfers", operation.name()));
    for call in ["read", "write"] {
        for how in ["half", "one", "interrupted"] {
            let all = run(search, operation, built, &format!("{call}:{how}"));
            let count = *all.as_ref().unwrap_or(&0);
            if let Ok(0) = all {
                continue;
            }
            tally.add(all.map(|_| Took::Bore));
            tally.possible += 1 + count;
            for n in 1..=count.min(if search.short { 1 } else { 200 }) {
                tally.add(run(search, operation, built, &format!("{call}:{how}:{n}")).map(|_| Took::Bore));
            }
        }
    }
    tally
}
