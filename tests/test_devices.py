import os

import pytest
import torch

from vgglib import devices


@pytest.mark.parametrize(
    "files, expected",
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "250000 100000\n"}, 3),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "6400000 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
def test_a_containers_quota_is_kept_to(files, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(devices, "CGROUP", tmp_path)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert devices.cores() == expected


@pytest.mark.parametrize("name", ["auto", "fp16"])
def test_nets_run_in_a_known_precision_alone(name):
    with pytest.raises(ValueError, match=f"precision '{name}' .*: choose bf16 or fp32"):  # noqa: SIM117
        with devices.autocast(name, torch.device("cpu")):
            pass
