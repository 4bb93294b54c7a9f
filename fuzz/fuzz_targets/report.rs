//! Reports that processes leave, as the tool reads them: the first byte says how many there are in the text.
#![no_main]

// The tool is a program: its files are taken in as they are.
#[path = "../../olean/src/swap/schema.rs"]
#[allow(dead_code)]
mod schema;
#[path = "../../olean/src/swap/total.rs"]
#[allow(dead_code)]
mod total;

use libfuzzer_sys::fuzz_target;
use schema::{Compare, Report};
use total::Total;

fuzz_target!(|data: &[u8]| {
    let Some((&times, text)) = data.split_first() else {
        return;
    };
    let Ok(report) = serde_json::from_slice::<Report>(text) else {
        return;
    };
    let reports = vec![report.clone(); usize::from(times % 4)];
    let total = Total::of(&reports);
    assert_eq!(
        total.saved.is_empty(),
        reports.is_empty() || report.saved.is_empty()
    );
    assert_eq!(
        total.compare.is_some(),
        report.compare.is_some() && !reports.is_empty()
    );
    // So many times each number, or the largest number there is.
    let all = |one: u64| one.saturating_mul(reports.len() as u64);
    let Report { save, read, .. } = &report;
    let sums = [
        (total.save.calls, save.calls),
        (total.save.bytes, save.bytes),
        (total.save.ns, save.ns),
        (total.read.calls, read.calls),
        (total.read.mapped, read.mapped),
        (total.read.bytes, read.bytes),
        (total.read.ns, read.ns),
        (total.read.errors, read.errors),
        (total.read.mapped_ns, read.mapped_ns),
        (total.frees, report.free.calls),
    ];
    assert_eq!(sums.map(|(sum, _)| sum), sums.map(|(_, one)| all(one)));
    let most = if reports.is_empty() {
        None
    } else {
        report.process.mappings
    };
    assert_eq!(total.mappings, most.unwrap_or(0));
    if let (Some(sum), Some(one)) = (&total.compare, &report.compare) {
        let numbers = |c: &Compare| {
            [
                c.saves_equal,
                c.saves_different,
                c.reads_equal,
                c.reads_different,
                c.not_compared,
            ]
        };
        assert_eq!(numbers(sum), numbers(one).map(all));
        assert_eq!(sum.first_difference, one.first_difference);
        assert_eq!(
            sum.is_equal(),
            one.saves_different == 0 && one.reads_different == 0
        );
    }
});
