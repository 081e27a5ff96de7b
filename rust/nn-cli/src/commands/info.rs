//! nn-rs info: what is here, what is missing, and how to get it.

use clap::Args;
use nn_core::files;
use nn_core::json_strict::{Json, Object};
use nn_core::{RUSTC_VERSION, VERSION};
use nn_cuda::{DEVICES, library, open_backend, why_not};

use crate::common::{AsJson, Failure, Outcome, print_result};

/// Versions, devices, instruction set, threads.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    json: AsJson,
}

pub fn run(options: Options) -> Outcome {
    let mut result = Object::new();
    result.insert("version", VERSION);
    result.insert("language", format!("Rust {}", RUSTC_VERSION));
    result.insert("machine", machine());
    match library("cpu") {
        Ok(found) => {
            result.insert("library", files::text(found.path()));
            result.insert("library_version", found.version());
            result.insert("library_build", found.build_info());
            result.insert("abi", found.abi_version());
        }
        Err(error) => {
            result.insert("library", Json::Null);
            result.insert("missing", error.to_string());
        }
    }
    let mut available = Vec::new();
    for device in DEVICES.into_iter().chain(["reference"]) {
        if let Some(reason) = why_not(device) {
            result.insert(device, reason);
            continue;
        }
        available.push(Json::from(device));
        result.insert(device, describe(device)?);
    }
    result.insert("devices", available);
    print_result(result, options.json.json)
}

/// The processor's architecture and the number of its threads.
pub fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {processors} processors", std::env::consts::ARCH)
}

fn describe(device: &str) -> Result<Object, Failure> {
    let backend = open_backend(device, 0)?;
    let mut fields = Object::new();
    fields.insert("name", backend.device_name());
    fields.insert("isa", backend.isa());
    fields.insert("threads", backend.threads());
    Ok(fields)
}
