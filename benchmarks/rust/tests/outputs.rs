//! Rust's harness: loops and ndarray give what the library gives, and a wrong output is noticed before it
//! is timed.
#![expect(dead_code, reason = "the harness has more than its comparisons")]

#[path = "../checks.rs"]
mod checks;
#[path = "../expected.rs"]
mod expected;
#[path = "../library.rs"]
mod library;
#[path = "../naive.rs"]
mod naive;
#[path = "../protocol.rs"]
mod protocol;

use nn_core::Result;
use nn_core::json_fields::Fields;
use nn_core::json_strict::{Json, Object, loads_object};

use expected::Expected;
use naive::Loops;

/// What is measured where no other file is asked for.
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cases.json");

const SMALL: [&str; 8] = [
    r#"{"kind": "adamw", "n": 70}"#,
    r#"{"kind": "attention", "batch": 1, "seq": 9, "n_heads": 4, "n_kv_heads": 2, "head_dim": 8}"#,
    r#"{"kind": "cross_entropy", "rows": 7, "cols": 50}"#,
    r#"{"kind": "matmul", "m": 6, "n": 7, "k": 40}"#,
    r#"{"kind": "rmsnorm", "rows": 3, "cols": 200}"#,
    r#"{"kind": "silu", "n": 90}"#,
    r#"{"kind": "softmax", "rows": 3, "cols": 200}"#,
    r#"{"kind": "swiglu", "n": 90}"#,
];

fn described(text: &str) -> Object {
    loads_object(text.as_bytes(), "case").expect("a case")
}

type Row = fn(&Fields, Vec<Vec<f32>>) -> Result<Option<Loops>>;

/// The case's inputs, the library's output, and those of one of the rows after a run.
fn computed(case: &Fields, row: Row) -> (Vec<Vec<f32>>, Vec<u8>, Vec<Vec<f32>>) {
    let want = Expected::of(case, 1).expect("the library's output").output;
    let given = checks::inputs(case).expect("inputs");
    let mut loops = row(case, given.clone())
        .expect("a row")
        .expect("of this kind");
    assert_eq!(loops.share.to_bits(), 1.0_f64.to_bits());
    (loops.run)();
    let outputs = loops.outputs.borrow().clone();
    (given, want, outputs)
}

#[test]
fn rows_agree_with_the_library_and_a_wrong_output_is_refused() {
    for text in SMALL {
        let object = described(text);
        let case = Fields::new(&object, text.to_string());
        for row in [naive::loops as Row, library::loops as Row] {
            let (given, want, outputs) = computed(&case, row);
            let compare =
                |outputs: &[Vec<f32>]| checks::compare(&case, &given, outputs, 1.0, &want);
            let missing = compare(&outputs).expect("equal within the bound");
            assert!(missing == 0 || outputs.len() < 2, "{text}");
            for number in 0..outputs.len() {
                let last = outputs[number].len() - 1;
                let was = outputs[number][last];
                for wrong in [was + 1e-3 * was.abs().max(1.0), f32::NAN] {
                    let mut spoiled = outputs.clone();
                    spoiled[number][last] = wrong;
                    let said = compare(&spoiled).expect_err("a wrong output");
                    let place = format!("output {number}, element {last} is ");
                    assert!(said.contains(&place), "{said}");
                }
                let mut short = outputs.clone();
                short[number].pop();
                let mut long = outputs.clone();
                long[number].push(0.0);
                for other in [short, long] {
                    let said = compare(&other).expect_err("an output of another length");
                    let place = format!("output {number} has {} elements", other[number].len());
                    assert!(said.contains(&place), "{said}");
                }
            }
            assert!(compare(&[]).is_err(), "{text}");
            let mut more = outputs.clone();
            more.extend(vec![outputs[0].clone(); 3]);
            let said = compare(&more).expect_err("too many outputs");
            assert!(said.contains(&format!("{} outputs", more.len())), "{said}");
        }
    }
}

#[test]
fn a_device_whose_output_is_off_is_refused() {
    for text in SMALL {
        let object = described(text);
        let case = Fields::new(&object, text.to_string());
        let want = Expected::of(&case, 1).expect("the library's output").output;
        let compare = |got: &[u8]| checks::compare_devices(&case, got, &want, &[]);
        compare(&want).expect("equal");
        let mut spoiled = want.clone();
        let at = spoiled.len() - 2;
        spoiled[at] ^= 64; // half a binade or more
        assert!(compare(&spoiled).is_err(), "{text}");
        assert!(compare(&want[4..]).is_err(), "{text}");
    }
}

/// No step, half of one, one the other way and a weight that is far off are noticed.
#[test]
fn a_training_step_is_that_of_the_other_device() {
    const LR: f32 = 1e-4;
    let mut object = Object::new();
    object.insert("kind", Json::from("train"));
    let case = Fields::new(&object, "case".to_string());
    let start: Vec<f32> = (0..1000).map(|i| i as f32 / 1000.0).collect();
    // One in three stays.
    let step = |i: usize| LR * (1.0 - (i % 3) as f32);
    let moved = |by: f32| -> Vec<f32> {
        let with = |(i, x): (usize, &f32)| x + by * step(i);
        start.iter().enumerate().map(with).collect()
    };
    let bytes =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|x| x.to_le_bytes()).collect() };
    let (before, want) = (bytes(&start), moved(1.0));
    let compare = |got: &[f32]| checks::compare_devices(&case, &bytes(got), &bytes(&want), &before);
    compare(&want).expect("the same step");
    for by in [0.0, 0.5, -1.0] {
        let said = compare(&moved(by)).expect_err("another step");
        assert!(said.contains("made the same step"), "{by}: {said}");
    }
    let mut far = want.clone();
    far[0] += 4.0 * LR;
    assert!(compare(&far).is_err_and(|said| said.contains("element 0")));
    let still = checks::compare_devices(&case, &before, &before, &before);
    assert!(still.is_err_and(|said| said.contains("0.0% of the weights moved")));
}
