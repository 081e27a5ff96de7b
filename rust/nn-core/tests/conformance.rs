//! Every case of cuda/vectors on the reference backend: called directly, and as a recorded graph.

#[allow(dead_code)]
mod suite;

use nn_core::tensor::reference::ReferenceBackend;
use suite::{cases, dispatch, run};

/// Under Miri, which interprets, these stand for all, and some operations have no small file.
#[test]
fn the_smallest_case_of_every_op_passes() {
    let backend = ReferenceBackend::new();
    let cases = cases();
    let mut without = Vec::new();
    for op in dispatch::OPS {
        let of_op = cases.iter().filter(|case| case.op == op);
        let Some(smallest) = of_op.min_by_key(|case| case.size()) else {
            without.push(op);
            continue;
        };
        for recorded in [false, true] {
            assert_eq!(run(&backend, smallest, recorded), [""; 0], "{op}");
        }
    }
    let most = if cfg!(miri) { 56 } else { 0 };
    assert!(without.len() <= most, "{without:?} have no case");
}

#[test]
#[cfg_attr(miri, ignore = "hours of interpretation")]
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
#[cfg_attr(miri, ignore = "hours of interpretation")]
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
