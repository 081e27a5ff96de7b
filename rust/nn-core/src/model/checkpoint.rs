//! A checkpoint: a Hugging Face Mixtral folder, read and written.
//!
//! config.json, generation_config.json, model.safetensors (or shards with
//! model.safetensors.index.json), tokenizer.json; training adds optimizer.safetensors (`m.`, `v.`,
//! `master.` + name) and trainer_state.json. In a folder that
//! [`quantize_checkpoint`](super::quantize::quantize_checkpoint) wrote, the tensors that
//! `ParameterSpec::quantized` names are rows of blocks (see [`stored_form`]).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::config::MoEConfig;
use super::parameters::{ParameterSpec, parameter_specs};
use super::safetensors::{Fetch, SafetensorsFile, TensorEntry, byte_order, file_chunks};
use crate::error::Result;
use crate::files::{self, FolderSave};
use crate::json_fields::Fields;
use crate::json_strict::{Json, Object, describe, dumps, loads_object, quote};
use crate::messages;
use crate::tensor::{DType, HostVec};

/// What a sentence calls the folder.
pub const KIND: &str = "checkpoint folder";
/// A shard is full when the next tensor would bring its tensors beyond this.
pub const SHARD_BYTES: u64 = 4 << 30;

/// (`MoEConfig::dtype`, dtype in the file)
pub const STORED: [(&str, &str); 3] = [("f32", "F32"), ("bf16", "BF16"), ("f16", "F16")];

const INDEX: &str = "model.safetensors.index.json";
const METADATA: [(&str, &str); 1] = [("format", "pt")];

/// An open folder: `config`, and every tensor of `parameter_specs(config)` by its name, read when
/// asked for.
#[derive(Debug)]
pub struct Checkpoint {
    /// The folder.
    pub path: PathBuf,
    /// What config.json says.
    pub config: MoEConfig,
    shards: Vec<SafetensorsFile>,
    shard_of: HashMap<String, usize>,
}

impl Checkpoint {
    fn new(path: &Path, config: MoEConfig, shards: Vec<SafetensorsFile>) -> Self {
        let mut shard_of = HashMap::new();
        for (number, shard) in shards.iter().enumerate() {
            for (name, _) in shard.tensors().iter() {
                shard_of.insert(name.to_string(), number);
            }
        }
        Self {
            path: path.to_path_buf(),
            config,
            shards,
            shard_of,
        }
    }

    /// How a tensor is stored: F32, BF16 or F16, U8 for blocks.
    pub fn dtype(&self, name: &str) -> Option<&str> {
        let shard = &self.shards[*self.shard_of.get(name)?];
        shard.tensors().get(name).map(|info| info.dtype.as_str())
    }

    /// As stored; bf16 and f16 come as their bits. Errors: checkpoint_missing_tensor, cannot_read.
    pub fn array(&self, name: &str) -> Result<HostVec> {
        self.shard(name)?.array(name)
    }

    /// In f32. Errors: as for [`Checkpoint::array`].
    pub fn f32(&self, name: &str) -> Result<Vec<f32>> {
        self.shard(name)?.f32(name)
    }

    /// The optimizer's tensors. Errors: checkpoint_no_training_state and those of
    /// [`SafetensorsFile`].
    pub fn optimizer(&self) -> Result<SafetensorsFile> {
        SafetensorsFile::open(&self.training_file("optimizer.safetensors")?, KIND)
    }

    /// Errors: checkpoint_no_training_state, cannot_read and those of [`loads_object`].
    pub fn trainer_state(&self) -> Result<Object> {
        let path = self.training_file("trainer_state.json")?;
        loads_object(&files::read_bytes(&path, KIND)?, &files::text(&path))
    }

    /// Where tokenizer.json is, or would be.
    pub fn tokenizer_path(&self) -> PathBuf {
        files::join(&self.path, "tokenizer.json")
    }

    fn shard(&self, name: &str) -> Result<&SafetensorsFile> {
        let missing =
            || messages::checkpoint_missing_tensor(&files::text(&self.path), &quote(name));
        self.shard_of
            .get(name)
            .map(|&number| &self.shards[number])
            .ok_or_else(missing)
    }

    fn training_file(&self, name: &str) -> Result<PathBuf> {
        let path = files::join(&self.path, name);
        if !path.exists() {
            return Err(messages::checkpoint_no_training_state(
                &files::text(&self.path),
                name,
            ));
        }
        Ok(path)
    }
}

/// A tensor that must be in `file` in this form. Errors: checkpoint_missing_tensor,
/// checkpoint_wrong_shape, checkpoint_wrong_dtype.
pub fn require_tensor(
    file: &SafetensorsFile,
    name: &str,
    dtype: &str,
    shape: &[usize],
) -> Result<HostVec> {
    let Some(info) = file.tensors().get(name) else {
        return Err(messages::checkpoint_missing_tensor(
            &file.path(),
            &quote(name),
        ));
    };
    if info.shape != shape {
        let (found, expected) = (format_shape(&info.shape), format_shape(shape));
        return Err(messages::checkpoint_wrong_shape(
            &file.path(),
            &quote(name),
            &found,
            &expected,
        ));
    }
    if info.dtype != dtype {
        return Err(messages::checkpoint_wrong_dtype(
            &file.path(),
            &quote(name),
            &info.dtype,
            dtype,
        ));
    }
    file.array(name)
}

/// Opens a folder and checks that it holds exactly the tensors of its config.json, in their shapes.
///
/// Errors: folder_missing, file_missing, cannot_read, those of [`MoEConfig::from_json`] and
/// [`SafetensorsFile`], checkpoint_no_weights, checkpoint_index_*, checkpoint_missing_tensor,
/// checkpoint_wrong_shape, checkpoint_wrong_dtype, checkpoint_unexpected_tensor.
pub fn load_checkpoint(folder: &Path) -> Result<Checkpoint> {
    let folder = &files::plain(folder);
    files::require_folder(folder, KIND)?;
    files::recover(folder).map_err(|error| files::cannot_write(folder, &error))?;
    let config_path = files::join(folder, "config.json");
    let config = files::read_bytes(&config_path, KIND)?;
    let config = MoEConfig::from_json(&config, &files::text(&config_path))?;
    let single = files::join(folder, "model.safetensors");
    let shards = if single.exists() {
        vec![SafetensorsFile::open(&single, KIND)?]
    } else if files::join(folder, INDEX).exists() {
        open_shards(folder)?
    } else {
        return Err(messages::checkpoint_no_weights(&files::text(folder)));
    };
    let checkpoint = Checkpoint::new(folder, config, shards);
    check_tensors(&checkpoint)?;
    Ok(checkpoint)
}

/// The files that the index names, in the order of their names' bytes, holding exactly what it says.
fn open_shards(folder: &Path) -> Result<Vec<SafetensorsFile>> {
    let path = files::join(folder, INDEX);
    let index_path = files::text(&path);
    let index = loads_object(&files::read_bytes(&path, KIND)?, &index_path)?;
    let weight_map = Fields::new(&index, index_path.clone()).object("weight_map")?;
    let mut wanted: HashMap<&str, Vec<&str>> = HashMap::new();
    for (name, file) in weight_map.iter() {
        match file {
            Json::String(file) if is_shard_name(file) => wanted.entry(file).or_default().push(name),
            other => {
                return Err(messages::checkpoint_index_file(
                    &index_path,
                    &describe(other),
                ));
            }
        }
    }
    let mut listed: Vec<&str> = wanted.keys().copied().collect();
    listed.sort_unstable();
    let mut shards = Vec::new();
    for file in listed {
        let shard = SafetensorsFile::open(&files::join(folder, file), KIND)?;
        for name in &wanted[file] {
            if shard.tensors().get(name).is_none() {
                return Err(messages::checkpoint_index_missing(
                    &index_path,
                    &quote(name),
                    file,
                ));
            }
        }
        for (name, _) in shard.tensors().iter() {
            if weight_map.get(name) != Some(&Json::from(file)) {
                return Err(messages::checkpoint_index_extra(
                    &index_path,
                    file,
                    &quote(name),
                ));
            }
        }
        shards.push(shard);
    }
    Ok(shards)
}

/// A file of the folder itself: an index must not reach elsewhere.
fn is_shard_name(file: &str) -> bool {
    !file.contains(['/', '\\', '\0']) && !file.starts_with('.') && file.ends_with(".safetensors")
}

fn check_tensors(checkpoint: &Checkpoint) -> Result<()> {
    let specs = parameter_specs(&checkpoint.config);
    for spec in &specs {
        let shard = checkpoint.shard(&spec.name)?;
        let Some(info) = shard.tensors().get(&spec.name) else {
            continue;
        };
        let name = quote(&spec.name);
        let (_, shape) = stored_form(spec, &checkpoint.config);
        if info.shape != shape {
            let (found, expected) = (format_shape(&info.shape), format_shape(&shape));
            return Err(messages::checkpoint_wrong_shape(
                &shard.path(),
                &name,
                &found,
                &expected,
            ));
        }
        let known: &[&str] = if spec.quantized {
            &["U8"]
        } else {
            &STORED.map(|(_, stored)| stored)
        };
        if !known.contains(&info.dtype.as_str()) {
            let known = known.join(", ");
            return Err(messages::checkpoint_wrong_dtype(
                &shard.path(),
                &name,
                &info.dtype,
                &known,
            ));
        }
    }
    let known: std::collections::HashSet<&str> =
        specs.iter().map(|spec| spec.name.as_str()).collect();
    for shard in &checkpoint.shards {
        for (name, _) in shard.tensors().iter() {
            if !known.contains(name) {
                return Err(messages::checkpoint_unexpected_tensor(
                    &shard.path(),
                    &quote(name),
                ));
            }
        }
    }
    Ok(())
}

/// dtype and shape of a tensor in the file: its own, or U8 `[rows, bytes of a row]` where it is
/// quantized. A row of k elements is k / 32 blocks, one behind the other: an f16 scale d and 32 int8
/// (q8, 34 bytes), or d and 16 bytes of nibbles (q4, 18 bytes), as cunn_quantize makes them.
pub fn stored_form(spec: &ParameterSpec, config: &MoEConfig) -> (&'static str, Vec<usize>) {
    if spec.quantized
        && let (Some(blocks), [rows, cols]) = (
            DType::from_label(&config.quantization),
            spec.shape.as_slice(),
        )
    {
        return ("U8", vec![*rows, blocks.bytes(*cols)]);
    }
    let stored = STORED.iter().find(|(dtype, _)| *dtype == config.dtype);
    (
        stored.map_or("F32", |(_, stored)| stored),
        spec.shape.clone(),
    )
}

/// `[2, 3]`
pub fn format_shape(shape: &[usize]) -> String {
    let extents: Vec<String> = shape.iter().map(ToString::to_string).collect();
    format!("[{}]", extents.join(", "))
}

/// What training adds to a checkpoint. `fetch(name)` gives the array of an entry of `optimizer`.
pub struct TrainingState<'a> {
    /// The optimizer's tensors.
    pub optimizer: Vec<TensorEntry>,
    /// Their values.
    pub fetch: Box<Fetch<'a>>,
    /// The content of trainer_state.json.
    pub trainer_state: Object,
}

/// Writes the folder `path`, whole or not at all; in a folder that is there, other files stay.
///
/// `fetch(name)` gives each tensor of `parameter_specs(config)` once, in the order of the names'
/// bytes, in its [`stored_form`], so that one tensor at a time need be in memory.
/// `tokenizer` is the content of tokenizer.json; without it an old one stays. Errors: disk_full,
/// cannot_write.
pub fn save_checkpoint(
    path: &Path,
    config: &MoEConfig,
    fetch: &mut Fetch,
    tokenizer: Option<&[u8]>,
    training: Option<TrainingState>,
    shard_bytes: u64,
) -> Result<()> {
    let shards = split_shards(checkpoint_entries(config), shard_bytes);
    let save = FolderSave::begin(path, is_owned)?;
    save.write(
        "config.json",
        &mut files::bytes(config.to_json().as_bytes()),
    )?;
    save.write(
        "generation_config.json",
        &mut files::bytes(config.generation_json().as_bytes()),
    )?;
    if let Some(tokenizer) = tokenizer {
        save.write("tokenizer.json", &mut files::bytes(tokenizer))?;
    }
    for (number, shard) in shards.iter().enumerate() {
        let name = shard_name(number, shards.len());
        save.write(&name, &mut |sink| {
            file_chunks(shard, fetch, &METADATA, sink)
        })?;
    }
    if shards.len() > 1 {
        save.write(
            INDEX,
            &mut files::bytes(index_json(config, &shards).as_bytes()),
        )?;
    }
    if let Some(mut training) = training {
        let optimizer = &training.optimizer;
        save.write("optimizer.safetensors", &mut |sink| {
            file_chunks(optimizer, &mut *training.fetch, &METADATA, sink)
        })?;
        let state = dumps(&Json::Object(training.trainer_state));
        save.write("trainer_state.json", &mut files::bytes(state.as_bytes()))?;
    }
    save.commit()
}

/// Files that a save replaces or removes: model.safetensors, its shards and index, and what training
/// adds.
fn is_owned(name: &str) -> bool {
    if matches!(
        name,
        "model.safetensors" | INDEX | "optimizer.safetensors" | "trainer_state.json"
    ) {
        return true;
    }
    let inner = name
        .strip_prefix("model-")
        .and_then(|rest| rest.strip_suffix(".safetensors"));
    let Some((number, count)) = inner.and_then(|inner| inner.split_once("-of-")) else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(number) && digits(count)
}

/// Every tensor as it is written, in the order of the names' bytes.
pub fn checkpoint_entries(config: &MoEConfig) -> Vec<TensorEntry> {
    let entry = |spec: ParameterSpec| {
        let (dtype, shape) = stored_form(&spec, config);
        TensorEntry::new(spec.name, dtype, &shape)
    };
    let mut entries: Vec<TensorEntry> = parameter_specs(config).into_iter().map(entry).collect();
    byte_order(&mut entries);
    entries
}

/// Fills shards in order, each until the next tensor would not fit; a tensor beyond `shard_bytes` is
/// alone.
pub fn split_shards(entries: Vec<TensorEntry>, shard_bytes: u64) -> Vec<Vec<TensorEntry>> {
    let mut shards: Vec<Vec<TensorEntry>> = Vec::new();
    let mut current = Vec::new();
    let mut filled = 0;
    for entry in entries {
        if !current.is_empty() && filled + entry.n_bytes() > shard_bytes {
            shards.push(std::mem::take(&mut current));
            filled = 0;
        }
        filled += entry.n_bytes();
        current.push(entry);
    }
    shards.push(current);
    shards
}

/// `number` from 0; one shard has the plain name.
pub fn shard_name(number: usize, count: usize) -> String {
    if count == 1 {
        return "model.safetensors".to_string();
    }
    format!("model-{:05}-of-{count:05}.safetensors", number + 1)
}

/// The content of model.safetensors.index.json, names in byte order.
pub fn index_json(config: &MoEConfig, shards: &[Vec<TensorEntry>]) -> String {
    let mut weight_map = Object::new();
    let mut total = 0;
    for (number, shard) in shards.iter().enumerate() {
        for entry in shard {
            weight_map.insert(entry.name.clone(), shard_name(number, shards.len()));
            total += entry.n_bytes();
        }
    }
    let mut metadata = Object::new();
    metadata.insert("total_parameters", config.n_parameters() as u64);
    metadata.insert("total_size", total);
    let mut index = Object::new();
    index.insert("metadata", metadata);
    index.insert("weight_map", weight_map);
    dumps(&Json::Object(index))
}
