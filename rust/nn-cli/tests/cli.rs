//! nn-rs as a user runs it, on the reference device: exit codes, sentences, and a run that resumes to
//! the same bytes.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

fn nn_rs(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nn-rs"))
        .args(arguments)
        .output()
        .expect("nn-rs runs")
}

fn succeeds(arguments: &[&str]) -> String {
    let output = nn_rs(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Exit code and the sentence.
fn fails(arguments: &[&str]) -> (i32, String) {
    let output = nn_rs(arguments);
    let text = String::from_utf8_lossy(&output.stderr)
        .trim_end()
        .to_string();
    (output.status.code().expect("a code"), text)
}

#[test]
fn usage_is_2_and_failure_is_1() {
    for (arguments, code, sentence) in [
        (
            vec!["trian"],
            2,
            "error: unknown command \"trian\", expected one of bench, eval, generate, info, init, inspect, \
             logits, prepare, quantize, train",
        ),
        (
            vec!["train"],
            2,
            "error: train needs --data, see train --help",
        ),
        (
            vec!["info", "--foo"],
            2,
            "error: unknown option --foo of info, see info --help",
        ),
        (
            vec!["info", "--json=1"],
            2,
            "error: --json has a value, expected none",
        ),
        (
            vec!["info", "x"],
            2,
            "error: unexpected argument \"x\", see info --help",
        ),
        (
            vec!["info", "more words"],
            2,
            "error: unexpected argument \"more words\", see info --help",
        ),
        (
            vec!["info", "more", "words", "--json"],
            2,
            "error: unexpected argument \"more words\", see info --help",
        ),
        (
            // Last, behind what is missing.
            vec!["init", "more", "words"],
            2,
            "error: init needs --config, see init --help",
        ),
        (
            vec!["info", "--", "--json"],
            2,
            "error: unexpected argument \"--json\", see info --help",
        ),
        (
            vec!["info", "--no such=1", "--", "x"],
            2,
            "error: unknown option --no such of info, see info --help",
        ),
        (
            // The line is taken apart before a value is read, and read before one is missed.
            vec!["init", "--seed", "1.5", "--foo"],
            2,
            "error: unknown option --foo of init, see init --help",
        ),
        (
            vec!["init", "--seed", "1.5"],
            2,
            "error: --seed is \"1.5\", expected an integer",
        ),
        (
            // Of an option that comes twice the last counts.
            vec!["init", "--seed", "1.5", "--seed", "1"],
            2,
            "error: init needs --config, see init --help",
        ),
        (
            vec![
                "logits",
                "--model",
                "./no//such/",
                "--ids",
                "1",
                "--out",
                "x",
                "--device",
                "reference",
            ],
            1,
            "error: no/such: no such folder, expected a checkpoint folder",
        ),
        (
            vec!["eval", "--model"],
            2,
            "error: --model needs a value, expected one",
        ),
        (
            vec!["init", "--config", "tiny", "--out", "x", "--seed", "1.5"],
            2,
            "error: --seed is \"1.5\", expected an integer",
        ),
        (
            vec![
                "logits",
                "--model",
                "/no/such",
                "--ids",
                "1",
                "--out",
                "x",
                "--device",
                "reference",
            ],
            1,
            "error: /no/such: no such folder, expected a checkpoint folder",
        ),
    ] {
        assert_eq!(fails(&arguments), (code, sentence.to_string()));
    }
}

#[test]
fn words_that_are_not_utf_8_are_refused_in_their_turn() {
    let bad = OsStr::from_bytes(b"a\xff\xe2\x82");
    let options = ["--out", "--dtype"].map(OsStr::new);
    let (out, dtype, init) = (options[0], options[1], OsStr::new("init"));
    for (arguments, sentence) in [
        (
            vec![init, out, bad],
            "error: --out is \"a???\", expected a path",
        ),
        (
            vec![init, dtype, bad, out, bad],
            "error: --dtype is \"a???\", expected UTF-8 text",
        ),
        (
            vec![init, out, bad, OsStr::new("--foo")],
            "error: unknown option --foo of init, see init --help",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_nn-rs"))
            .args(arguments)
            .output()
            .expect("nn-rs runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), text.trim_end()), (Some(2), sentence));
    }
}

#[test]
fn a_file_is_not_written_over_a_folder() {
    let home = tempfile::tempdir().expect("a folder");
    let (model, html) = (home.path().join("model"), home.path().join("page"));
    let (model, page) = (model.to_string_lossy(), html.to_string_lossy());
    fs::create_dir(&html).expect("a folder");
    let device = ["--device", "reference"];
    succeeds(&[&["init", "--config", "tiny", "--out", &model], &device[..]].concat());
    for (given, named) in [(&format!("{page}/"), &*page), (&"/".to_string(), "/")] {
        let logits = ["logits", "--model", &model, "--ids", "1", "--out", given];
        let sentence = format!("error: {named}: cannot be written: it is a folder");
        assert_eq!(fails(&[&logits, &device[..]].concat()), (1, sentence));
    }
}

#[test]
fn the_first_bad_id_is_named_after_the_length_is_judged() {
    let home = tempfile::tempdir().expect("a folder");
    let path = |name: &str| home.path().join(name).to_string_lossy().into_owned();
    let (model, out) = (path("model"), path("out.safetensors"));
    let device = ["--device", "reference"];
    succeeds(&[&["init", "--config", "tiny", "--out", &model], &device[..]].concat());
    let error = |ids: &str| {
        let logits = ["logits", "--model", &model, "--ids", ids, "--out", &out];
        let (code, sentence) = fails(&[&logits, &device[..]].concat());
        assert_eq!(code, 1, "{sentence}");
        sentence
    };
    let huge = "4000000000";
    let sentence = error(&format!("1,1000,{huge}"));
    assert!(
        sentence.contains("token id 1000 at position 1,"),
        "{sentence}"
    );
    let sentence = error(&format!("1,{huge},1000"));
    assert!(
        sentence.contains("token id 4000000000 at position 1,"),
        "{sentence}"
    );
    let sentence = error(&vec![huge; 5000].join(","));
    assert!(
        sentence.contains("5000") && !sentence.contains(huge),
        "{sentence}"
    );
}

#[test]
fn a_quantized_model_is_smaller_and_only_runs() {
    let home = tempfile::tempdir().expect("a folder");
    let path = |name: &str| home.path().join(name).to_string_lossy().into_owned();
    let (float, packed) = (path("float"), path("packed"));
    let device = ["--device", "reference"];
    let init = ["init", "--config", "tiny", "--out", &float, "--quiet"];
    succeeds(&[&init, &device[..]].concat());
    let quantize = ["quantize", "--model", &float, "--out", &packed, "--type"];
    let made = succeeds(&[&quantize[..], &["q4", "--quiet", "--json"], &device].concat());
    // 18 bytes for 32 of the matrices' elements, four for each of the rest.
    let (all, matrices) = (345_920_u64, 281_088);
    let bytes = matrices / 32 * 18 + (all - matrices) * 4;
    for (field, number) in [
        ("parameters", all),
        ("quantized_parameters", matrices),
        ("bytes", bytes),
    ] {
        let line = format!("\"{field}\": {number}");
        assert!(made.contains(&line), "{line} is not in {made}");
    }
    let logits = path("logits.safetensors");
    let ask = [
        "logits", "--model", &packed, "--ids", "1,2,3", "--out", &logits,
    ];
    succeeds(&[&ask, &device[..]].concat());
    let refused = "the weights are quantized (q4), expected f32, bf16 or f16";
    let again = ["quantize", "--model", &packed, "--out", "x", "--type", "q8"];
    let fresh = ["init", "--config", &packed, "--out", "x"];
    assert_eq!(fails(&again), (1, format!("error: {packed}: {refused}")));
    let place = format!("{packed}/config.json");
    assert_eq!(fails(&fresh), (1, format!("error: {place}: {refused}")));
    let (code, sentence) = fails(&[&quantize[..], &["q5"]].concat());
    let expected = "error: --type is \"q5\", expected q8 or q4";
    assert_eq!((code, sentence.as_str()), (2, expected));
}

#[test]
fn no_option_value_is_a_panic() {
    let values = [
        "",
        "-1",
        "0",
        "9223372036854775807",
        "1e308",
        "nan",
        "\u{1F600}",
        "/dev/null",
        "--json",
        "..",
    ];
    for option in [
        "--steps",
        "--batch",
        "--seq",
        "--accumulate",
        "--lr",
        "--config",
        "--out",
        "--device",
        "--threads",
    ] {
        for value in values {
            let output = nn_rs(&[
                "train",
                "--data",
                "/no/such",
                "--out",
                "/no/such/out",
                option,
                value,
            ]);
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(
                matches!(output.status.code(), Some(1 | 2)),
                "{option} {value:?}: {text}"
            );
            assert!(
                !text.contains("internal") && text.starts_with("error: "),
                "{option} {value:?}: {text}"
            );
        }
    }
}

fn checkpoint(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let names = [
        "config.json",
        "model.safetensors",
        "optimizer.safetensors",
        "trainer_state.json",
        "tokenizer.json",
    ];
    names
        .map(|name| (name.to_string(), fs::read(folder.join(name)).expect(name)))
        .to_vec()
}

#[test]
fn a_resumed_run_ends_in_the_same_bytes() {
    let home = tempfile::tempdir().expect("a folder");
    let path = |name: &str| home.path().join(name).to_string_lossy().into_owned();
    fs::create_dir(path("text")).expect("a folder");
    for number in 0..3 {
        let text = format!("line {number}\n").repeat(400);
        fs::write(home.path().join(format!("text/{number}.txt")), text).expect("a text");
    }
    let (text, data, whole, half) = (path("text"), path("data"), path("whole"), path("half"));
    succeeds(&[
        "prepare",
        "--data",
        &text,
        "--out",
        &data,
        "--tokenizer",
        "bytes",
        "--quiet",
    ]);
    succeeds(&[
        "train",
        "--data",
        &data,
        "--out",
        &whole,
        "--config",
        "tiny",
        "--steps",
        "4",
        "--batch",
        "1",
        "--seq",
        "8",
        "--accumulate",
        "2",
        "--save-every",
        "2",
        "--keep",
        "2",
        "--device",
        "reference",
        "--quiet",
    ]);
    fs::rename(home.path().join("whole/step-00000002"), &half).expect("the kept checkpoint");
    succeeds(&[
        "train",
        "--resume",
        "--data",
        &data,
        "--out",
        &half,
        "--device",
        "reference",
        "--quiet",
    ]);
    assert_eq!(checkpoint(Path::new(&half)), checkpoint(Path::new(&whole)));
    let png = fs::read(home.path().join("whole/loss.png")).expect("the plot");
    assert!(png.starts_with(b"\x89PNG"));

    let text = succeeds(&[
        "generate",
        "--model",
        &whole,
        "--prompt",
        "line",
        "--max-new-tokens",
        "4",
        "--temperature",
        "0",
        "--device",
        "reference",
        "--quiet",
    ]);
    assert!(text.ends_with('\n'));
    let held = succeeds(&[
        "eval",
        "--model",
        &whole,
        "--data",
        &data,
        "--device",
        "reference",
        "--json",
    ]);
    assert!(held.contains("\"bits_per_byte\""));
    let (code, sentence) = fails(&[
        "train", "--resume", "--data", &data, "--out", &half, "--steps", "9",
    ]);
    assert_eq!(
        (code, sentence.as_str()),
        (
            2,
            "error: --resume and --steps exclude each other, expected one of them"
        )
    );
}
