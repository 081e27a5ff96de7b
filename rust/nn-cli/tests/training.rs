//! nn-rs train as a user runs it, on the reference device: what it leaves, and what Ctrl-C does.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const TINY: [&str; 10] = [
    "--config",
    "tiny",
    "--batch",
    "1",
    "--seq",
    "8",
    "--device",
    "reference",
    "--lr",
    "0.001",
];

fn nn_rs(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nn-rs"));
    command.args(arguments);
    // Where the suite was started with Ctrl-C ignored, nn-rs would ignore it too.
    // SAFETY: `signal` may be called between fork and exec, and touches no memory of ours.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        });
    }
    command
}

fn succeeds(arguments: &[&str]) -> Output {
    let output = nn_rs(arguments).output().expect("nn-rs runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    output
}

/// A folder with three texts, prepared with a token per byte in `data`.
fn home() -> (TempDir, impl Fn(&str) -> String) {
    let home = tempfile::tempdir().expect("a folder");
    let root = home.path().to_path_buf();
    let path = move |name: &str| root.join(name).to_string_lossy().into_owned();
    fs::create_dir(path("text")).expect("a folder");
    for number in 0..3 {
        let text = format!("line {number}\n").repeat(400);
        fs::write(path(&format!("text/{number}.txt")), text).expect("a text");
    }
    let (text, data) = (path("text"), path("data"));
    let bytes = ["--tokenizer", "bytes", "--quiet"];
    succeeds(&[&["prepare", "--data", &text, "--out", &data], &bytes[..]].concat());
    (home, path)
}

fn train(data: &str, out: &str, options: &[&str]) -> Output {
    succeeds(&[&["train", "--data", data, "--out", out], &TINY[..], options].concat())
}

fn read(path: &str) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Waits until `done`, at most a minute.
fn wait(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "waited for a minute"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn interrupt(child: &Child) {
    let status = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(status.expect("kill runs").success());
}

#[test]
fn ctrl_c_saves_and_the_resumed_run_ends_in_the_same_bytes() {
    let (_home, path) = home();
    let (data, whole, cut) = (path("data"), path("whole"), path("cut"));
    let steps = ["--steps", "100", "--quiet"];
    train(&data, &whole, &steps);
    let begin = [
        &["train", "--data", &data, "--out", &cut],
        &TINY[..],
        &steps,
    ]
    .concat();
    let mut child = nn_rs(&begin).stdout(Stdio::piped()).spawn().expect("nn-rs");
    wait(|| fs::read(path("cut/metrics.jsonl")).is_ok_and(|lines| lines.contains(&b'\n')));
    interrupt(&child);
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    let state = String::from_utf8(read(&path("cut/trainer_state.json"))).expect("UTF-8");
    assert!(!state.contains("\"step\": 100,"), "it was not interrupted");
    succeeds(&[
        "train",
        "--resume",
        "--data",
        &data,
        "--out",
        &cut,
        "--device",
        "reference",
        "--quiet",
    ]);
    for name in [
        "model.safetensors",
        "optimizer.safetensors",
        "trainer_state.json",
        "config.json",
    ] {
        let file = |folder: &str| read(&format!("{folder}/{name}"));
        assert!(file(&whole) == file(&cut), "{name} differs");
    }
}

#[test]
fn ctrl_c_before_the_first_step_leaves_nothing() {
    let (_home, path) = home();
    let (data, out) = (path("data"), path("out"));
    // Four seconds and more of measuring how long a step takes.
    let begin = [
        &["train", "--data", &data, "--out", &out, "--minutes", "1"],
        &TINY[..],
    ]
    .concat();
    let mut child = nn_rs(&begin).stderr(Stdio::piped()).spawn().expect("nn-rs");
    // The signal is caught once it stands in the mask of caught signals.
    let status = format!("/proc/{}/status", child.id());
    wait(|| {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_some_and(|mask| mask >> 1 & 1 == 1)
    });
    interrupt(&child);
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    assert!(!Path::new(&out).exists());
}

#[test]
fn ctrl_c_while_a_folder_is_written_leaves_nothing() {
    let home = tempfile::tempdir().expect("a folder");
    let out = home.path().join("out").to_string_lossy().into_owned();
    let init = ["init", "--config", "small", "--out", &out, "--quiet"];
    let mut child = nn_rs(&[&init[..], &["--device", "reference"]].concat())
        .spawn()
        .expect("nn-rs");
    wait(|| home.path().join(".out.saving/model.safetensors").exists());
    interrupt(&child);
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    assert_eq!(fs::read_dir(home.path()).expect("a folder").count(), 0);
}

#[test]
fn text_is_prepared_anew_unless_the_run_is_resumed() {
    let (_home, path) = home();
    let (text, out) = (path("text"), path("out"));
    let tokens = || read(&path("out/data/train.bin"));
    train(&text, &out, &["--steps", "1", "--quiet"]);
    let before = tokens();
    let other = "other words and other tokens\n".repeat(300);
    fs::write(path("text/0.txt"), &other).expect("a text");
    let resume = ["train", "--resume", "--data", &text, "--out", &out];
    succeeds(&[&resume[..], &["--device", "reference", "--quiet"]].concat());
    assert!(tokens() == before);
    // A run to resume is not replaced.
    fs::remove_file(path("out/trainer_state.json")).expect("a run");
    train(&text, &out, &["--steps", "1", "--quiet"]);
    assert!(tokens() != before);
}

#[test]
fn a_copy_that_fails_leaves_nothing_and_a_killed_runs_is_cleared() {
    let (_home, path) = home();
    let (data, out) = (path("data"), path("out"));
    let left = path("out/.step-00000007.saving");
    fs::create_dir_all(&left).expect("a folder");
    fs::write(format!("{left}/model.safetensors"), "half").expect("a file");
    // A file where the copy's folder belongs.
    fs::write(path("out/step-00000002"), "mine").expect("a file");
    let run = ["train", "--data", &data, "--out", &out];
    let options = ["--steps", "2", "--save-every", "1", "--keep", "2"];
    let failed = nn_rs(&[&run[..], &TINY, &options].concat()).output();
    let failed = failed.expect("nn-rs runs");
    let errors = String::from_utf8_lossy(&failed.stderr);
    assert_eq!(failed.status.code(), Some(1), "{errors}");
    assert!(errors.contains("step-00000002"), "{errors}");
    let names = fs::read_dir(&out).expect("a folder").map(|entry| {
        let name = entry.expect("an entry").file_name();
        name.to_string_lossy().into_owned()
    });
    let names: Vec<String> = names.collect();
    assert!(
        names.iter().any(|name| name == "step-00000001"),
        "{names:?}"
    );
    assert!(
        !names.iter().any(|name| name.ends_with(".saving")),
        "{names:?}"
    );
    assert_eq!(read(&path("out/step-00000002")), b"mine");
}

#[test]
fn only_folders_of_steps_are_kept_and_removed() {
    let (_home, path) = home();
    let (data, out) = (path("data"), path("out"));
    for name in [
        "step-00000009",
        "step-000003",
        "step-00000001.old",
        "step-0000000x",
    ] {
        fs::create_dir_all(path(&format!("out/{name}"))).expect("a folder");
    }
    let options = ["--steps", "4", "--save-every", "1", "--keep", "2"];
    train(&data, &out, &options);
    let mut kept: Vec<String> = fs::read_dir(&out)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.starts_with("step-"))
        .collect();
    kept.sort();
    // step-00000009 would be of an earlier run; the others are not ours.
    assert_eq!(
        kept,
        [
            "step-00000001.old",
            "step-00000003",
            "step-00000004",
            "step-0000000x",
            "step-000003",
        ]
    );
}

#[test]
fn a_loss_that_is_not_finite_is_null() {
    let (_home, path) = home();
    let (data, out) = (path("data"), path("out"));
    let wild = ["--steps", "6", "--warmup", "0", "--max-norm", "0", "--json"];
    // The last --lr counts.
    let output = train(&data, &out, &[&wild[..], &["--lr", "1000000"]].concat());
    let result = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(result.contains("\"loss\": null"), "{result}");
    let metrics = String::from_utf8(read(&path("out/metrics.jsonl"))).expect("UTF-8");
    assert!(metrics.contains("\"cross_entropy\":null") && !metrics.contains("NaN"));
    assert!(read(&path("out/loss.png")).starts_with(b"\x89PNG"));
}

#[test]
fn evaluation_shows_its_progress_and_a_complete_run_keeps_its_seconds() {
    let (_home, path) = home();
    let (data, out) = (path("data"), path("out"));
    train(&data, &out, &["--steps", "2"]);
    let held = [
        "eval",
        "--model",
        &out,
        "--data",
        &data,
        "--seq",
        "400",
        "--device",
        "reference",
    ];
    let output = succeeds(&held);
    // 400 lines of seven bytes and the end of the text: 2,800 predictions in windows of 400.
    let lines = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(lines.starts_with("eval: 7/7  "), "{lines:?}");
    let quiet = succeeds(&[&held[..], &["--quiet"]].concat());
    assert!(quiet.stderr.is_empty());

    let resume = ["train", "--resume", "--data", &data, "--out", &out];
    let again = succeeds(&[&resume[..], &["--device", "reference", "--json"]].concat());
    let result = String::from_utf8(again.stdout).expect("UTF-8");
    assert!(result.contains("\"loss\": null") && !result.contains("\"seconds\": 0.0"));
}
