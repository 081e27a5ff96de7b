"""The tool that compares names across languages notices what is missing and what is out of order."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "cuda" / "tools"))

import parity
from parity_readers import Names, read_go, read_python, read_rust

PYTHON = '''
class Kind(IntEnum):
    A = 0
    B = 1

@dataclass
class Options:
    n_kv_heads: int
    top_p: float = 1.0
    _hidden: int = 0

class Router:
    """Documented."""

    def __init__(self, gate):
        self.gate = gate
        self.top_k, self._cache = 2, {}

    @staticmethod
    def tiny(): ...

    def forward(self, x): ...

    def backward(self, dy): ...

    def _private(self): ...

def load_all(path): ...
'''

RUST = """
pub enum Kind {
    A = 0,
    B = 1,
}

/// Documented.
pub struct Options {
    pub n_kv_heads: usize,
    pub top_p: f64,
}

pub struct Router<B: Backend> {
    gate: Linear,
    top_k: usize,
}

impl<B: Backend> Router<B> {
    pub fn new(gate: Linear) -> Self {
        Self { gate, top_k: 2 }
    }

    pub fn tiny() -> Self {
        unreachable!()
    }

    pub fn forward(&self, x: &Buffer) {}

    pub fn backward(&self, dy: &Buffer) {}

    fn private(&self) {}
}

impl<B: Backend> Drop for Router<B> {
    fn drop(&mut self) {}
}

pub fn load_all(path: &Path) {}

#[cfg(test)]
mod tests {
    pub fn helper() {}
}
"""

GO = """
type Kind int

const (
\tA Kind = iota
\tB
)

// Options are documented.
type Options struct {
\tNKVHeads int
\tTopP     float64
}

type Router struct {
\tgate *Linear
\tTopK int
}

func NewRouter(gate *Linear) *Router { return nil }

func NewTiny() *Router { return nil }

func (r *Router) Forward(x Buffer) error { return nil }

func (r *Router) Backward(dy Buffer) error { return nil }

func (r *Router) private() {}

func LoadAll(path string) error { return nil }
"""


def folded(names: Names) -> dict[str, set[str]]:
    return {parity.fold(name): {parity.fold(member) for member in members.all} for name, members in names.items()}


def differences(python: str = PYTHON, rust: str = RUST, go: str = GO, idioms: set[str] | None = None) -> list[str]:
    files = {"python": read_python(python), "rust": read_rust(rust), "go": read_go(go)}
    return parity.compare("model/router", files, idioms or set())


def test_the_three_readers_see_the_same() -> None:
    expected = {
        "kind": {"a", "b"},
        "options": {"nkvheads", "topp"},
        "router": {"gate", "topk", "tiny", "forward", "backward"},
        "": {"loadall"},
    }
    assert folded(read_python(PYTHON)) == folded(read_rust(RUST)) == folded(read_go(GO)) == expected


def test_a_missing_member_type_or_function_is_named() -> None:
    assert differences(rust=RUST.replace("    top_k: usize,\n", "")) == [
        "model/router: Router.top_k of python is missing in rust",
        "model/router: Router.TopK of go is missing in rust",  # not gate, which is private there
    ]
    assert differences(python=PYTHON.replace("self.gate = gate", "pass")) == []  # private in Rust and in Go
    assert "model/router: Options of python is missing in go" in differences(
        go=GO.replace("Options struct", "Other struct")
    )
    assert "model/router: load_all of python is missing in go" in differences(go=GO.replace("LoadAll", "LoadSome"))


def test_another_order_is_named() -> None:
    swapped = (
        PYTHON.replace("def forward", "def other").replace("def backward", "def forward").replace("other", "backward")
    )
    lines = [line for line in differences(python=swapped) if "in rust" in line]
    assert lines == [
        "model/router: the order of Router is tiny, backward, forward in python but tiny, forward, backward in rust"
    ]


def test_an_idiom_is_excused() -> None:
    without = GO.replace("func NewTiny() *Router { return nil }\n", "")
    assert differences(go=without) == [
        "model/router: Router.tiny of python is missing in go",
        "model/router: Router.tiny of rust is missing in go",
    ]
    assert differences(go=without, idioms={"go model/router.Router.tiny"}) == []
