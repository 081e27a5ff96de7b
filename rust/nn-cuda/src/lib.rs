//! The kernel library from Rust: which devices are here, and opening one of them or the reference.
//!
//! Nothing links against libcunn: it is opened when a device of it is asked for, so this crate builds
//! and the reference device works before the library exists.

mod borrowed;
pub mod context;
mod handles;
pub mod library;
#[rustfmt::skip]
mod ops;
#[rustfmt::skip]
#[allow(missing_docs)]
pub mod sys;

use std::sync::Arc;

use nn_core::Result;
use nn_core::messages;
use nn_core::tensor::Backend;
use nn_core::tensor::reference::ReferenceBackend;

pub use context::Context;
pub use handles::NativeGraph;
pub use library::{DEVICES, Library, devices, library, why_not};

const KNOWN: [&str; 5] = ["auto", "cpu", "cuda", "simt", "reference"];

/// Opens a device: "cpu", "cuda", "simt" of the library, "reference" in Rust, or "auto": cuda when
/// there is one, else cpu.
///
/// `threads`: host threads that compute, the caller included, 0 for all. Errors: device_unknown,
/// device_missing, library_missing, library_unreadable, library_wrong_abi.
pub fn open_backend(device: &str, threads: usize) -> Result<Arc<dyn Backend>> {
    if !KNOWN.contains(&device) {
        return Err(messages::device_unknown(device, &KNOWN.join(", ")));
    }
    if device == "reference" {
        return Ok(Arc::new(ReferenceBackend::new()));
    }
    let device = match device {
        "auto" if why_not("cuda").is_none() => "cuda",
        "auto" => "cpu",
        named => named,
    };
    Ok(Arc::new(Context::open(device, 0, threads, None)?))
}
