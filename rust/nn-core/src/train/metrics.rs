//! metrics.jsonl: one line per step and per evaluation; what is not finite is null.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::evaluate::Evaluation;
use super::trainer::StepMetrics;
use crate::error::Result;
use crate::files;
use crate::json_strict::{Json, Object, dumps_compact, loads_object};

/// Appends lines, each handed to the system at once, so that a killed run leaves whole lines. On resume
/// the lines of steps after the checkpoint are dropped: those steps are run again. `seconds` and
/// `tokens_per_second` are the only wall-clock in the files of a run. Nothing is written before the
/// first line: a run that never began leaves nothing.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    /// Open from the first line on.
    file: Option<File>,
    /// Lines to begin the file with.
    kept: String,
    /// Of the run before it was resumed.
    pub seconds: f64,
}

impl MetricsFile {
    /// Keeps the lines of the first `keep_steps` steps. Errors: those of [`read_metrics`].
    pub fn new(path: &Path, keep_steps: i64) -> Result<Self> {
        let mut seconds = 0.0;
        let mut kept = String::new();
        if keep_steps > 0 && path.exists() {
            for line in read_metrics(path)? {
                if let Some(Json::Int(step)) = line.get("step")
                    && *step <= keep_steps
                {
                    if let Some(Json::Float(value)) = line.get("seconds") {
                        seconds = *value;
                    }
                    kept.push_str(&dumps_compact(&Json::Object(line)));
                    kept.push('\n');
                }
            }
        }
        Ok(Self {
            path: path.to_path_buf(),
            file: None,
            kept,
            seconds,
        })
    }

    /// Errors: disk_full, cannot_write.
    pub fn write_step(&mut self, m: &StepMetrics) -> Result<()> {
        let mut line = Object::new();
        line.insert("step", m.step);
        line.insert("loss", m.loss.total);
        line.insert("cross_entropy", m.loss.cross_entropy);
        line.insert("balance", m.loss.balance);
        line.insert("z", m.loss.z);
        line.insert("grad_norm", m.grad_norm);
        line.insert("lr", m.lr);
        line.insert("skipped", m.skipped);
        line.insert("tokens", m.tokens);
        line.insert("seconds", m.seconds);
        line.insert("tokens_per_second", m.tokens_per_second);
        self.write(line)
    }

    /// Errors: disk_full, cannot_write.
    pub fn write_evaluation(&mut self, step: usize, e: &Evaluation) -> Result<()> {
        let mut line = Object::new();
        line.insert("step", step);
        line.insert("heldout_loss", e.loss);
        line.insert("bits_per_byte", e.bits_per_byte);
        self.write(line)
    }

    /// Waits until the disk has every line: before a checkpoint that counts on them. Errors: disk_full,
    /// cannot_write.
    pub fn sync(&self) -> Result<()> {
        let synced = self.file.as_ref().map_or(Ok(()), File::sync_all);
        synced.map_err(|error| files::cannot_write(&self.path, &error))
    }

    fn open(&mut self) -> Result<File> {
        let failed = |error| files::cannot_write(&self.path, &error);
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        fs::create_dir_all(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        files::write_file(&self.path, &mut files::bytes(self.kept.as_bytes()))?;
        self.kept.clear();
        OpenOptions::new()
            .append(true)
            .open(&self.path)
            .map_err(failed)
    }

    fn write(&mut self, line: Object) -> Result<()> {
        let text = dumps_compact(&Json::Object(line)) + "\n";
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        let written = file.write_all(text.as_bytes());
        self.file = Some(file);
        written.map_err(|error| files::cannot_write(&self.path, &error))
    }
}

/// The lines of a metrics.jsonl; a last one without its end, left by a kill, is none. Errors:
/// cannot_read, json_*.
pub fn read_metrics(path: &Path) -> Result<Vec<Object>> {
    let data = files::read_bytes(path, "training folder")?;
    let Some(end) = data.iter().rposition(|&byte| byte == b'\n') else {
        return Ok(Vec::new());
    };
    let lines = data[..end].split(|&byte| byte == b'\n').enumerate();
    lines
        .map(|(number, line)| {
            loads_object(line, &format!("{}: line {}", files::text(path), number + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::read_metrics;

    #[test]
    fn only_whole_lines_count_and_an_empty_one_is_not_json() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("metrics.jsonl");
        let read = |text: &str| {
            std::fs::write(&path, text).expect("a file");
            read_metrics(&path).map(|lines| lines.len())
        };
        assert_eq!(read("").ok(), Some(0));
        assert_eq!(read("{\"step\":").ok(), Some(0));
        assert_eq!(read("{\"step\":1}\n{\"step\":").ok(), Some(1));
        for text in ["\n", "{\"step\":1}\n\n"] {
            let error = read(text).expect_err("an empty line");
            assert!(error.key().starts_with("json_"), "{error}");
        }
    }
}
