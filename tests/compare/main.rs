//! Mode compare: ours and the host's own loader do every call, and their results are compared. On a real Lean
//! nothing may differ; what is wrong on purpose must be found.

mod ends;
mod faults;
mod inside;
mod tree;

/// Objects at random and a real Lean's loader in this process, as for the tests of both loaders side by side.
#[allow(dead_code)]
#[path = "../differential/graph.rs"]
mod graph;
#[allow(dead_code)]
#[path = "../differential/lean.rs"]
mod lean;

use testkit::Value;

/// `number` of what a report says of the comparison.
#[track_caller]
fn found(report: &Value, number: &str) -> u64 {
    report["compare"][number]
        .as_u64()
        .unwrap_or_else(|| panic!("no compare.{number} in {report:#}"))
}

/// Fails unless everything was compared and nothing differs; answers the saves and reads.
#[track_caller]
fn assert_equal(report: &Value) -> [u64; 2] {
    assert_eq!(report["mode"], "compare", "{report:#}");
    for number in ["saves_different", "reads_different", "not_compared"] {
        assert_eq!(found(report, number), 0, "{report:#}");
    }
    assert_eq!(report["compare"]["first_difference"], Value::Null);
    ["saves_equal", "reads_equal"].map(|number| found(report, number))
}
