//! Kills: a process that saves is killed at each of its system calls, and at moments of chance. Each file is the old
//! one or the new one then, and the next process of that number removes what was left behind.

use crate::command::{Command, names};
use crate::operations::{Built, Operation};
use crate::run::{NUMBER, Program, Traced, empty};
use crate::search::{Failure, Random, Search, Tally};
use crate::subject::{Subject, Took};
use crate::trace::threads;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant};

fn with_number(mut program: Program, built: &Built) -> Program {
    program.preload.push(built.shim.clone());
    program.env.push(("FAULTS_PID".into(), NUMBER.into()));
    program.env.push(("FAULTS_REFERENCES".into(), "1".into()));
    program
}

/// Whether each target is the old one or the new one, by the references that the program left beside them.
fn whole(operation: &Operation, dir: &Path) -> Result<(), String> {
    for target in operation.targets() {
        let content = |name: String| fs::read(dir.join(name)).ok();
        let now = content((*target).to_owned());
        let (old, new) = (content(format!("{target}.old")), content(format!("{target}.new")));
        if now != new && now != old {
            return Err(format!("{target} is neither the old one nor the new one"));
        }
    }
    let left = temporary(dir);
    // One for each file, and for each a name that keeps the old one.
    if left.len() > 2 * operation.targets().len() {
        return Err(format!("left: {left:?}"));
    }
    Ok(())
}

fn temporary(dir: &Path) -> Vec<String> {
    let names = names(dir).into_iter();
    names.filter(|name| name.contains(".tmp.")).collect()
}

/// The next save of a process of the same number.
fn next(operation: &Operation, built: &Built, dir: &Path, logs: &Path) -> Result<(), String> {
    let left = with_number(operation.command(dir, 0, 0, false), built).run(&Traced::Not, logs);
    if left.code() != Some(0) {
        return Err(format!(
            "the next save: {:?}\n{}{}",
            left.status, left.stdout, left.stderr
        ));
    }
    match temporary(dir) {
        none if none.is_empty() => Ok(()),
        some => Err(format!("after the next save: {some:?}")),
    }
}

fn failure(operation: &Operation, point: String, what: String, again: String) -> Failure {
    Failure {
        subject: operation.name(),
        point,
        what,
        again,
    }
}

/// Killed at each system call.
pub fn at_each_call(search: &Search, operation: &Operation, built: &Built) -> Tally {
    let mut tally = Tally::new(&format!("{}: killed at a call", operation.name()));
    let (dir, logs) = (search.place(&operation.name(), 0), search.place("logs", 0));
    let program = with_number(operation.command(&dir, 0, 0, false), built);
    empty(&dir);
    program.run(&Traced::Whole, &logs);
    let traced = threads(&logs.join("trace"));
    let places: BTreeSet<(String, usize)> = operation
        .calls(&traced)
        .into_iter()
        .map(|(thread, at)| (traced[thread][at].name.clone(), traced[thread][at].n))
        .collect();
    tally.possible = places.len();
    let mut places: Vec<_> = places.into_iter().collect();
    search.random(&tally.name).shuffle(&mut places);
    places.truncate(if search.short { 10 } else { usize::MAX });
    for (call, n) in places {
        let what = format!("signal=KILL:when={n}");
        let traced = Traced::Injected {
            call: call.clone(),
            what: what.clone(),
            paths: Vec::new(),
        };
        empty(&dir);
        let left = program.run(&traced, &logs);
        let killed = left.status.is_some_and(|status| status.signal() == Some(9));
        let good = whole(operation, &dir).and_then(|()| next(operation, built, &dir, &logs));
        tally.add(match good {
            Ok(()) if !killed => Ok(Took::Missed),
            Ok(()) => Ok(Took::Bore),
            Err(wrong) => Err(failure(
                operation,
                format!("{call} {what}"),
                wrong,
                program.shown(&traced),
            )),
        });
    }
    tally
}

/// Killed at moments of chance.
pub fn at_random(search: &Search, operation: &Operation, built: &Built, times: usize) -> Tally {
    let mut tally = Tally::new(&format!("{}: killed at random", operation.name()));
    let (dir, logs) = (search.place(&operation.name(), 0), search.place("logs", 0));
    let mut random: Random = search.random(&tally.name);
    let program = with_number(operation.words(&dir, &["again"]), built);
    for _ in 0..times {
        empty(&dir);
        let mut running = program.start(&logs);
        let start = Instant::now();
        while fs::read(logs.join("stdout")).map_or(0, |text| text.len()) < "ready\n".len() {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{} does not begin",
                operation.name()
            );
            std::thread::sleep(Duration::from_micros(500));
        }
        let pause = random.below(12_000) as u64;
        std::thread::sleep(Duration::from_micros(pause));
        running.kill().expect("it runs");
        let status = running.wait().expect("a child");
        let good = match status.signal() {
            Some(9) => whole(operation, &dir).and_then(|()| next(operation, built, &dir, &logs)),
            _ => Err(format!("it ended by itself: {status}")),
        };
        let point = || format!("after {pause} microseconds, seed {}", search.seed);
        tally.add(match good {
            Ok(()) => Ok(Took::Bore),
            Err(wrong) => Err(failure(operation, point(), wrong, program.shown(&Traced::Not))),
        });
    }
    tally.possible = tally.tried;
    tally
}

/// A command killed at moments of chance, over the time that it takes.
pub fn command_at_random(search: &Search, command: &Command, times: usize) -> Tally {
    let mut tally = Tally::new(&format!("{}: killed at random", command.name));
    let (dir, logs) = (search.place(command.name, 0), search.place("logs", 0));
    let mut random = search.random(&tally.name);
    let program = command.plain(&dir);
    empty(&dir);
    command.prepare(&dir);
    let start = Instant::now();
    program.run(&Traced::Not, &logs);
    let takes = start.elapsed().as_micros() as usize;
    for _ in 0..times {
        empty(&dir);
        command.prepare(&dir);
        let mut running = program.start(&logs);
        let pause = random.below(takes.max(1)) as u64;
        std::thread::sleep(Duration::from_micros(pause));
        _ = running.kill();
        _ = running.wait();
        let good = match command.look(&dir) {
            (_, true) => command.again(&dir),
            _ => Err("a file is neither the old one nor the new one".to_owned()),
        };
        tally.add(good.map(|()| Took::Bore).map_err(|what| Failure {
            subject: command.name.to_owned(),
            point: format!("killed after {pause} microseconds, seed {}", search.seed),
            what,
            again: program.shown(&Traced::Not),
        }));
    }
    tally.possible = tally.tried;
    tally
}
