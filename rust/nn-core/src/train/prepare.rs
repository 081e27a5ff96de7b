//! Text files to token files: what `nn-rs prepare` does.
//!
//! Which text. A path is a file or a folder. A folder stands for the regular files below it; names
//! that begin with a dot and symbolic links are passed over. Text is UTF-8 without NUL bytes and not
//! empty: a file of a folder that is not text is passed over and counted, a file that was named and is
//! not text is an error. A path that comes twice counts once.
//!
//! Which split. The texts, sorted by the bytes of their paths, are numbered from 0; numbers 19, 39,
//! 59, ... are held out. Of fewer than twenty texts the last is held out, if there are at least two.
//!
//! What is written: tokenizer.json; train.bin and heldout.bin, the tokens of each text followed by the
//! end-of-text id, u32 little-endian; data.json.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::files::{self, FolderSave};
use crate::json_strict::{Json, Object, dumps};
use crate::messages;
use crate::tokenizer::Tokenizer;

const HELD_OUT_EVERY: usize = 20;
/// Tokens of a vocabulary that is learned, at most.
pub const MAXIMUM_VOCAB: i64 = 1 << 20;
/// Bytes of text that are encoded in parallel.
const ENCODED_TOGETHER: usize = 1 << 20;
/// The name of the tokenizer with one token per byte.
pub const BYTES_TOKENIZER: &str = "bytes";
const OUTPUTS: [&str; 4] = ["train.bin", "heldout.bin", "data.json", "tokenizer.json"];

/// Called with what is being done, the texts done and the texts in all.
pub type Progress<'a> = dyn FnMut(&str, usize, usize) + 'a;

/// Of one .bin file: its texts, tokens (with one end-of-text each) and bytes of text (without).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Split {
    /// Texts.
    pub files: usize,
    /// With the end-of-text ids.
    pub tokens: u64,
    /// Of text.
    pub bytes: u64,
}

impl Split {
    fn to_json(self) -> Object {
        let mut split = Object::new();
        split.insert("bytes", self.bytes);
        split.insert("files", self.files);
        split.insert("tokens", self.tokens);
        split
    }
}

/// The text files, sorted by the bytes of their paths, and how many files were passed over.
#[derive(Clone, Debug, PartialEq)]
pub struct Texts {
    /// Sorted.
    pub paths: Vec<PathBuf>,
    /// Not text.
    pub skipped: usize,
}

/// Errors: cannot_read, data_not_text, data_no_files.
pub fn find_texts(paths: &[String]) -> Result<Texts> {
    let mut named = HashSet::new();
    let mut all = BTreeSet::new();
    for path in paths {
        if Path::new(path).is_dir() {
            let folder = path.trim_end_matches('/');
            walk(
                if folder.is_empty() {
                    "/".into()
                } else {
                    folder.into()
                },
                &mut all,
            )?;
        } else if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            // A pipe can be read once; text is read once to check it and again to encode it.
            return Err(messages::data_no_files(path));
        } else {
            named.insert(OsString::from(path));
            all.insert(path.clone().into_bytes());
        }
    }
    let mut texts = Vec::new();
    let mut skipped = 0;
    for bytes in all {
        let path = OsString::from_vec(bytes);
        let data = read(Path::new(&path))?;
        match not_text_at(&data) {
            Some(offset) if named.contains(&path) => {
                return Err(messages::data_not_text(&path.to_string_lossy(), offset));
            }
            None if !data.is_empty() => texts.push(PathBuf::from(path)),
            _ => skipped += 1,
        }
    }
    if texts.is_empty() {
        return Err(messages::data_no_files(&paths.join(", ")));
    }
    Ok(Texts {
        paths: texts,
        skipped,
    })
}

fn walk(folder: PathBuf, found: &mut BTreeSet<Vec<u8>>) -> Result<()> {
    let failed = |error: std::io::Error| files::cannot_read(&folder, &error);
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if entry.file_name().as_bytes().starts_with(b".") || kind.is_symlink() {
            continue;
        }
        let path = folder.join(entry.file_name());
        if kind.is_dir() {
            walk(path, found)?;
        } else if kind.is_file() {
            found.insert(path.into_os_string().into_vec());
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| files::cannot_read(path, &error))
}

/// The offset of the first byte that is NUL or not UTF-8; `None` for text.
pub fn not_text_at(data: &[u8]) -> Option<usize> {
    let nul = data.iter().position(|&byte| byte == 0);
    match std::str::from_utf8(data) {
        Ok(_) => nul,
        Err(error) => Some(nul.unwrap_or(usize::MAX).min(error.valid_up_to())),
    }
}

/// (train, held out) of sorted paths, by the rule above.
pub fn split_texts(paths: &[PathBuf]) -> (Vec<PathBuf>, Vec<PathBuf>) {
    if (2..HELD_OUT_EVERY).contains(&paths.len()) {
        let (train, heldout) = paths.split_at(paths.len() - 1);
        return (train.to_vec(), heldout.to_vec());
    }
    let (heldout, train): (Vec<_>, Vec<_>) = paths
        .iter()
        .enumerate()
        .partition(|(index, _)| index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1);
    let plain = |numbered: Vec<(usize, &PathBuf)>| {
        numbered.into_iter().map(|(_, path)| path.clone()).collect()
    };
    (plain(train), plain(heldout))
}

/// Gives `each` the tokens of each text with the end-of-text id behind them; counts into `split`.
/// Errors: cannot_read, data_not_text (the file changed meanwhile), tokenizer_no_eos.
pub fn encode_texts(
    paths: &[PathBuf],
    tokenizer: &Tokenizer,
    split: &mut Split,
    progress: &mut dyn FnMut(usize),
    each: &mut dyn FnMut(&[u32]) -> Result<()>,
) -> Result<()> {
    let Ok(eos) = u32::try_from(tokenizer.eos_id) else {
        return Err(messages::tokenizer_no_eos(&tokenizer.place));
    };
    let mut texts = Vec::new();
    let mut waiting = 0;
    for (index, path) in paths.iter().enumerate() {
        let data = read(path)?;
        if let Some(offset) = not_text_at(&data) {
            return Err(messages::data_not_text(&files::text(path), offset));
        }
        split.bytes += data.len() as u64;
        waiting += data.len();
        texts.push(String::from_utf8_lossy(&data).into_owned());
        if waiting < ENCODED_TOGETHER && index + 1 < paths.len() {
            continue;
        }
        for mut ids in tokenizer.encode_all(&texts)? {
            split.files += 1;
            split.tokens += ids.len() as u64 + 1;
            ids.push(eos);
            each(&ids)?;
        }
        texts.clear();
        waiting = 0;
        progress(split.files);
    }
    Ok(())
}

/// Writes the folder `out` and returns the content of its data.json.
///
/// `tokenizer` is the path of a tokenizer.json, or "bytes" for one token per byte; without it a BPE of
/// `vocab_size` tokens learns from the training texts alone. Errors: those of [`find_texts`],
/// [`encode_texts`] and [`Tokenizer`], disk_full, cannot_write.
pub fn prepare(
    paths: &[String],
    out: &Path,
    vocab_size: i64,
    tokenizer: Option<&str>,
    progress: &mut Progress,
) -> Result<Object> {
    let texts = find_texts(paths)?;
    let (train, heldout) = split_texts(&texts.paths);
    let chosen = match tokenizer {
        Some(BYTES_TOKENIZER) => Tokenizer::bytes()?,
        Some(path) => Tokenizer::load(Path::new(path))?,
        // The trainer reserves memory for all of them.
        None if vocab_size > MAXIMUM_VOCAB => {
            let expected = format!("an integer of at most {MAXIMUM_VOCAB}");
            return Err(messages::usage_bad_value(
                "--vocab-size",
                &vocab_size.to_string(),
                &expected,
            ));
        }
        None => Tokenizer::train(&train, vocab_size, progress)?,
    };
    let mut splits = [Split::default(); 2];
    let save = FolderSave::begin(out, |name| OUTPUTS.contains(&name))?;
    save.write("tokenizer.json", &mut files::bytes(&chosen.json))?;
    let mut before = 0;
    for ((name, part), split) in [("train", &train), ("heldout", &heldout)]
        .into_iter()
        .zip(&mut splits)
    {
        save.write(&format!("{name}.bin"), &mut |sink| {
            let mut report = |done: usize| progress("encode", before + done, texts.paths.len());
            let mut bytes = Vec::new();
            encode_texts(part, &chosen, split, &mut report, &mut |ids| {
                bytes.clear();
                bytes.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
                sink(&bytes)
            })
        })?;
        before = split.files;
    }
    let mut data = Object::new();
    data.insert("bos_id", chosen.bos_id);
    data.insert("eos_id", chosen.eos_id);
    data.insert("heldout", splits[1].to_json());
    data.insert("skipped", texts.skipped);
    data.insert("train", splits[0].to_json());
    data.insert("version", 1);
    data.insert("vocab_size", chosen.vocab_size);
    save.write(
        "data.json",
        &mut files::bytes(dumps(&Json::Object(data.clone())).as_bytes()),
    )?;
    save.commit()?;
    Ok(data)
}
