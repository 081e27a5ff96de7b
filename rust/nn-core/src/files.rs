//! Files that are either whole or not there: write aside, fsync, rename.

mod aside;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};

use crate::error::{NNError, Result};
use crate::messages;

pub use aside::abandon;
use aside::{Aside, hold};

const SAVING: &str = ".saving";
/// In a folder whose save was cut off: the files that [`recover`] moves up.
pub const COMPLETE: &str = ".complete";
const STALE: &str = ".stale";

/// Why the system refused, in the words of cuda/tools/messages.json.
pub fn reason(error: &io::Error) -> String {
    let number = error.raw_os_error().unwrap_or(0);
    messages::REASONS
        .iter()
        .find(|(known, _)| *known == number)
        .map_or_else(
            || format!("system error {number}"),
            |(_, text)| (*text).to_string(),
        )
}

/// The sentence of a failed read.
pub fn cannot_read(path: &Path, error: &io::Error) -> NNError {
    messages::cannot_read(&text(path), &reason(error))
}

/// The sentence of a failed write.
pub fn cannot_write(path: &Path, error: &io::Error) -> NNError {
    if error.raw_os_error() == Some(libc::ENOSPC) {
        return messages::disk_full(&text(path));
    }
    messages::cannot_write(&text(path), &reason(error))
}

/// A path in a sentence.
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The same place without empty and `.` parts: `./a//b/` is `a/b`. A `..` stays, whatever it leads to.
pub fn plain(path: &Path) -> PathBuf {
    let parts: PathBuf = path
        .components()
        .filter(|part| *part != Component::CurDir)
        .collect();
    if parts.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        parts
    }
}

/// A file of a folder; of the folder `.` it is the name alone.
pub fn join(folder: &Path, name: impl AsRef<Path>) -> PathBuf {
    if folder == Path::new(".") {
        name.as_ref().to_path_buf()
    } else {
        folder.join(name)
    }
}

/// The file's bytes. `kind` says what kind of folder it should be in. Errors: file_missing,
/// cannot_read.
pub fn read_bytes(path: &Path, kind: &str) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| missing_or(path, kind, &error))
}

/// file_missing or cannot_read.
pub(crate) fn missing_or(path: &Path, kind: &str, error: &io::Error) -> NNError {
    if error.kind() == io::ErrorKind::NotFound {
        messages::file_missing(&text(path), kind)
    } else {
        cannot_read(path, error)
    }
}

/// Errors: folder_missing, not_a_folder.
pub fn require_folder(path: &Path, kind: &str) -> Result<()> {
    if !path.exists() {
        return Err(messages::folder_missing(&text(path), kind));
    }
    if !path.is_dir() {
        return Err(messages::not_a_folder(&text(path), kind));
    }
    Ok(())
}

/// Where the content of a file goes, piece by piece.
pub type Sink<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

/// Writes the content of a file into a [`Sink`]: from it come the errors of the disk, from the
/// content's own source any other.
pub type Content<'a> = dyn FnMut(&mut Sink) -> Result<()> + 'a;

/// Content that is in memory.
pub fn bytes(data: &[u8]) -> impl FnMut(&mut Sink) -> Result<()> + '_ {
    move |sink| sink(data)
}

/// Creates `path` with the content and waits until the disk has it; `name` is what a sentence calls
/// it.
fn write_synced(path: &Path, name: &Path, content: &mut Content) -> Result<()> {
    let failed = |error: io::Error| cannot_write(name, &error);
    let created = {
        let _held = hold();
        File::create(path).map_err(failed)?
    };
    let mut file = BufWriter::with_capacity(1 << 20, created);
    content(&mut |chunk| file.write_all(chunk).map_err(failed))?;
    file.flush().map_err(failed)?;
    file.get_ref().sync_all().map_err(failed)
}

/// Copies the content of a file, in pieces, and waits until the disk has it.
pub fn copy_synced(source: &Path, target: &Path) -> io::Result<()> {
    let mut from = File::open(source)?;
    let mut file = File::create(target)?;
    io::copy(&mut from, &mut file)?;
    file.sync_all()
}

/// Waits until the names in the folder `path` are on the disk.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    })?
    .sync_all()
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn beside(path: &Path) -> PathBuf {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    path.with_file_name(format!(".{name}.saving"))
}

/// Replaces the one file `path`: a reader sees the old or the new bytes, never a mixture.
///
/// Errors: disk_full, cannot_write; then the old file is untouched and nothing else is left.
pub fn write_file(path: &Path, content: &mut Content) -> Result<()> {
    let path = &plain(path);
    if path.is_dir() {
        return Err(cannot_write(
            path,
            &io::Error::from_raw_os_error(libc::EISDIR),
        ));
    }
    // A device or a pipe stays: putting a file in its place would break others' work.
    if path.exists() && !path.is_file() {
        return Err(cannot_write(
            path,
            &io::Error::from_raw_os_error(libc::ENODEV),
        ));
    }
    let aside = Aside::new(beside(path));
    let renamed = || {
        let _held = hold();
        fs::rename(aside.path(), path).map_err(|error| cannot_write(path, &error))
    };
    let written = write_synced(aside.path(), path, content).and_then(|()| renamed());
    if written.is_err() {
        // The failure is already being reported; what was written aside is only tidied away.
        let _ = fs::remove_file(aside.path());
        return written;
    }
    sync_folder(parent(path)).map_err(|error| cannot_write(path, &error))
}

/// Writes several files into the folder `path` so that they appear together.
///
/// A new folder is filled beside its place under the name `.NAME.saving` and renamed when it is
/// whole. In a folder that is there already the files go to `.saving`; renaming that to `.complete`
/// is the moment of saving, and [`recover`] then moves the files up one by one, now or after a crash.
/// Of the old files, those for which `owned(name)` holds and that were not written again are removed;
/// the others stay.
///
/// Dropped before [`FolderSave::commit`], it removes what was written. Errors: disk_full,
/// cannot_write.
pub struct FolderSave {
    path: PathBuf,
    owned: fn(&str) -> bool,
    exists: bool,
    aside: Aside,
    committed: bool,
}

impl FolderSave {
    /// Prepares the place aside.
    pub fn begin(path: &Path, owned: fn(&str) -> bool) -> Result<Self> {
        let path = &plain(path);
        Self::prepare(path, owned).map_err(|error| cannot_write(path, &error))
    }

    fn prepare(path: &Path, owned: fn(&str) -> bool) -> io::Result<Self> {
        let exists = path.exists();
        if exists && !path.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        let aside = if exists {
            recover(path)?;
            path.join(SAVING)
        } else {
            fs::create_dir_all(if parent(path).as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent(path)
            })?;
            beside(path)
        };
        if aside.exists() {
            fs::remove_dir_all(&aside)?;
        }
        let aside = Aside::new(aside);
        {
            let _held = hold();
            fs::create_dir(aside.path())?;
        }
        Ok(Self {
            path: path.to_path_buf(),
            owned,
            exists,
            aside,
            committed: false,
        })
    }

    /// Writes one file.
    pub fn write(&self, name: &str, content: &mut Content) -> Result<()> {
        let aside = self.aside.path().join(name);
        write_synced(&aside, &join(&self.path, name), content)
    }

    /// Makes the files appear.
    pub fn commit(mut self) -> Result<()> {
        self.publish()
            .map_err(|error| cannot_write(&self.path, &error))?;
        self.committed = true;
        Ok(())
    }

    fn publish(&self) -> io::Result<()> {
        let (_held, aside) = (hold(), self.aside.path());
        if !self.exists {
            sync_folder(aside)?;
            fs::rename(aside, &self.path)?;
            return sync_folder(parent(&self.path));
        }
        let written = names(aside)?;
        let mut stale: Vec<String> = names(&self.path)?
            .into_iter()
            .filter(|name| (self.owned)(name) && !written.contains(name))
            .collect();
        stale.sort_unstable();
        let lines: String = stale.iter().map(|name| format!("{name}\n")).collect();
        let mut file = File::create(aside.join(STALE))?;
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        sync_folder(aside)?;
        fs::rename(aside, self.path.join(COMPLETE))?;
        sync_folder(&self.path)?;
        recover(&self.path)
    }
}

impl Drop for FolderSave {
    fn drop(&mut self) {
        if !self.committed {
            // The failure that led here is already being reported.
            let _ = fs::remove_dir_all(self.aside.path());
        }
    }
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// Finishes a [`FolderSave`] of the folder `path` that was cut off behind its moment of saving, if
/// there is one.
pub fn recover(path: &Path) -> io::Result<()> {
    let complete = path.join(COMPLETE);
    if !complete.is_dir() {
        return Ok(());
    }
    let stale = complete.join(STALE);
    if stale.exists() {
        for name in String::from_utf8_lossy(&fs::read(&stale)?).lines() {
            if is_plain_name(name) {
                remove_if_there(&path.join(name))?;
            }
        }
    }
    let mut entries = names(&complete)?;
    entries.sort_unstable();
    for name in entries.iter().filter(|name| *name != STALE) {
        fs::rename(complete.join(name), path.join(name))?;
    }
    sync_folder(path)?;
    remove_if_there(&stale)?;
    fs::remove_dir(complete)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A file of the folder itself: a list read from the disk must not reach elsewhere.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_bytes_and_a_full_disk_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.path().join(name));
        let data: Vec<u8> = (0..1 << 18).map(|i| (i % 251) as u8).collect();
        fs::write(&a, &data).expect("a file");
        copy_synced(&a, &b).expect("a copy");
        assert!(fs::read(&b).expect("the copy") == data);
        let missing = copy_synced(&c, &b).expect_err("no such file");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let fresh = c.with_file_name("fresh");
        copy_synced(&c, &fresh).expect_err("no such file");
        assert!(!fresh.exists(), "a target without a source");
        let full = Path::new("/dev/full");
        if full.exists() {
            let error = copy_synced(&a, full).expect_err("the disk is full");
            assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        }
    }

    #[test]
    fn a_plain_path_has_no_idle_parts() {
        for (path, wanted) in [
            ("a", "a"),
            ("./a//b/", "a/b"),
            ("a/./b/..", "a/b/.."),
            ("/a/", "/a"),
            ("./", "."),
            ("..", ".."),
        ] {
            assert_eq!(plain(Path::new(path)), Path::new(wanted), "{path}");
            assert_eq!(text(&plain(Path::new(path))), wanted);
        }
    }
}
