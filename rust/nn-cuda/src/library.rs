//! Finds and opens libcunn: `CUNN_LIBRARY`, else beside the program, else `<root>/build`.
//!
//! The ABI version is compared before any other function is called.

use std::collections::HashMap;
use std::env;
use std::ffi::CStr;
use std::os::raw::c_char;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use nn_core::Result;
use nn_core::messages;

use crate::sys::{ABI_VERSION, Table};

/// Kinds of device, at the place of their number in cunn.h.
pub const DEVICES: [&str; 3] = ["cpu", "cuda", "simt"];

const SUFFIX: &str = if cfg!(target_os = "macos") {
    ".dylib"
} else {
    ".so"
};

/// An opened libcunn: its functions, where it was found, and what it says of itself. It stays open
/// until the program ends.
#[derive(Debug)]
pub struct Library {
    table: Table,
    path: PathBuf,
    version: String,
    build_info: String,
    _open: libloading::Library,
}

/// The number of a kind of device in cunn.h; -1 for one that it lacks.
pub(crate) fn number_of(device: &str) -> i32 {
    DEVICES
        .iter()
        .position(|known| *known == device)
        .map_or(-1, |at| at as i32)
}

/// A text of the library; empty for null.
///
/// # Safety
///
/// `pointer` is null or a NUL-terminated text that nobody changes during the call.
pub(crate) unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(pointer) }
        .to_string_lossy()
        .into_owned()
}

impl Library {
    /// The functions.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its release.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How it was built.
    pub fn build_info(&self) -> &str {
        &self.build_info
    }

    /// The ABI it speaks.
    pub fn abi_version(&self) -> i32 {
        // SAFETY: the table is of this ABI.
        unsafe { (self.table.cunn_abi_version)() }
    }

    /// How many devices of a kind are here.
    pub fn device_count(&self, device: &str) -> i32 {
        let mut count = 0;
        // SAFETY: `count` outlives the call.
        let status = unsafe { (self.table.cunn_device_count)(&mut count, number_of(device)) };
        if status == 0 { count } else { 0 }
    }

    /// The name of a device, for example the card's.
    pub fn device_name(&self, device: &str, ordinal: i32) -> String {
        // SAFETY: the text is static.
        unsafe { text((self.table.cunn_device_name)(number_of(device), ordinal)) }
    }

    /// Why there is no such device here and what would change that; "" when there is one.
    pub fn device_note(&self, device: &str) -> String {
        // SAFETY: the text is static.
        unsafe { text((self.table.cunn_device_note)(number_of(device))) }
    }
}

/// Where a library is looked for, first come first served.
pub fn places(stem: &str) -> Vec<PathBuf> {
    if let Some(named) = env::var_os("CUNN_LIBRARY").filter(|named| !named.is_empty()) {
        return vec![PathBuf::from(named)];
    }
    let file = format!("{stem}{SUFFIX}");
    let mut found = Vec::new();
    if let Some(folder) = env::current_exe().ok().as_deref().and_then(Path::parent) {
        found.push(folder.join(&file));
    }
    // The checkout that this crate was built from, if it is still there.
    if let Some(root) = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)
        && root.join("cuda/include/cunn.h").is_file()
    {
        found.push(root.join("build").join(&file));
    }
    found
}

/// The library that has this kind of device: libcunn-simt for simt, else libcunn; for cuda on a V100
/// libcunn-sm70.
///
/// Errors: library_missing, library_unreadable, library_wrong_abi.
pub fn library(device: &str) -> Result<&'static Library> {
    let stem = if device == "simt" {
        "libcunn-simt"
    } else {
        "libcunn"
    };
    let candidates = places(stem);
    if let Some(path) = candidates.iter().find(|path| path.is_file()) {
        let found = open(path)?;
        return if device == "cuda" {
            or_sm70(found)
        } else {
            Ok(found)
        };
    }
    let listed: Vec<_> = candidates
        .iter()
        .map(|path| path.to_string_lossy())
        .collect();
    Err(messages::library_missing(
        &format!("{stem}{SUFFIX}"),
        &listed.join(", "),
    ))
}

/// The libcunn-sm70 beside a library without a card, where that has one: what libcunn's compiler no
/// longer serves.
fn or_sm70(found: &'static Library) -> Result<&'static Library> {
    let beside = found.path.with_file_name(format!("libcunn-sm70{SUFFIX}"));
    if found.device_count("cuda") == 0 && beside.is_file() {
        let older = open(&beside)?;
        if older.device_count("cuda") > 0 {
            return Ok(older);
        }
    }
    Ok(found)
}

fn open(path: &Path) -> Result<&'static Library> {
    static OPENED: LazyLock<Mutex<HashMap<PathBuf, &'static Library>>> =
        LazyLock::new(Mutex::default);
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = opened.get(path) {
        return Ok(library);
    }
    let library: &'static Library = Box::leak(Box::new(load(path)?));
    opened.insert(path.to_path_buf(), library);
    Ok(library)
}

fn load(path: &Path) -> Result<Library> {
    let shown = path.to_string_lossy();
    let unreadable = |reason: &str| messages::library_unreadable(&shown, reason);
    // SAFETY: opening runs the initialisers of the file that the user named or that stands in the
    // build folder; libcunn's do nothing but register its kernels.
    let open = unsafe { libloading::Library::new(path) }.map_err(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        let reason = source.unwrap_or_else(|| error.to_string());
        unreadable(
            reason
                .strip_prefix(&format!("{shown}: "))
                .unwrap_or(&reason),
        )
    })?;
    // SAFETY: in every version of the ABI this function takes nothing and returns an int32_t.
    let found = unsafe {
        match open.get::<unsafe extern "C" fn() -> i32>("cunn_abi_version") {
            Ok(version) => version(),
            Err(_) => return Err(unreadable("it has no cunn_abi_version")),
        }
    };
    if found != ABI_VERSION {
        return Err(messages::library_wrong_abi(&shown, found, ABI_VERSION));
    }
    // SAFETY: the version is right and the library is kept beside its table.
    let table =
        unsafe { Table::load(&open) }.map_err(|name| unreadable(&format!("it has no {name}")))?;
    // SAFETY: both texts are static.
    let (version, build_info) = unsafe {
        (
            text((table.cunn_version)()),
            text((table.cunn_build_info)()),
        )
    };
    Ok(Library {
        table,
        path: path.to_path_buf(),
        version,
        build_info,
        _open: open,
    })
}

/// Why a device cannot be opened here, in one sentence; `None` when it can.
pub fn why_not(device: &str) -> Option<String> {
    if device == "reference" {
        return None;
    }
    match library(device) {
        Err(error) => Some(error.to_string()),
        Ok(found) if found.device_count(device) > 0 => None,
        Ok(found) => Some(messages::device_missing(device, &found.device_note(device)).to_string()),
    }
}

/// The devices that can be opened here, best first; reference is always among them.
pub fn devices() -> Vec<&'static str> {
    ["cuda", "cpu", "simt", "reference"]
        .into_iter()
        .filter(|device| why_not(device).is_none())
        .collect()
}
