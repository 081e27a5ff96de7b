//! The safetensors format, read strictly and written in one form.
//!
//! A file is a u64 (little-endian) N, N bytes of JSON, and the data. The JSON maps each tensor's name
//! to its dtype, shape and the begin and end of its bytes in the data; `__metadata__` maps strings to
//! strings. The tensors fill the data without gap or overlap.
//! <https://github.com/huggingface/safetensors>

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{NNError, Result};
use crate::files::{self, Sink};
use crate::json_strict::{Json, Object, describe, dumps_compact, loads_object, quote};
use crate::messages;
use crate::tensor::{DType, HostVec, TensorError};

/// (dtype, bytes of an element)
pub const ITEM_SIZES: [(&str, u64); 13] = [
    ("BOOL", 1),
    ("U8", 1),
    ("I8", 1),
    ("I16", 2),
    ("U16", 2),
    ("F16", 2),
    ("BF16", 2),
    ("I32", 4),
    ("U32", 4),
    ("F32", 4),
    ("F64", 8),
    ("I64", 8),
    ("U64", 8),
];

/// Bytes of a header at most.
pub const MAX_HEADER: u64 = 100_000_000;
/// Dimensions of a tensor at most.
pub const MAX_DIMENSIONS: usize = 8;

/// What the header says of one tensor; `begin` and `end` count bytes of the data.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// As the file calls it: "F32".
    pub dtype: String,
    /// The sizes.
    pub shape: Vec<usize>,
    /// The first byte.
    pub begin: u64,
    /// The byte behind the last.
    pub end: u64,
}

/// A tensor to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorEntry {
    /// Its name.
    pub name: String,
    /// As the file calls it: "F32".
    pub dtype: &'static str,
    /// The sizes.
    pub shape: Vec<usize>,
}

impl TensorEntry {
    /// A tensor to be written.
    pub fn new(name: impl Into<String>, dtype: &'static str, shape: &[usize]) -> Self {
        Self {
            name: name.into(),
            dtype,
            shape: shape.to_vec(),
        }
    }

    /// Bytes of its data.
    pub fn n_bytes(&self) -> u64 {
        self.shape
            .iter()
            .fold(item_size(self.dtype).unwrap_or(0), |bytes, &extent| {
                bytes * extent as u64
            })
    }
}

fn item_size(dtype: &str) -> Option<u64> {
    ITEM_SIZES
        .iter()
        .find(|(known, _)| *known == dtype)
        .map(|(_, size)| *size)
}

/// `__metadata__`, in the order of the file.
pub type Metadata = Vec<(String, String)>;

/// An open file: `tensors` (in the order of the header), `metadata`, and the data, read when asked
/// for.
///
/// Everything is checked when the file is opened. Errors: file_missing, cannot_read, safetensors_* and
/// those of [`loads_object`].
#[derive(Debug)]
pub struct SafetensorsFile {
    path: PathBuf,
    file: Mutex<File>,
    metadata: Metadata,
    tensors: Tensors,
    data: u64,
}

/// Tensors by their names, in the order of the header.
#[derive(Clone, Debug, Default)]
pub struct Tensors {
    entries: Vec<(String, TensorInfo)>,
    index: HashMap<String, usize>,
}

impl Tensors {
    fn insert(&mut self, name: &str, info: TensorInfo) {
        self.index.insert(name.to_string(), self.entries.len());
        self.entries.push((name.to_string(), info));
    }

    /// The tensor of a name.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.index.get(name).map(|&at| &self.entries[at].1)
    }

    /// Names and tensors in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.entries
            .iter()
            .map(|(name, info)| (name.as_str(), info))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl SafetensorsFile {
    /// Opens and checks a file; `kind` says what kind of folder it should be in.
    pub fn open(path: &Path, kind: &str) -> Result<Self> {
        let failed = |error: io::Error| files::missing_or(path, kind, &error);
        let mut file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let place = files::text(path);
        let mut start = vec![0; size.min(8) as usize];
        file.read_exact(&mut start).map_err(failed)?;
        let header_size = check_length(&start, size, &place)?;
        let mut header = vec![0; header_size];
        file.read_exact(&mut header).map_err(failed)?;
        let data = 8 + header_size as u64;
        let (metadata, tensors) = parse_header(&header, &place, size - data)?;
        Ok(Self {
            path: path.to_path_buf(),
            file: Mutex::new(file),
            metadata,
            tensors,
            data,
        })
    }

    /// Where it is, as a sentence says it.
    pub fn path(&self) -> String {
        files::text(&self.path)
    }

    /// `__metadata__`.
    pub fn metadata(&self) -> &[(String, String)] {
        &self.metadata
    }

    /// The tensors.
    pub fn tensors(&self) -> &Tensors {
        &self.tensors
    }

    /// The bytes of a tensor. Errors: safetensors_no_tensor, cannot_read.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let info = self.info(name)?;
        let mut bytes = vec![0; (info.end - info.begin) as usize];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.data + info.begin))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|error| files::cannot_read(&self.path, &error))?;
        Ok(bytes)
    }

    /// A tensor of F32, BF16, F16, I32, I64 or U8 as it is stored.
    ///
    /// Errors: safetensors_no_tensor, safetensors_bad_dtype, cannot_read.
    pub fn array(&self, name: &str) -> Result<HostVec> {
        let dtype = host_dtype(&self.info(name)?.dtype);
        let dtype = dtype.ok_or_else(|| self.bad_dtype(name, "F32, BF16, F16, I32, I64, U8"))?;
        Ok(HostVec::from_bytes(dtype, &self.bytes(name)?))
    }

    /// A tensor in f32; exact for bf16 and f16. Errors: safetensors_no_tensor, safetensors_bad_dtype,
    /// cannot_read.
    pub fn f32(&self, name: &str) -> Result<Vec<f32>> {
        let dtype = host_dtype(&self.info(name)?.dtype).filter(|dtype| dtype.is_float());
        let dtype = dtype.ok_or_else(|| self.bad_dtype(name, "F32, BF16, F16"))?;
        Ok(HostVec::from_bytes(dtype, &self.bytes(name)?).into_f32(dtype))
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        let missing = || messages::safetensors_no_tensor(&self.path(), &quote(name));
        self.tensors.get(name).ok_or_else(missing)
    }

    fn bad_dtype(&self, name: &str, known: &str) -> NNError {
        let found = self.tensors.get(name).map_or("", |info| &info.dtype);
        messages::safetensors_bad_dtype(&self.path(), &quote(name), &quote(found), known)
    }
}

/// The dtype whose storage holds the file's.
fn host_dtype(name: &str) -> Option<DType> {
    match name {
        "F32" => Some(DType::F32),
        "BF16" => Some(DType::BF16),
        "F16" => Some(DType::F16),
        "I32" => Some(DType::I32),
        "I64" => Some(DType::I64),
        "U8" => Some(DType::U8),
        _ => None,
    }
}

/// Metadata, tensors and the offset of the data in the bytes of a file. Errors: as
/// [`SafetensorsFile`].
///
/// The order of the checks is part of the promise that every language names the same fault: the
/// length, the JSON, each entry in the order of the header, then the entries in the order of their
/// bytes.
pub fn read_header(data: &[u8], path: &str) -> Result<(Metadata, Tensors, usize)> {
    let header_size = check_length(&data[..data.len().min(8)], data.len() as u64, path)?;
    let start = 8 + header_size;
    let (metadata, tensors) = parse_header(&data[8..start], path, (data.len() - start) as u64)?;
    Ok((metadata, tensors, start))
}

/// Bytes of the header, from the first eight of a file of `size` bytes.
fn check_length(start: &[u8], size: u64, path: &str) -> Result<usize> {
    let Ok(first) = <[u8; 8]>::try_from(start) else {
        return Err(messages::safetensors_truncated(path, size, 8));
    };
    let header_size = u64::from_le_bytes(first);
    if header_size > MAX_HEADER {
        return Err(messages::safetensors_header_too_large(
            path,
            &header_size.to_string(),
            MAX_HEADER,
        ));
    }
    if size < 8 + header_size {
        return Err(messages::safetensors_truncated(path, size, 8 + header_size));
    }
    Ok(header_size as usize)
}

fn parse_header(header: &[u8], path: &str, data_size: u64) -> Result<(Metadata, Tensors)> {
    let header = loads_object(header, path)?;
    let mut metadata = Vec::new();
    let mut tensors = Tensors::default();
    for (name, entry) in header.iter() {
        if name == "__metadata__" {
            metadata = read_metadata(entry, path)?;
        } else {
            tensors.insert(name, read_entry(name, entry, path, data_size)?);
        }
    }
    check_contiguous(&tensors, path, data_size)?;
    Ok((metadata, tensors))
}

fn read_metadata(entry: &Json, path: &str) -> Result<Metadata> {
    let Json::Object(entry) = entry else {
        return Err(messages::safetensors_bad_metadata(path));
    };
    entry
        .iter()
        .map(|(key, value)| match value {
            Json::String(value) => Ok((key.to_string(), value.clone())),
            _ => Err(messages::safetensors_bad_metadata(path)),
        })
        .collect()
}

fn read_entry(name: &str, entry: &Json, path: &str, data_size: u64) -> Result<TensorInfo> {
    let quoted = quote(name);
    let Some((dtype, shape, offsets)) = entry_fields(entry) else {
        return Err(messages::safetensors_bad_entry(path, &quoted));
    };
    let sized = if let Json::String(dtype) = dtype {
        item_size(dtype).map(|size| (dtype, size))
    } else {
        None
    };
    let Some((dtype, item)) = sized else {
        let known: Vec<&str> = ITEM_SIZES.iter().map(|(name, _)| *name).collect();
        return Err(messages::safetensors_bad_dtype(
            path,
            &quoted,
            &describe(dtype),
            &known.join(", "),
        ));
    };
    let extents = natural_numbers(shape).filter(|extents| extents.len() <= MAX_DIMENSIONS);
    let Some(extents) = extents else {
        return Err(messages::safetensors_bad_shape(
            path,
            &quoted,
            MAX_DIMENSIONS,
        ));
    };
    let n_bytes = extents
        .iter()
        .try_fold(item as i64, |bytes, &extent| bytes.checked_mul(extent));
    let Some(n_bytes) = n_bytes else {
        return Err(messages::safetensors_shape_overflow(path, &quoted));
    };
    let (begin, end) = match natural_numbers(offsets).as_deref() {
        Some(&[begin, end]) if begin <= end => (begin, end),
        _ => return Err(messages::safetensors_bad_offsets(path, &quoted)),
    };
    if end as u64 > data_size {
        return Err(messages::safetensors_out_of_file(
            path, &quoted, end, data_size,
        ));
    }
    if end - begin != n_bytes {
        return Err(messages::safetensors_wrong_size(
            path,
            &quoted,
            end - begin,
            n_bytes,
        ));
    }
    let shape = extents.into_iter().map(|extent| extent as usize).collect();
    Ok(TensorInfo {
        dtype: dtype.clone(),
        shape,
        begin: begin as u64,
        end: end as u64,
    })
}

/// dtype, shape and data_offsets of an object that has these and no other field.
fn entry_fields(entry: &Json) -> Option<(&Json, &Json, &Json)> {
    let Json::Object(entry) = entry else {
        return None;
    };
    if entry.len() != 3 {
        return None;
    }
    Some((
        entry.get("dtype")?,
        entry.get("shape")?,
        entry.get("data_offsets")?,
    ))
}

/// The integers of an array of integers of at least 0; `None` for anything else.
fn natural_numbers(value: &Json) -> Option<Vec<i64>> {
    let Json::Array(items) = value else {
        return None;
    };
    items
        .iter()
        .map(|item| match item {
            Json::Int(number) if *number >= 0 => Some(*number),
            _ => None,
        })
        .collect()
}

/// Sorted by (begin, end, name), each tensor begins where the one before it ends, and the last ends
/// the file.
fn check_contiguous(tensors: &Tensors, path: &str, data_size: u64) -> Result<()> {
    let mut order: Vec<_> = tensors
        .iter()
        .map(|(name, info)| (info.begin, info.end, name))
        .collect();
    order.sort_unstable();
    let mut at = 0;
    for (begin, end, name) in order {
        if begin != at {
            return Err(messages::safetensors_not_contiguous(
                path,
                &quote(name),
                begin,
                at,
            ));
        }
        at = end;
    }
    if at != data_size {
        return Err(messages::safetensors_trailing(path, data_size, at));
    }
    Ok(())
}

/// The length and the JSON of a file that holds `entries` in this order, padded with spaces to a
/// multiple of 8.
pub fn header_bytes(entries: &[&TensorEntry], metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut header = Object::new();
    header.insert("__metadata__", metadata.iter().copied().collect::<Object>());
    let mut at = 0;
    for entry in entries {
        let end = at + entry.n_bytes();
        let mut described = Object::new();
        described.insert("dtype", entry.dtype);
        described.insert(
            "shape",
            entry
                .shape
                .iter()
                .map(|&size| Json::from(size))
                .collect::<Vec<_>>(),
        );
        described.insert("data_offsets", vec![Json::from(at), Json::from(end)]);
        header.insert(entry.name.clone(), described);
        at = end;
    }
    let mut text = dumps_compact(&Json::Object(header)).into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut out = (text.len() as u64).to_le_bytes().to_vec();
    out.append(&mut text);
    out
}

/// Sorted by the bytes of the names.
pub fn byte_order(entries: &mut [TensorEntry]) {
    entries.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
}

/// Gives the values of a tensor by its name, once, when its turn comes.
pub type Fetch<'a> = dyn FnMut(&str) -> Result<HostVec> + 'a;

/// Writes the bytes of a file of `entries` into `sink`, one tensor in memory at a time.
///
/// A fetched array must have the entry's count and the storage of its dtype.
pub fn file_chunks(
    entries: &[TensorEntry],
    fetch: &mut Fetch,
    metadata: &[(&str, &str)],
    sink: &mut Sink,
) -> Result<()> {
    let mut order: Vec<&TensorEntry> = entries.iter().collect();
    order.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    sink(&header_bytes(&order, metadata))?;
    for entry in order {
        let values = fetch(&entry.name)?;
        let mut written = 0;
        values.each_chunk(|chunk| {
            written += chunk.len() as u64;
            sink(chunk)
        })?;
        if written != entry.n_bytes() {
            let (name, expected) = (&entry.name, entry.n_bytes());
            let text =
                format!("{name} has {written} bytes, expected {expected} for its dtype and shape");
            return Err(TensorError::Shape(text).into());
        }
    }
    Ok(())
}

/// Writes one file, whole or not at all. Errors: disk_full, cannot_write.
pub fn save_file(
    path: &Path,
    entries: &[TensorEntry],
    fetch: &mut Fetch,
    metadata: &[(&str, &str)],
) -> Result<()> {
    files::write_file(path, &mut |sink| {
        file_chunks(entries, fetch, metadata, sink)
    })
}
