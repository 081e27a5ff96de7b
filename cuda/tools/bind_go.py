"""Go's share of the bindings: the ops as an interface, the function table in C, the ops of the native context.

tensor:  interface Ops (needs type Buffer)
cuda:    table.h and table.c, which the package's cgo files include, and ops.go, methods of *Context, which brings
         table, raw C.cunn_context and check(C.int32_t) error; handleOf(tensor.Buffer) C.cunn_buffer gives 0 for nil
"""

from __future__ import annotations

import re

from bind_text import ORIGIN, by_section, camel, reflow
from header import Abi, Function, Parameter

WIDTH = 112
MODULE = "github.com/cuda-nn/cuda-nn/go"
WORDS = {
    "rmsnorm": "RMSNorm",
    "swiglu": "SwiGLU",
    "silu": "SiLU",
    "gemm": "GEMM",
    "rope": "RoPE",
    "moe": "MoE",
    "adamw": "AdamW",
    "z": "Z",
}
MARK = f"// Code {ORIGIN}. DO NOT EDIT."


def files(abi: Abi) -> dict[str, str]:
    return {
        "go/tensor/ops.go": interface(abi),
        "go/cuda/table.h": table_header(abi),
        "go/cuda/table.c": table_source(abi),
        "go/cuda/ops.go": native(abi),
    }


def method(op: Function) -> str:
    return "".join(WORDS.get(word, word.capitalize()) for word in op.op.split("_"))


def name(parameter: Parameter) -> str:
    return re.sub(r"Id$", "ID", re.sub(r"Kv", "KV", camel(parameter.name)))


def go_type(parameter: Parameter, buffer: str) -> str:
    if parameter.type == "cunn_buffer":
        return buffer
    if parameter.is_flag:
        return "bool"
    if parameter.type == "double":
        return "float64"
    return "int64" if parameter.name == "seed" else {"int32_t": "int32", "int64_t": "int"}[parameter.type]


def signature(op: Function, buffer: str) -> str:
    """Neighbours of one type share it: `y, a, b Buffer, n int`."""
    text = ""
    arguments = op.arguments
    for i, parameter in enumerate(arguments):
        kind = go_type(parameter, buffer)
        last = i + 1 == len(arguments)
        text += name(parameter)
        if last or go_type(arguments[i + 1], buffer) != kind:
            text += f" {kind}"
        text += "" if last else ", "
    return f"{method(op)}({text}) error"


def interface(abi: Abi) -> str:
    out = [
        MARK,
        "",
        "package tensor",
        "",
        "// Ops are the operations that every backend has: outputs, inputs, dims, scalars. Equations, shapes and",
        "// dtypes are the header's; where it offers 0 for a buffer, nil is meant here.",
        "type Ops interface {",
    ]
    for i, (title, comment, ops) in enumerate(by_section(abi)):
        out += [""] if i else []
        out += [f"\t// ---------------- {title}", *(f"\t// {line}" for line in reflow(comment, WIDTH))]
        for op in ops:
            doc = [f"\t//\t{line}" for line in reflow(op.comment, WIDTH - 4)]
            out += ["", f"\t// {method(op)}:", "\t//", *doc, f"\t{signature(op, 'Buffer')}"]
    return "\n".join(out) + "\n}\n"


def c_parameter(parameter: Parameter) -> str:
    return f"{parameter.type} {parameter.name}".replace("* ", "*")


def returns(function: Function) -> str:
    return function.result if function.result.endswith("*") else f"{function.result} "


def table_header(abi: Abi) -> str:
    out = [
        f"/* The function table of libcunn, {ORIGIN}. */",
        "#ifndef NN_CUDA_TABLE_H",
        "#define NN_CUDA_TABLE_H",
        "",
        "#include <stdint.h>",
        "",
        *(f"enum {{ {constant} = {value} }};" for constant, value in abi.constants),
        "",
        *(f"typedef int64_t {handle};" for handle in abi.handles),
        "",
        "struct nn_table {",
    ]
    for function in abi.functions:
        types = ", ".join(p.type for p in function.parameters) or "void"
        out.append(f"  {returns(function)}(*{function.op})({types});")
    out += [
        "};",
        "",
        "/* Opens a library and fills a new table once its ABI version is CUNN_ABI_VERSION; both stay for good. Returns 0;",
        " * or 1 with the reason in text; or 2 with the library's ABI version in *version. A failed call leaves nothing. */",
        "int nn_table_open(struct nn_table **table, const char *path, char *text, int capacity, int32_t *version);",
        "",
        "/* One call each: cgo cannot call through a pointer. */",
    ]
    for function in abi.functions:
        parameters = ", ".join(["const struct nn_table *table", *map(c_parameter, function.parameters)])
        arguments = ", ".join(p.name for p in function.parameters)
        out += [
            f"static inline {returns(function)}nn_{function.op}({parameters}) {{",
            f"  return table->{function.op}({arguments});",
            "}",
        ]
    return "\n".join([*out, "", "#endif"]) + "\n"


def table_source(abi: Abi) -> str:
    names = [f'    {{"{function.name}", offsetof(struct nn_table, {function.op})}},' for function in abi.functions]
    return (
        "\n".join(
            [
                f"/* The loader of libcunn, {ORIGIN}. */",
                "//go:build cgo",
                "",
                '#include "table.h"',
                "",
                "#include <dlfcn.h>",
                "#include <stddef.h>",
                "#include <stdio.h>",
                "#include <stdlib.h>",
                "",
                "static const struct {",
                "  const char *name;",
                "  size_t offset;",
                "} symbols[] = {",
                *names,
                "};",
                "",
                "int nn_table_open(struct nn_table **table, const char *path, char *text, int capacity, int32_t *version) {",
                "  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);",
                "  if (library == NULL) {",
                '    snprintf(text, (size_t)capacity, "%s", dlerror());',
                "    return 1;",
                "  }",
                "  int32_t (*abi_version)(void) = NULL;",
                '  *(void **)&abi_version = dlsym(library, "cunn_abi_version");',
                "  if (abi_version == NULL) {",
                '    snprintf(text, (size_t)capacity, "it has no cunn_abi_version");',
                "    dlclose(library);",
                "    return 1;",
                "  }",
                "  *version = abi_version();",
                "  if (*version != CUNN_ABI_VERSION) {",
                "    dlclose(library);",
                "    return 2;",
                "  }",
                "  char *slots = calloc(1, sizeof(struct nn_table));",
                "  if (slots == NULL) {",
                '    snprintf(text, (size_t)capacity, "out of memory");',
                "    dlclose(library);",
                "    return 1;",
                "  }",
                "  for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {",
                "    void *function = dlsym(library, symbols[i].name);",
                "    if (function == NULL) {",
                '      snprintf(text, (size_t)capacity, "it has no %s", symbols[i].name);',
                "      free(slots);",
                "      dlclose(library);",
                "      return 1;",
                "    }",
                "    *(void **)(slots + symbols[i].offset) = function;",
                "  }",
                "  *table = (struct nn_table *)slots;",
                "  return 0;",
                "}",
            ]
        )
        + "\n"
    )


def argument(parameter: Parameter) -> str:
    if parameter.type == "cunn_buffer":
        return f"handleOf({name(parameter)})"
    if parameter.is_flag:
        return f"flag({name(parameter)})"
    return f"C.{parameter.type}({name(parameter)})"


def native(abi: Abi) -> str:
    out = [
        MARK,
        "",
        "package cuda",
        "",
        '// #include "table.h"',
        'import "C"',
        "",
        f'import "{MODULE}/tensor"',
        "",
        "func flag(value bool) C.int32_t {",
        "\tif value {",
        "\t\treturn 1",
        "\t}",
        "\treturn 0",
        "}",
    ]
    for title, _, ops in by_section(abi):
        out += ["", f"// ---------------- {title}"]
        for op in ops:
            arguments = ", ".join(["context.table", "context.raw", *(argument(p) for p in op.arguments)])
            out += [
                "",
                f"// {method(op)} is documented at tensor.Ops.",
                f"func (context *Context) {signature(op, 'tensor.Buffer')} {{",
                f"\treturn context.check(C.nn_{op.op}({arguments}))",
                "}",
            ]
    return "\n".join(out) + "\n"
