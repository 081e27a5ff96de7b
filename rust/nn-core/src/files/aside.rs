//! What is being written aside, so that a program that is told to end leaves nothing of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

static ASIDE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// While this is held, nothing is abandoned: to create something aside, or to make it appear.
pub(super) fn hold() -> MutexGuard<'static, Vec<PathBuf>> {
    ASIDE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file or folder that is not to outlive the writing of it.
pub(super) struct Aside(PathBuf);

impl Aside {
    pub fn new(path: PathBuf) -> Self {
        hold().push(path.clone());
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        hold().retain(|path| *path != self.0);
    }
}

/// Removes what is being written aside, and lets nothing more be created there: for a program that ends
/// now. Whoever writes waits from here on.
pub fn abandon() {
    let aside = hold();
    for path in aside.iter() {
        // The program ends; what cannot be removed is left to the next save in that place.
        let _: io::Result<()> = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
    }
    std::mem::forget(aside);
}
