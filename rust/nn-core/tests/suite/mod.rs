//! The conformance suite: executes the cases of cuda/vectors on any backend and says what differs.
//!
//! The format of the files, and how the bounds were derived, stand in cuda/vectors/README.md. A case
//! is one call of one operation, so one interpreter of call lines serves every operation of cunn.h.

#[rustfmt::skip]
pub mod dispatch;
pub mod golden;
pub mod quantized;
pub mod recorded;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use nn_core::model::safetensors::SafetensorsFile;
use nn_core::tensor::dtype::{f32_from_bf16, f32_from_f16};
use nn_core::tensor::{Backend, Buffer, DType, HostVec};

/// cuda/vectors of the checkout.
pub fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cuda/vectors")
}

/// What an argument of a call is.
#[derive(Clone, Debug)]
enum Role {
    Integer(i64),
    Real(f64),
    In,
    InOut,
    Out,
    Same(String),
    None,
}

#[derive(Clone, Debug)]
struct Argument {
    name: String,
    role: Role,
    dtype: DType,
    count: usize,
}

/// One call with its tensors: the values before, those wanted after, and how far off they may be.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub op: String,
    arguments: Vec<Argument>,
    before: HashMap<String, HostVec>,
    after: HashMap<String, Wanted>,
    bound: HashMap<String, Vec<f32>>,
}

/// Values after a call: rounded truth in f64, or the very elements.
#[derive(Clone, Debug)]
enum Wanted {
    Real(Vec<f64>),
    Exact(HostVec),
}

/// The arguments of a call by their names.
pub struct Arguments<'a> {
    case: &'a Case,
    buffers: &'a HashMap<String, Buffer>,
}

impl Arguments<'_> {
    fn role(&self, name: &str) -> &Role {
        let argument = self
            .case
            .arguments
            .iter()
            .find(|argument| argument.name == name);
        &argument
            .unwrap_or_else(|| panic!("{} has no {name}", self.case.name))
            .role
    }

    pub fn optional(&self, name: &str) -> Option<&Buffer> {
        match self.role(name) {
            Role::None => None,
            Role::Same(other) => self.buffers.get(other),
            _ => self.buffers.get(name),
        }
    }

    pub fn buffer(&self, name: &str) -> &Buffer {
        self.optional(name)
            .unwrap_or_else(|| panic!("{} has no buffer {name}", self.case.name))
    }

    pub fn i64(&self, name: &str) -> i64 {
        match self.role(name) {
            Role::Integer(value) => *value,
            other => panic!("{}: {name} is {other:?}", self.case.name),
        }
    }

    pub fn i32(&self, name: &str) -> i32 {
        i32::try_from(self.i64(name)).expect("an i32")
    }

    pub fn size(&self, name: &str) -> usize {
        usize::try_from(self.i64(name)).expect("a size")
    }

    pub fn flag(&self, name: &str) -> bool {
        self.i64(name) != 0
    }

    pub fn real(&self, name: &str) -> f64 {
        match self.role(name) {
            Role::Real(value) => *value,
            other => panic!("{}: {name} is {other:?}", self.case.name),
        }
    }
}

/// Bytes of a file, at most: Miri interprets, and reads these in a minute.
const MOST_BYTES: u64 = if cfg!(miri) { 30_000 } else { 1 << 40 };

/// Every case of every file.
pub fn cases() -> Vec<Case> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(vectors())
        .expect("cuda/vectors")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "safetensors")
        })
        .filter(|path| std::fs::metadata(path).is_ok_and(|file| file.len() <= MOST_BYTES))
        .collect();
    files.sort();
    files.iter().flat_map(|path| load_family(path)).collect()
}

fn load_family(path: &Path) -> Vec<Case> {
    let file = SafetensorsFile::open(path, "checkout").expect("a vector file");
    let mut cases = Vec::new();
    let mut place = HashMap::new();
    for (name, text) in file.metadata() {
        if name == "format" {
            assert_eq!(text, "cunn-vectors-1");
        } else if !name.ends_with("#bounds") {
            place.insert(name.clone(), cases.len());
            cases.push(parse_call(name, text));
        }
    }
    for (name, info) in file.tensors().iter() {
        let mut parts = name.rsplitn(3, '/');
        let (argument, part, case) = (
            parts.next().expect("a part"),
            parts.next().expect("a part"),
            parts.next().expect("a part"),
        );
        let case = &mut cases[place[case]];
        let argument = argument.to_string();
        match part {
            "in" => drop(
                case.before
                    .insert(argument, file.array(name).expect("a tensor")),
            ),
            "bound" => drop(
                case.bound
                    .insert(argument, file.f32(name).expect("a bound")),
            ),
            _ if info.dtype == "F64" => {
                let bytes = file.bytes(name).expect("a tensor");
                let values = bytes
                    .as_chunks::<8>()
                    .0
                    .iter()
                    .map(|word| f64::from_le_bytes(*word));
                case.after.insert(argument, Wanted::Real(values.collect()));
            }
            _ => drop(
                case.after
                    .insert(argument, Wanted::Exact(file.array(name).expect("a tensor"))),
            ),
        }
    }
    cases
}

fn parse_call(name: &str, line: &str) -> Case {
    let mut words = line.split(' ');
    let op = words.next().unwrap_or_default().to_string();
    let arguments = words
        .map(|word| {
            let (name, text) = word.split_once('=').expect("name=value");
            parse_argument(name, text)
        })
        .collect();
    Case {
        name: name.to_string(),
        op,
        arguments,
        before: HashMap::new(),
        after: HashMap::new(),
        bound: HashMap::new(),
    }
}

fn parse_argument(name: &str, text: &str) -> Argument {
    let plain = |role| Argument {
        name: name.to_string(),
        role,
        dtype: DType::F32,
        count: 0,
    };
    let Some(text) = text.strip_prefix('@') else {
        let is_double = [".", "e", "inf", "nan"]
            .iter()
            .any(|mark| text.contains(mark));
        return plain(if is_double {
            Role::Real(text.parse().expect("a double"))
        } else {
            Role::Integer(text.parse().expect("an integer"))
        });
    };
    let parts: Vec<&str> = text.split(':').collect();
    let role = match parts[0] {
        "none" => return plain(Role::None),
        "same" => return plain(Role::Same(parts[1].to_string())),
        "in" => Role::In,
        "inout" => Role::InOut,
        "out" => Role::Out,
        other => panic!("unknown role {other}"),
    };
    let dtype = DType::from_label(parts[1]).expect("a dtype");
    Argument {
        dtype,
        count: parts[2].parse().expect("a count"),
        ..plain(role)
    }
}

/// Executes the case (recorded: as a graph, launched once) and describes every difference; empty when
/// it passes.
pub fn run(backend: &dyn Backend, case: &Case, recorded: bool) -> Vec<String> {
    let mut buffers = HashMap::new();
    for argument in &case.arguments {
        if matches!(argument.role, Role::In | Role::InOut | Role::Out) {
            let garbage = || {
                HostVec::from_bytes(
                    argument.dtype,
                    &vec![0x7f; argument.dtype.bytes(argument.count)],
                )
            };
            let content = case
                .before
                .get(&argument.name)
                .cloned()
                .unwrap_or_else(garbage);
            let buffer = backend.from_host(argument.dtype, content.as_ref());
            buffers.insert(argument.name.clone(), buffer.expect("a buffer"));
        }
    }
    let arguments = Arguments {
        case,
        buffers: &buffers,
    };
    let call = || dispatch::call(backend, &case.op, &arguments).expect("an operation");
    let outcome = if recorded {
        backend.graph_begin().expect("a recording");
        let outcome = call();
        let graph = backend.graph_end().expect("a graph");
        outcome
            .and_then(|()| backend.graph_launch(graph.as_ref()))
            .and_then(|()| backend.synchronize())
    } else {
        call().and_then(|()| backend.synchronize())
    };
    if let Err(error) = outcome {
        return vec![format!("{}: {error}", case.name)];
    }
    case.arguments
        .iter()
        .filter_map(|argument| compare(backend, case, argument, &buffers))
        .collect()
}

fn compare(
    backend: &dyn Backend,
    case: &Case,
    argument: &Argument,
    buffers: &HashMap<String, Buffer>,
) -> Option<String> {
    let name = &argument.name;
    let buffer = match &argument.role {
        Role::Same(other) => &buffers[other],
        Role::In | Role::InOut | Role::Out => &buffers[name],
        _ => return None,
    };
    let got = backend
        .download(buffer, 0, buffer.count())
        .expect("the values");
    if matches!(argument.role, Role::In) {
        let shared = case
            .arguments
            .iter()
            .any(|other| matches!(&other.role, Role::Same(of) if of == name));
        let changed = !shared && bits(&got) != bits(&case.before[name]);
        return changed.then(|| format!("{}: {name} is an input and was changed", case.name));
    }
    let wanted = case.after.get(name)?;
    let none = Vec::new();
    let bound = case.bound.get(name).unwrap_or(&none);
    let (got, want) = match wanted {
        Wanted::Real(want) => (reals(&got, buffer.dtype()), want.clone()),
        Wanted::Exact(want) => (reals(&got, buffer.dtype()), reals(want, buffer.dtype())),
    };
    if got.len() != want.len() {
        return Some(format!(
            "{}: {name} has {} elements, expected {}",
            case.name,
            got.len(),
            want.len()
        ));
    }
    let mut worst: Option<(usize, f64)> = None;
    let mut bad = 0;
    for (at, (got, want)) in got.iter().zip(&want).enumerate() {
        let bound = bound.get(at).map_or(0.0, |bound| f64::from(*bound));
        let error = (got - want).abs();
        let good = if want.is_finite() {
            error <= bound
        } else {
            got == want || got.is_nan() && want.is_nan()
        };
        if !good {
            bad += 1;
            let excess = if error.is_nan() {
                f64::INFINITY
            } else {
                error / bound
            };
            if worst.is_none_or(|(_, most)| excess > most) {
                worst = Some((at, excess));
            }
        }
    }
    let (at, _) = worst?;
    let bound = bound.get(at).copied().unwrap_or(0.0);
    Some(format!(
        "{}: {name}[{at}] is {}, expected {} within {bound} ({bad} of {} elements are out of bounds)",
        case.name,
        got[at],
        want[at],
        got.len()
    ))
}

fn bits(values: &HostVec) -> Vec<u8> {
    let mut out = Vec::new();
    let collected: Result<(), ()> = values.each_chunk(|chunk| {
        out.extend_from_slice(chunk);
        Ok(())
    });
    assert!(collected.is_ok());
    out
}

/// The values as f64, 16-bit floats widened. (No case has an i64 beyond 2^53.)
fn reals(values: &HostVec, dtype: DType) -> Vec<f64> {
    match values {
        HostVec::F32(values) => values.iter().map(|value| f64::from(*value)).collect(),
        HostVec::U16(bits) => bits
            .iter()
            .map(|&bits| match dtype {
                DType::BF16 => f64::from(f32_from_bf16(bits)),
                _ => f64::from(f32_from_f16(bits)),
            })
            .collect(),
        HostVec::I32(values) => values.iter().map(|value| f64::from(*value)).collect(),
        HostVec::I64(values) => values.iter().map(|value| *value as f64).collect(),
        HostVec::U8(values) => values.iter().map(|value| f64::from(*value)).collect(),
    }
}

impl Case {
    /// Elements of its tensors.
    pub fn size(&self) -> usize {
        self.arguments.iter().map(|argument| argument.count).sum()
    }

    /// The same case that wants its first output one bound and a half, and a little, off.
    pub fn mutated(&self) -> Option<Self> {
        let mut changed = self.clone();
        let name = self
            .arguments
            .iter()
            .find(|a| self.after.contains_key(&a.name))?
            .name
            .clone();
        match changed.after.get_mut(&name)? {
            Wanted::Real(values) => {
                let at = values.iter().rposition(|value| value.is_finite())?;
                let bound = self
                    .bound
                    .get(&name)
                    .map_or(0.0, |bound| f64::from(bound[at]));
                values[at] = (values[at] + 2.01 * bound).next_up();
            }
            Wanted::Exact(HostVec::I32(values)) => *values.last_mut()? ^= 1,
            Wanted::Exact(HostVec::I64(values)) => *values.last_mut()? ^= 1,
            Wanted::Exact(HostVec::U16(values)) => *values.last_mut()? ^= 1,
            Wanted::Exact(HostVec::U8(values)) => *values.last_mut()? ^= 1,
            Wanted::Exact(HostVec::F32(values)) => *values.last_mut()? += 1.0,
        }
        Some(changed)
    }
}
