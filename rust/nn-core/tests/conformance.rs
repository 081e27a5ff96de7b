//! Every case of cuda/vectors on the reference backend: called directly, and as a recorded graph.

#[allow(dead_code)]
mod suite;

use nn_core::tensor::reference::ReferenceBackend;
use suite::{cases, dispatch, run};

#[test]
fn every_case_passes() {
    let backend = ReferenceBackend::new();
    for recorded in [false, true] {
        let lines: Vec<String> = cases()
            .iter()
            .flat_map(|case| run(&backend, case, recorded))
            .collect();
        assert!(lines.is_empty(), "{}", lines.join("\n"));
    }
}

#[test]
fn every_op_has_a_case() {
    let cases = cases();
    for op in dispatch::OPS {
        assert!(cases.iter().any(|case| case.op == op), "{op} has no case");
    }
}

#[test]
fn the_runner_notices_a_changed_answer() {
    let backend = ReferenceBackend::new();
    let cases = cases();
    for op in dispatch::OPS {
        let changed = cases
            .iter()
            .filter(|case| case.op == op)
            .find_map(|case| case.mutated());
        let changed = changed.unwrap_or_else(|| panic!("{op} states nothing"));
        assert_eq!(run(&backend, &changed, false).len(), 1, "{op}");
    }
}
