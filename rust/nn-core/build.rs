//! Hands the compiler's version to the crate.

use std::env;
use std::process::Command;

fn main() {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output();
    let version = output
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .unwrap_or_default();
    let number = version
        .split_whitespace()
        .nth(1)
        .unwrap_or("of unknown version");
    println!("cargo:rustc-env=RUSTC_VERSION={number}");
    println!("cargo:rerun-if-changed=build.rs");
}
