//! The cases of cuda/vectors/host: sentences word for word, numbers to the bit.

use std::path::Path;

use nn_core::elementary::{exponential, natural_log};
use nn_core::json_strict::{Json, Object, dumps, dumps_compact, format_float, loads, loads_object};
use nn_core::model::config::{MoEConfig, ntk_theta, preset};
use nn_core::model::inspection::entropy;
use nn_core::model::safetensors::read_header;
use nn_core::tensor::dtype::bf16_from_f32;
use nn_core::tensor::philox::{STREAM_DATA, draw_u64, init_normal, mulhi64, philox};
use nn_core::train::schedule::{Schedule, cos_pi};
use nn_core::{NNError, Result};

fn file(name: &str) -> Object {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../cuda/vectors/host")
        .join(name);
    loads_object(&std::fs::read(path).expect("the file"), name).expect("JSON")
}

fn list<'a>(object: &'a Object, field: &str) -> &'a [Json] {
    match object.get(field) {
        Some(Json::Array(items)) => items,
        other => panic!("{field} is {other:?}"),
    }
}

fn entry(value: &Json) -> &Object {
    match value {
        Json::Object(object) => object,
        other => panic!("{other:?} is no object"),
    }
}

fn text<'a>(object: &'a Object, field: &str) -> &'a str {
    match object.get(field) {
        Some(Json::String(text)) => text,
        other => panic!("{field} is {other:?}"),
    }
}

fn integer(value: &Json) -> u64 {
    match value {
        Json::Int(number) => *number as u64,
        Json::String(digits) => digits.parse().expect("digits"),
        other => panic!("{other:?} is no integer"),
    }
}

fn int(object: &Object, field: &str) -> u64 {
    integer(object.get(field).expect("the field"))
}

fn hex(value: &Json) -> u64 {
    match value {
        Json::String(digits) => u64::from_str_radix(digits, 16).expect("hex digits"),
        other => panic!("{other:?} is no hex"),
    }
}

fn real(object: &Object, field: &str) -> f64 {
    f64::from_bits(hex(object.get(field).expect("the field")))
}

fn pair(value: &Json) -> (&Json, &Json) {
    match value {
        Json::Array(items) => (&items[0], &items[1]),
        other => panic!("{other:?} is no pair"),
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex"))
        .collect()
}

fn check<T>(case: &Object, outcome: Result<T>) {
    let error: NNError = outcome
        .err()
        .unwrap_or_else(|| panic!("{case:?} was accepted"));
    assert_eq!(
        (error.key(), error.to_string().as_str()),
        (text(case, "key"), text(case, "sentence"))
    );
}

#[test]
fn json() {
    let cases = file("json.json");
    for case in list(&cases, "refused").iter().map(entry) {
        let data = match case.get("hex") {
            Some(Json::String(digits)) => unhex(digits),
            _ => text(case, "text").as_bytes().to_vec(),
        };
        check(case, loads(&data, "x"));
    }
    for case in list(&cases, "read").iter().map(entry) {
        let value = loads(text(case, "text").as_bytes(), "x").expect("JSON");
        assert_eq!(dumps_compact(&value), text(case, "compact"));
        assert_eq!(dumps(&value), text(case, "pretty"));
    }
}

#[test]
fn safetensors() {
    for case in list(&file("safetensors.json"), "refused").iter().map(entry) {
        let data = match case.get("hex") {
            Some(Json::String(digits)) => unhex(digits),
            _ => {
                let header = text(case, "header").as_bytes();
                let mut data = (header.len() as u64).to_le_bytes().to_vec();
                data.extend_from_slice(header);
                data.resize(data.len() + int(case, "zeros") as usize, 0);
                data
            }
        };
        check(case, read_header(&data, "f"));
    }
}

#[test]
fn config() {
    let cases = file("config.json");
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cuda/vectors/golden/tiny/config.json");
    let golden = loads_object(&std::fs::read(golden).expect("the file"), "c").expect("JSON");
    for case in list(&cases, "refused_files").iter().map(entry) {
        let mut hf = golden.clone();
        for (field, value) in entry(case.get("set").expect("set")).iter() {
            hf.insert(field, value.clone());
        }
        for field in list(case, "delete") {
            let Json::String(field) = field else {
                panic!("{field:?} is no name")
            };
            hf.remove(field);
        }
        check(case, MoEConfig::from_hf(&hf, "c"));
    }
    for case in list(&cases, "refused_values").iter().map(entry) {
        let mut config = MoEConfig::tiny();
        for (field, value) in entry(case.get("set").expect("set")).iter() {
            set(&mut config, field, value);
        }
        check(case, config.validate("here"));
    }
    for case in list(&cases, "written").iter().map(entry) {
        let config = preset(text(case, "preset")).expect("a preset");
        let Some(Json::Float(alpha)) = case.get("ntk_alpha") else {
            panic!("{case:?}")
        };
        let config = config
            .with_ntk_alpha(*alpha)
            .and_then(|c| c.with_dtype(text(case, "dtype")));
        let config = config.expect("a config");
        assert_eq!(config.to_json(), text(case, "text"));
        assert_eq!(
            MoEConfig::from_json(config.to_json().as_bytes(), "c").expect("itself"),
            config
        );
    }
}

fn set(config: &mut MoEConfig, field: &str, value: &Json) {
    let size = |value: &Json| integer(value) as usize;
    let number = |value: &Json| match value {
        Json::Float(number) => *number,
        other => panic!("{other:?}"),
    };
    match (field, value) {
        ("top_k", value) => config.top_k = size(value),
        ("n_kv_heads", value) => config.n_kv_heads = size(value),
        ("head_dim", value) => config.head_dim = size(value),
        ("max_positions", value) => config.max_positions = size(value),
        ("n_experts", value) => config.n_experts = size(value),
        ("hidden_size", value) => config.hidden_size = size(value),
        ("ffn_size", value) => config.ffn_size = size(value),
        ("bos_id", value) => config.bos_id = integer(value) as i64,
        ("rope_theta", value) => config.rope_theta = number(value),
        ("rms_norm_eps", value) => config.rms_norm_eps = number(value),
        ("ntk_alpha", value) => config.ntk_alpha = number(value),
        ("aux_coef", value) => config.aux_coef = number(value),
        ("dtype", Json::String(dtype)) => config.dtype = dtype.clone(),
        ("quantization", Json::String(kind)) => config.quantization = kind.clone(),
        other => panic!("no such field: {other:?}"),
    }
}

#[test]
fn random_numbers() {
    let cases = file("numbers.json");
    for case in list(&cases, "philox").iter().map(entry) {
        let words = philox(
            int(case, "seed"),
            int(case, "index"),
            int(case, "stream") as u32,
            int(case, "sub") as u32,
        );
        let wanted: Vec<u64> = list(case, "words").iter().map(integer).collect();
        assert_eq!(words.map(u64::from).to_vec(), wanted);
    }
    for case in list(&cases, "init").iter().map(entry) {
        let (seed, tensor, start) = (
            int(case, "seed"),
            int(case, "tensor") as u32,
            int(case, "start"),
        );
        for (index, value) in (start..).zip(list(case, "values")) {
            assert_eq!(
                u64::from(init_normal(seed, tensor, index).to_bits()),
                hex(value)
            );
        }
    }
    for case in list(&cases, "mulhi64") {
        let Json::Array(items) = case else {
            panic!("{case:?}")
        };
        assert_eq!(
            mulhi64(integer(&items[0]), integer(&items[1])),
            integer(&items[2])
        );
    }
    for case in list(&cases, "batch_start").iter().map(entry) {
        let batch = int(case, "step") * int(case, "micro_batches") + int(case, "micro_batch");
        let index = batch * int(case, "rows") + int(case, "row");
        let draw = draw_u64(int(case, "seed"), STREAM_DATA, index, 0);
        assert_eq!(
            mulhi64(draw, int(case, "tokens") - int(case, "seq_len")),
            int(case, "start")
        );
    }
}

#[test]
fn schedule_and_floats() {
    let cases = file("numbers.json");
    for case in list(&cases, "cos_pi") {
        let (x, wanted) = pair(case);
        assert_eq!(cos_pi(f64::from_bits(hex(x))).to_bits(), hex(wanted));
    }
    for case in list(&cases, "learning_rate").iter().map(entry) {
        let schedule = Schedule {
            steps: int(case, "steps") as usize,
            peak: real(case, "peak"),
            last: real(case, "final"),
            warmup: real(case, "warmup"),
        };
        let rate = schedule.learning_rate(int(case, "step") as usize);
        assert_eq!(rate.to_bits(), real(case, "rate").to_bits());
    }
    for case in list(&cases, "ntk_theta").iter().map(entry) {
        let theta = ntk_theta(
            real(case, "theta"),
            real(case, "alpha"),
            int(case, "head_dim") as usize,
        );
        assert_eq!(theta.to_bits(), real(case, "result").to_bits());
    }
    for (name, function) in [
        ("natural_log", natural_log as fn(f64) -> f64),
        ("exponential", exponential),
    ] {
        for case in list(&cases, name) {
            let (x, wanted) = pair(case);
            let got = function(f64::from_bits(hex(x)));
            assert_eq!(got.to_bits(), hex(wanted), "{name}: {x:?}");
        }
        assert!(function(f64::NAN).is_nan());
    }
    for case in list(&cases, "entropy").iter().map(entry) {
        let probs = list(case, "probs").iter().map(|p| f64::from_bits(hex(p)));
        assert_eq!(
            entropy(probs).to_bits(),
            real(case, "entropy").to_bits(),
            "{case:?}"
        );
    }
    for case in list(&cases, "bf16_from_f32") {
        let (wide, narrow) = pair(case);
        assert_eq!(
            u64::from(bf16_from_f32(f32::from_bits(hex(wide) as u32))),
            hex(narrow)
        );
    }
    for case in list(&cases, "float_text") {
        let (bits, wanted) = pair(case);
        assert_eq!(Json::from(format_float(f64::from_bits(hex(bits)))), *wanted);
    }
}
