"""What `import nn` promises."""

from __future__ import annotations

import numpy as np
import pytest
from devices import available_devices
from paths import ROOT

import nn
from nn import GpuTensor, MoETransformer, NNError, open_backend


def test_the_readme_sample() -> None:
    with open_backend(available_devices()[0]) as backend:
        model = MoETransformer.tiny(backend)
        logits = model.forward_ids([1, 2, 3, 4], batch=1, seq_len=4)
        assert logits.shape == (1, 4, model.config.vocab_size)
        assert np.isfinite(logits).all()


@pytest.mark.skipif("cpu" not in available_devices(), reason="the library is not built")
def test_the_readme_sample_as_written() -> None:
    model = nn.MoETransformer.tiny()
    assert model.forward_ids([1, 2, 3, 4], batch=1, seq_len=4).shape == (1, 4, 1000)


def test_public_names_exist() -> None:
    for name in nn.__all__:
        assert hasattr(nn, name), name


def test_gpu_tensor() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    with open_backend("reference") as backend:
        tensor = GpuTensor.from_host(array, backend=backend)
        assert isinstance(tensor, GpuTensor)
        np.testing.assert_array_equal(tensor.numpy(), array)
        np.testing.assert_array_equal(GpuTensor.on_device((2, 2), backend=backend).numpy(), np.zeros((2, 2)))


@pytest.mark.parametrize(("ids", "batch", "seq_len"), [([], 1, 0), ([1, 2, 3], 1, 2), ([1000], 1, 1), ([-1], 1, 1)])
def test_bad_ids(ids: list[int], batch: int, seq_len: int) -> None:
    with open_backend("reference") as backend, pytest.raises(NNError):
        MoETransformer.tiny(backend).forward_ids(ids, batch, seq_len)


def test_one_version() -> None:
    """What the package says of itself is what it is installed as."""
    project = (ROOT / "python" / "pyproject.toml").read_text()
    assert f'\nversion = "{nn.__version__}"\n' in project
