"""The device and the precision of training."""

import pytest
import torch

from fmae_edge.train.device import has_fast_bfloat16

CPU = torch.device("cpu")


@pytest.mark.parametrize("feature", ["avx512_bf16", "amx_bf16"])
def test_bfloat16_is_used_where_the_cpu_multiplies_it(monkeypatch, feature):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {feature: True}, raising=False)
    assert has_fast_bfloat16(CPU)


def test_float32_is_used_where_the_cpu_or_an_older_torch_knows_no_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    assert not has_fast_bfloat16(CPU)
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not has_fast_bfloat16(CPU)
