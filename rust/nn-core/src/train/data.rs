//! Tokens to train and evaluate on, and the batches drawn from them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::prepare::{Split, encode_texts, find_texts};
use crate::error::Result;
use crate::files;
use crate::json_fields::Fields;
use crate::json_strict::loads_object;
use crate::messages;
use crate::tensor::philox::{STREAM_DATA, draw_u64, mulhi64};
use crate::tokenizer::Tokenizer;

/// What a sentence calls the folder.
pub const KIND: &str = "folder written by prepare";
/// A target that does not count.
pub const IGNORED: i32 = -1;

const CHECKED: usize = 1 << 20;

/// One split. `bytes` counts the text it came from, without end-of-text; for bits per byte.
#[derive(Debug)]
pub struct Tokens {
    /// Where they come from.
    pub path: String,
    /// How many.
    pub len: usize,
    /// Of text.
    pub bytes: u64,
    source: Source,
}

/// Tokens are read where they are wanted: a training set may be larger than memory.
#[derive(Debug)]
enum Source {
    Memory(Vec<u32>),
    /// u32 little-endian, with room for one row's bytes.
    File(PathBuf, Mutex<(File, Vec<u8>)>),
}

impl Tokens {
    /// Tokens in memory.
    pub fn in_memory(path: String, ids: Vec<u32>, bytes: u64) -> Self {
        Self {
            path,
            len: ids.len(),
            bytes,
            source: Source::Memory(ids),
        }
    }

    /// The tokens from `start` on that fill `out`, as i32. Errors: cannot_read.
    fn read(&self, start: usize, out: &mut [i32]) -> Result<()> {
        match &self.source {
            Source::Memory(ids) => {
                for (to, &id) in out.iter_mut().zip(&ids[start..]) {
                    *to = id as i32;
                }
                Ok(())
            }
            Source::File(path, file) => {
                let mut guard = file.lock().unwrap_or_else(PoisonError::into_inner);
                let (file, bytes) = &mut *guard;
                bytes.resize(4 * out.len(), 0);
                file.seek(SeekFrom::Start(4 * start as u64))
                    .and_then(|_| file.read_exact(bytes))
                    .map_err(|error| files::cannot_read(path, &error))?;
                for (to, word) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *to = u32::from_le_bytes(*word) as i32;
                }
                Ok(())
            }
        }
    }

    /// (inputs, targets) `[rows, seq_len]` of micro-batch a of A = micro_batches at step s, appended;
    /// targets are the inputs shifted by one.
    ///
    /// Row r begins at mulhi64(draw((s A + a) rows + r), n - T), uniform over the n - T places from
    /// which T + 1 tokens can be read; draw(i) is the u64 of Philox block (i, data, 0). Errors:
    /// data_too_short, cannot_read.
    pub fn batch(
        &self,
        seed: i64,
        step: usize,
        (micro_batches, micro_batch): (usize, usize),
        rows: usize,
        seq_len: usize,
        inputs: &mut Vec<i32>,
        targets: &mut Vec<i32>,
    ) -> Result<()> {
        self.require(seq_len)?;
        for row in 0..rows {
            let index = (step as u64)
                .wrapping_mul(micro_batches as u64)
                .wrapping_add(micro_batch as u64)
                .wrapping_mul(rows as u64)
                .wrapping_add(row as u64);
            let draw = draw_u64(seed as u64, STREAM_DATA, index, 0);
            let start = mulhi64(draw, (self.len - seq_len) as u64) as usize;
            for (values, start) in [(&mut *inputs, start), (&mut *targets, start + 1)] {
                let at = values.len();
                values.resize(at + seq_len, 0);
                self.read(start, &mut values[at..])?;
            }
        }
        Ok(())
    }

    /// Errors: data_too_short when no sequence of `seq_len` with its targets fits.
    pub fn require(&self, seq_len: usize) -> Result<()> {
        if self.len < seq_len + 1 {
            return Err(messages::data_too_short(
                &self.path,
                self.len,
                seq_len,
                seq_len + 1,
            ));
        }
        Ok(())
    }

    /// Windows of `seq_len` that cover every target once: ceil((n - 1) / T).
    pub fn n_windows(&self, seq_len: usize) -> usize {
        self.len.saturating_sub(1).div_ceil(seq_len)
    }

    /// (inputs, targets) `[rows, seq_len]`: the windows of these numbers, window w reading tokens from
    /// w T on.
    ///
    /// Behind the last token, and in rows beyond the numbers given, inputs are 0 and targets
    /// [`IGNORED`], so that all windows together count each token but the very first exactly once.
    /// Errors: cannot_read.
    pub fn windows(
        &self,
        numbers: impl Iterator<Item = usize>,
        rows: usize,
        seq_len: usize,
    ) -> Result<(Vec<i32>, Vec<i32>)> {
        let mut inputs = vec![0; rows * seq_len];
        let mut targets = vec![IGNORED; rows * seq_len];
        for (row, number) in numbers.take(rows).enumerate() {
            let start = number * seq_len;
            let count = self
                .len
                .saturating_sub(1)
                .saturating_sub(start)
                .min(seq_len);
            let at = row * seq_len;
            if count > 0 {
                self.read(start, &mut inputs[at..at + count])?;
                self.read(start + 1, &mut targets[at..at + count])?;
            }
        }
        Ok((inputs, targets))
    }
}

/// A folder written by `prepare`.
#[derive(Debug)]
pub struct Data {
    /// The folder.
    pub path: PathBuf,
    /// To train on.
    pub train: Tokens,
    /// Not to train on.
    pub heldout: Tokens,
    /// Of the tokenizer.
    pub vocab_size: i64,
}

impl Data {
    /// Of the tokenizer.json.
    pub fn tokenizer_path(&self) -> PathBuf {
        files::join(&self.path, "tokenizer.json")
    }

    /// "train" or "heldout". Errors: data_empty_split.
    pub fn split(&self, name: &str) -> Result<&Tokens> {
        let tokens = if name == "train" {
            &self.train
        } else {
            &self.heldout
        };
        if tokens.len == 0 {
            return Err(messages::data_empty_split(&files::text(&self.path), name));
        }
        Ok(tokens)
    }

    /// The held-out split by itself. Errors: data_empty_split.
    pub fn into_heldout(self) -> Result<Tokens> {
        self.split("heldout")?;
        Ok(self.heldout)
    }
}

/// Whether `prepare` wrote this folder.
pub fn is_prepared(path: &Path) -> bool {
    path.join("data.json").is_file()
}

/// The prepared folder among what was given as data, `None` when all of it is text. A path that comes
/// twice counts once. Errors: data_prepared_not_alone.
pub fn prepared_of(paths: &[String]) -> Result<Option<&str>> {
    let Some(folder) = paths.iter().find(|path| is_prepared(Path::new(path))) else {
        return Ok(None);
    };
    if paths.iter().any(|path| path != folder) {
        return Err(messages::data_prepared_not_alone(folder));
    }
    Ok(Some(folder))
}

/// Opens and checks a prepared folder. Errors: folder_missing, not_a_folder, data_not_prepared,
/// cannot_read, json_*, field_*, data_wrong_size, data_bad_token.
pub fn load_data(folder: &Path) -> Result<Data> {
    let folder = &files::plain(folder);
    files::require_folder(folder, KIND)?;
    files::recover(folder).map_err(|error| files::cannot_write(folder, &error))?;
    let meta = files::join(folder, "data.json");
    if !meta.is_file() {
        return Err(messages::data_not_prepared(&files::text(folder)));
    }
    let place = files::text(&meta);
    let object = loads_object(&files::read_bytes(&meta, KIND)?, &place)?;
    let fields = Fields::new(&object, place.clone());
    let version = fields.integer("version")?;
    if version != 1 {
        return Err(messages::config_bad_value(
            &place,
            "version",
            &version.to_string(),
            "1",
        ));
    }
    let vocab_size = fields.integer("vocab_size")?;
    let open = |name: &str| -> Result<Tokens> {
        let split = Fields::new(fields.object(name)?, format!("{place}: {name}"));
        let (tokens, bytes) = (split.integer("tokens")?, split.integer("bytes")?);
        open_tokens(
            &files::join(folder, format!("{name}.bin")),
            tokens,
            bytes,
            vocab_size,
        )
    };
    let (train, heldout) = (open("train")?, open("heldout")?);
    fields.integer("bos_id")?;
    fields.integer("eos_id")?;
    Ok(Data {
        path: folder.to_path_buf(),
        train,
        heldout,
        vocab_size,
    })
}

fn open_tokens(path: &Path, tokens: i64, n_bytes: i64, vocab_size: i64) -> Result<Tokens> {
    let failed = |error: io::Error| files::missing_or(path, KIND, &error);
    let mut file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?.len();
    let expected = i128::from(tokens) * 4;
    if i128::from(found) != expected {
        let expected = i64::try_from(expected).unwrap_or(i64::MAX);
        return Err(messages::data_wrong_size(
            &files::text(path),
            found,
            expected,
            tokens,
        ));
    }
    let mut bytes = vec![0; (found as usize).min(4 * CHECKED)];
    let mut position = 0;
    while position < tokens {
        let count = ((tokens - position) as usize).min(CHECKED);
        let part = &mut bytes[..4 * count];
        file.read_exact(part).map_err(failed)?;
        for word in part.as_chunks::<4>().0 {
            let id = u32::from_le_bytes(*word);
            if i64::from(id) >= vocab_size {
                return Err(messages::data_bad_token(
                    &files::text(path),
                    id,
                    position,
                    vocab_size,
                ));
            }
            position += 1;
        }
    }
    let source = Source::File(path.to_path_buf(), Mutex::new((file, Vec::new())));
    let (len, bytes) = (tokens as usize, u64::try_from(n_bytes).unwrap_or(0));
    Ok(Tokens {
        path: files::text(path),
        len,
        bytes,
        source,
    })
}

/// All texts of `paths` as one split in memory, each followed by end-of-text: to evaluate on raw text.
///
/// Errors: those of `prepare::find_texts` and `prepare::encode_texts`.
pub fn tokens_of_text(paths: &[String], tokenizer: &Tokenizer) -> Result<Tokens> {
    let mut split = Split::default();
    let mut all = Vec::new();
    encode_texts(
        &find_texts(paths)?.paths,
        tokenizer,
        &mut split,
        &mut |_| (),
        &mut |ids| {
            all.extend_from_slice(ids);
            Ok(())
        },
    )?;
    Ok(Tokens::in_memory(paths.join(", "), all, split.bytes))
}
