//! Each (case, row) that is asked for, checked, timed, and written in the form that the harness of every
//! language writes.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use nn_core::files;
use nn_core::json_fields::Fields;
use nn_core::json_strict::{Json, Object, dumps};

use crate::protocol::{Asked, Protocol};
use crate::subject::{Subject, measured};
use crate::timing::time;

/// What rows are made of.
pub trait Implementation {
    /// Whether a case has a row here.
    fn applies(&self, case: &Fields, row: &str) -> nn_core::Result<bool>;

    /// Errors: a sentence when its output is wrong, and those of what is run.
    fn subject(&mut self, case: &Fields, row: &str) -> Result<Subject, Box<dyn Error>>;
}

/// Runs what the environment asks for. `known` are the rows of this program; `make` is given the threads.
pub fn main<I: Implementation>(known: &[&str], make: impl FnOnce(usize) -> I) -> ExitCode {
    let asked = match Protocol::of_environment(known) {
        Ok(asked) => asked,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let mut implementation = make(asked.protocol.threads);
    match run(&asked, &mut implementation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(asked: &Asked, rows: &mut impl Implementation) -> Result<(), Box<dyn Error>> {
    let criterions = tempfile::tempdir()?;
    let mut kept = Vec::new();
    for case in &asked.cases {
        for row in &asked.rows {
            if !rows.applies(&case.fields(), row)? {
                continue;
            }
            let mut subject = rows.subject(&case.fields(), row)?;
            let place = (case.name.as_str(), row.as_str());
            let times = time(place, &mut subject, &asked.protocol, criterions.path())?;
            kept.push(Json::Object(measured(&case.name, row, subject, times)?));
        }
    }
    let mut result = Object::new();
    result.insert("version", 1);
    result.insert("rows", kept);
    let text = dumps(&Json::Object(result));
    match &asked.out {
        Some(out) => files::write_file(Path::new(out), &mut files::bytes(text.as_bytes()))?,
        None => print!("{text}"),
    }
    Ok(())
}
