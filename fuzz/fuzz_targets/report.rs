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
use schema::Report;
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
    for report in &reports {
        assert!(total.save.calls >= report.save.calls && total.read.bytes >= report.read.bytes);
    }
});
