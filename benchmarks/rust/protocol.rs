//! What the harness is asked to run: the BENCH_ variables, the same in the harness of every language.

use std::env;
use std::path::Path;

use nn_core::files;
use nn_core::json_fields::Fields;
use nn_core::json_strict::{Json, Object, loads_object};

/// How a row is timed: BENCH_SECONDS, BENCH_SAMPLES, BENCH_LONG_SAMPLES (at least and by default 4) where so
/// many runs would take longer, BENCH_WARMUP in seconds, BENCH_THREADS (0: all).
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    pub seconds: f64,
    pub samples: usize,
    pub long_samples: usize,
    pub warmup: f64,
    pub threads: usize,
}

/// What is timed: BENCH_CASES and BENCH_ROWS (comma lists, empty: all) of BENCH_CASES_FILE; and where the
/// rows go: BENCH_OUT.
#[derive(Debug)]
pub struct Asked {
    pub cases: Vec<Case>,
    pub rows: Vec<String>,
    pub out: Option<String>,
    pub protocol: Protocol,
}

/// An entry of the case file.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    place: String,
    values: Object,
}

impl Case {
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(&self.values, self.place.clone())
    }
}

impl Protocol {
    /// `known` are the rows that a case may have in this program.
    ///
    /// Errors: a variable that asks for what there is not, and those of the case file.
    pub fn of_environment(known: &[&str]) -> Result<Asked, String> {
        let file = env::var("BENCH_CASES_FILE")
            .ok()
            .filter(|file| !file.is_empty());
        let file = file.unwrap_or_else(|| crate::CASES.to_string());
        let cases = read_cases(&file).map_err(|error| error.to_string())?;
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        let asked = list("BENCH_CASES", &names)?;
        let chosen = asked
            .iter()
            .filter_map(|name| cases.iter().find(|case| case.name == *name));
        Ok(Asked {
            cases: chosen.cloned().collect(),
            rows: list("BENCH_ROWS", known)?,
            out: env::var("BENCH_OUT").ok().filter(|out| !out.is_empty()),
            protocol: Self {
                seconds: number("BENCH_SECONDS", 1.0)?,
                // Criterion takes no fewer than ten.
                samples: (number("BENCH_SAMPLES", 15.0)? as usize).max(10),
                long_samples: (number("BENCH_LONG_SAMPLES", 4.0)? as usize).max(4),
                warmup: number("BENCH_WARMUP", 0.1)?,
                threads: number("BENCH_THREADS", 0.0)? as usize,
            },
        })
    }
}

/// A size of a case.
pub fn size(case: &Fields, name: &str) -> nn_core::Result<usize> {
    Ok(usize::try_from(case.integer(name)?).unwrap_or(0))
}

fn read_cases(file: &str) -> nn_core::Result<Vec<Case>> {
    let object = loads_object(&files::read_bytes(Path::new(file), "checkout")?, file)?;
    let fields = Fields::new(&object, file);
    let Some(Json::Array(listed)) = object.get("cases") else {
        return Err(fields.wrong("cases", "an array"));
    };
    let mut cases = Vec::new();
    for (number, entry) in listed.iter().enumerate() {
        let place = format!("{file}: cases[{number}]");
        let Json::Object(values) = entry else {
            return Err(fields.wrong("cases", "an array of objects"));
        };
        let name = Fields::new(values, place.clone())
            .string("name")?
            .to_string();
        let values = values.clone();
        cases.push(Case {
            name,
            place,
            values,
        });
    }
    Ok(cases)
}

fn list(variable: &str, known: &[&str]) -> Result<Vec<String>, String> {
    let text = env::var(variable).unwrap_or_default();
    let asked: Vec<String> = text
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_string)
        .collect();
    if let Some(name) = asked.iter().find(|name| !known.contains(&name.as_str())) {
        let known = known.join(", ");
        return Err(format!("{variable} names {name}, which is none of {known}"));
    }
    if asked.is_empty() {
        return Ok(known.iter().map(|name| (*name).to_string()).collect());
    }
    Ok(asked)
}

fn number(variable: &str, default: f64) -> Result<f64, String> {
    let text = env::var(variable).unwrap_or_default();
    if text.is_empty() {
        return Ok(default);
    }
    match text.parse::<f64>() {
        Ok(value) if value >= 0.0 && value.is_finite() => Ok(value),
        _ => Err(format!(
            "{variable} is {text}, expected a number of at least 0"
        )),
    }
}
