"""Rust's share of the bindings: the trait of the ops, the function table, the ops of the native context.

nn-core:  trait Ops (needs crate::tensor::{Buffer, TensorResult}), and its impl for ReferenceBackend, whose methods
          of the same names stand in one module per family
nn-cuda:  sys.rs, the table that libloading fills, and ops.rs, impl Ops for crate::Context, which brings
          call(FnOnce(&Table, i64) -> i32) -> TensorResult<()>; Buffer brings handle() -> i64
"""

from __future__ import annotations

from bind_text import ORIGIN, by_section, reflow
from header import Abi, Function, Parameter

WIDTH = 100
CALL_WIDTH = 60  # rustfmt's limit for the arguments of a call on one line
SIGNED = {"seed", "eos_id"}  # every other int64_t is a size or an index

C_TYPES = {
    "int32_t": "i32",
    "int64_t": "i64",
    "double": "f64",
    "const char *": "*const c_char",
    "void *": "*mut c_void",
    "const void *": "*const c_void",
    "int32_t *": "*mut i32",
    "int64_t *": "*mut i64",
    "double *": "*mut f64",
}


def files(abi: Abi) -> dict[str, str]:
    return {
        "rust/nn-core/src/tensor/ops.rs": interface(abi),
        "rust/nn-core/src/tensor/reference/ops.rs": reference(abi),
        "rust/nn-core/tests/suite/dispatch.rs": dispatch(abi),
        "rust/nn-cuda/src/sys.rs": table(abi),
        "rust/nn-cuda/src/ops.rs": native(abi),
    }


def doc(comment: str, indent: int) -> list[str]:
    """Verbatim, because rustdoc would read x[i] as a link."""
    pad = " " * indent
    lines = ["```text", *reflow(comment, WIDTH - indent - 5), "```"]
    return [f"{pad}/// {line}" for line in lines]


def plain_type(parameter: Parameter) -> str:
    if parameter.is_flag:
        return "bool"
    if parameter.type == "int64_t":
        return "i64" if parameter.name in SIGNED else "usize"
    return C_TYPES[parameter.type]


def annotation(parameter: Parameter) -> str:
    if parameter.type == "cunn_buffer":
        return "Option<&Buffer>" if parameter.optional else "&Buffer"
    return plain_type(parameter)


def signature(op: Function, end: str) -> list[str]:
    items = ["&self", *(f"{p.name}: {annotation(p)}" for p in op.arguments)]
    line = f"    fn {op.op}({', '.join(items)}) -> TensorResult<()>{end}"
    if len(line) <= WIDTH:
        return [line]
    return [f"    fn {op.op}(", *(f"        {item}," for item in items), f"    ) -> TensorResult<()>{end}"]


def section_comment(title: str, comment: str) -> list[str]:
    return ["", f"    // ---------------- {title}", *(f"    // {line}" for line in reflow(comment, WIDTH - 7))]


def interface(abi: Abi) -> str:
    out = [
        "//! The operations that every backend has,",
        f"//! {ORIGIN}.",
        "",
        "use crate::tensor::{Buffer, TensorResult};",
        "",
        "/// Operations on buffers: outputs, inputs, dims, scalars.",
        "///",
        "/// Equations, shapes and dtypes are the header's; where it offers 0 for a buffer, `None` is meant",
        "/// here.",
        '/// Buffers are shared references because an operation may write where it reads ("may alias").',
        "#[allow(clippy::too_many_arguments)]",
        "pub trait Ops {",
    ]
    for title, comment, ops in by_section(abi):
        out += section_comment(title, comment)
        for op in ops:
            out += ["", *doc(op.comment, 4), *signature(op, ";")]
    return "\n".join(out).replace("{\n\n", "{\n") + "\n}\n"


def reference(abi: Abi) -> str:
    out = [
        f"//! The reference backend's operations as the trait, {ORIGIN}.",
        "//!",
        "//! Each is the method of the same name in one of the modules beside this one.",
        "",
        "use super::ReferenceBackend;",
        "use crate::tensor::{Buffer, Ops, TensorResult};",
        "",
        "#[deny(unconditional_recursion)]",
        "impl Ops for ReferenceBackend {",
    ]
    for title, _, ops in by_section(abi):
        out += ["", f"    // ---------------- {title}"]
        for op in ops:
            arguments = ", ".join(["self", *(p.name for p in op.arguments)])
            out += ["", *signature(op, " {"), f"        Self::{op.op}({arguments})", "    }"]
    return "\n".join(out).replace("{\n\n", "{\n") + "\n}\n"


def dispatch(abi: Abi) -> str:
    out = [
        f"//! Operations by their names, for the call lines of cuda/vectors, {ORIGIN}.",
        "",
        "use nn_core::tensor::{Backend, TensorResult};",
        "",
        "use super::Arguments;",
        "",
        "/// Every operation.",
        f"pub const OPS: [&str; {len(abi.ops)}] = [",
        *(f'    "{op.op}",' for op in abi.ops),
        "];",
        "",
        "/// Calls an operation; `None` when there is none of this name.",
        "pub fn call(be: &dyn Backend, op: &str, a: &Arguments) -> Option<TensorResult<()>> {",
        "    Some(match op {",
    ]
    for op in abi.ops:
        out += [f'        "{op.op}" => be.{op.op}(', *(f"            {taken(p)}," for p in op.arguments), "        ),"]
    return "\n".join([*out, "        _ => return None,", "    })", "}"]) + "\n"


def taken(parameter: Parameter) -> str:
    if parameter.type == "cunn_buffer":
        return f'a.{"optional" if parameter.optional else "buffer"}("{parameter.name}")'
    kind = plain_type(parameter)
    return f'a.{ {"bool": "flag", "usize": "size", "f64": "real"}.get(kind, kind) }("{parameter.name}")'


def c_type(type_: str, abi: Abi) -> str:
    base = type_.removesuffix(" *")
    if base in abi.handles:
        return "*mut i64" if type_.endswith("*") else "i64"
    return C_TYPES[type_]


def table(abi: Abi) -> str:
    out = [
        f"//! The function table of libcunn, {ORIGIN}.",
        "//!",
        "//! Handles are `i64`, 0 is none. The documentation of each function is the header's.",
        "",
        "use std::os::raw::{c_char, c_void};",
        "",
        "use libloading::Library;",
        "",
        *(f"pub const {name.removeprefix('CUNN_')}: i32 = {value};" for name, value in abi.constants),
        "",
        "/// Every function of the library.",
        "#[derive(Clone, Copy, Debug)]",
        "pub struct Table {",
    ]
    for function in abi.functions:
        items = [f"{p.name}: {c_type(p.type, abi)}" for p in function.parameters]
        result = f") -> {c_type(function.result, abi)},"
        kind = f'unsafe extern "C" fn({", ".join(items)}{result}'
        name = f"    pub {function.name}:"
        if len(name) + 1 + len(kind) <= WIDTH:
            out += [f"{name} {kind}"]
        elif len(kind) + 8 <= WIDTH:
            out += [name, f"        {kind}"]
        else:
            out += [f'{name} unsafe extern "C" fn(', *(f"        {item}," for item in items), f"    {result}"]
    out += [
        "}",
        "",
        "impl Table {",
        "    /// Looks every function up; the error is the name of one that is not there.",
        "    ///",
        "    /// # Safety",
        "    ///",
        "    /// `library` is a libcunn whose `cunn_abi_version` returned `ABI_VERSION`, and it stays open",
        "    /// for as long as the table is used.",
        "    pub unsafe fn load(library: &Library) -> Result<Self, &'static str> {",
        "        // SAFETY: the caller promises that these symbols have the header's signatures.",
        "        unsafe {",
        "            Ok(Self {",
    ]
    for function in abi.functions:
        out += [f'                {function.name}: find(library, "{function.name}")?,']
    out += [
        "            })",
        "        }",
        "    }",
        "}",
        "",
        "unsafe fn find<T: Copy>(library: &Library, name: &'static str) -> Result<T, &'static str> {",
        "    // SAFETY: as for `Table::load`.",
        "    unsafe { library.get::<T>(name).map(|symbol| *symbol).map_err(|_| name) }",
        "}",
    ]
    return "\n".join(out) + "\n"


def argument(parameter: Parameter) -> str:
    if parameter.type == "cunn_buffer":
        name = parameter.name
        return f"{name}.map_or(0, |{name}| self.handle({name}))" if parameter.optional else f"self.handle({name})"
    if parameter.is_flag:
        return f"i32::from({parameter.name})"
    if parameter.type == "int64_t" and parameter.name not in SIGNED:
        return f"{parameter.name} as i64"
    return parameter.name


def call(op: Function) -> list[str]:
    arguments = ["context", *(argument(p) for p in op.arguments)]
    head, joined = f"(table.{op.name})", ", ".join(arguments)
    if len(joined) <= CALL_WIDTH:
        body = [f"            unsafe {{ {head}({joined}) }}"]
    else:
        body = [
            "            unsafe {",
            f"                {head}(",
            *(f"                    {item}," for item in arguments),
            "                )",
            "            }",
        ]
    return [
        "        self.call(|table, context| {",
        "            // SAFETY: the table is of this ABI; the library checks its arguments.",
        *body,
        "        })",
    ]


def native(abi: Abi) -> str:
    out = [
        f"//! The operations of libcunn, {ORIGIN}.",
        "//!",
        "//! Every call is sound for any argument: the library looks handles up and checks sizes, so the only",
        "//! condition of a call is a table that was loaded from a libcunn of this ABI.",
        "",
        "use nn_core::tensor::{Buffer, Ops, TensorResult};",
        "",
        "use crate::Context;",
        "",
        "#[allow(clippy::too_many_arguments)]",
        "impl Ops for Context {",
    ]
    for title, _, ops in by_section(abi):
        out += ["", f"    // ---------------- {title}"]
        for op in ops:
            out += ["", *signature(op, " {")]
            out += [*call(op), "    }"]
    return "\n".join(out).replace("{\n\n", "{\n") + "\n}\n"
