//! Limits swept: each operation in children whose memory, files, descriptors, processes and mappings are limited, a
//! little more in each.

use crate::operations::Operation;
use crate::run::{Traced, empty, number};
use crate::search::{Failure, Search, Tally};
use crate::subject::{Subject, Took};

/// Kinds: the step in the long form and in the short one, the last.
const KINDS: [(&str, [u64; 3]); 6] = [
    ("as", [16 << 10, 128 << 10, 4 << 20]),
    ("data", [16 << 10, 128 << 10, 4 << 20]),
    ("fsize", [1 << 10, 10 << 10, 140 << 10]),
    ("nofile", [1, 1, 6]),
    ("nproc", [1, 1, 2]),
    ("maps", [1, 6, 24]),
];

/// Sweeps all kinds.
pub fn sweep(search: &Search, operation: &Operation) -> Vec<Tally> {
    let mut tallies = Vec::new();
    for (kind, [long, short, last]) in KINDS {
        let step = if search.short { short } else { long };
        let name = operation.name();
        let mut tally = Tally::new(&format!("{name}: limit {kind}"));
        let (dir, logs) = (search.place(&name, 0), search.place("logs", 0));
        empty(&dir);
        let numbers = [0, step, last].map(|n| n.to_string());
        let program = operation.words(&dir, &["limit", kind, &numbers[0], &numbers[1], &numbers[2]]);
        let left = program.run(&Traced::Not, &logs);
        let end = left.stdout.lines().last().unwrap_or_default();
        tally.tried = number(end, "tried");
        tally.possible = tally.tried;
        tally.took = [number(end, "good"), number(end, "refused"), 0];
        let bad: Vec<&str> = left
            .stdout
            .lines()
            .filter(|line| line.starts_with("left: "))
            .collect();
        if left.code() != Some(0) || tally.tried == 0 || !bad.is_empty() || !left.stderr.is_empty() {
            tally.failures.push(Failure {
                subject: name,
                point: format!("limit {kind}"),
                what: format!("{}\n{}\n{end}", bad.join("\n"), left.stderr),
                again: program.shown(&Traced::Not),
            });
        }
        tallies.push(tally);
    }
    tallies
}

/// Kinds under which no operation was refused anything: such a limit is none. Processes are not among them: without
/// threads everything is done in one, and the program itself looks whether that limit holds.
pub fn idle(tallies: &[Tally]) -> Vec<Failure> {
    let refused = |kind: &str| {
        let of = tallies
            .iter()
            .filter(|tally| tally.name.ends_with(&format!(": limit {kind}")));
        of.map(|tally| tally.took[Took::Reported as usize]).sum::<usize>()
    };
    let kinds = KINDS
        .iter()
        .filter(|(kind, _)| *kind != "nproc" && refused(kind) == 0);
    kinds
        .map(|(kind, _)| Failure::plain(&format!("limit {kind}"), "no operation is refused anything"))
        .collect()
}
