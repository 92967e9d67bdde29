"""Runs suites of timings: contenders in turn, round after round, each measurement in a process of its own."""

from __future__ import annotations

import fnmatch
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module, metadata
from pathlib import Path

from benchmarks.cases import OURS, Case, Settings
from vgglib import bench, devices, provenance
from vgglib.results import REPOSITORY, write_sealed

CALM = 0.2  # cores that others may use while we measure
LOOK_SECONDS = 5  # between two looks at a contender's memory, each of which takes it some milliseconds a process
PATIENCE_SECONDS = 60  # to wait in the middle of a run for others to be done
LIBRARY = ("vgglib", "results/paper")  # what an earlier commit is timed with
WATCHED = ("torch", "torchvision", "timm", "pillow", "numpy")


class Failed(Exception):
    """A contender broke down; the message names it and says how."""


def used_cores(seconds: float = 0.5) -> float:
    """How many cores this machine's programs keep busy, on average over so many seconds; ValueError where neither the
    system nor psutil says so.
    """

    def ticks() -> tuple[int, int]:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]  # idle, and waiting for a disk

    if Path("/proc/stat").exists():
        before = ticks()
        time.sleep(seconds)
        total, idle = (now - then for then, now in zip(before, ticks(), strict=True))
        return (os.cpu_count() or 1) * (1 - idle / total) if total else 0.0
    try:
        import psutil
    except ImportError as error:
        raise ValueError("whether this machine is busy cannot be seen without psutil: pip install psutil.") from error
    return (os.cpu_count() or 1) * psutil.cpu_percent(seconds) / 100


def run(
    suites: Sequence[str],
    settings: Settings,
    rounds: int,
    *,
    pattern: str = "*",
    against: str | None = None,
    force: bool = False,
    root: Path | None = None,
    say: Callable[[str], object] = print,
) -> list[Path]:
    """Time the cases of some suites whose names match `pattern`. Each takes its place in the suite's record when all of
    its rounds are done; what the record has of other cases stays. Returns the records' paths.

    `against` is an earlier commit of this project, timed beside the present one. Raises ValueError for an unknown
    suite or commit, a pattern without cases, and, without `force`, on a busy machine. Failed names contenders that
    broke down, after all other cases have been timed.
    """
    plan = _plan(suites, settings, pattern)
    busy = used_cores()
    if busy > CALM and not force:
        raise ValueError(
            f"other programs use {busy:.1f} of {os.cpu_count()} cores, which would spoil the timings: stop them, or "
            "pass --force, and the record says so."
        )
    failures: list[str] = []
    with _earlier(against) as earlier:
        for suite, cases in plan.items():
            if cases:
                failures += _Suite(suite, settings, earlier, force, root, say).run(cases, rounds)
    if failures:
        raise Failed(" ".join(failures))
    return [bench.path(suite, settings.device, root) for suite, cases in plan.items() if cases]


def command(
    suites: Sequence[str] | None,
    rounds: int,
    *,
    pattern: str,
    list_only: bool,
    against: str | None,
    device: str | None,
    threads: int | None,
    images: str | None,
    scratch: Path,
    root: Path,
    force: bool,
) -> None:
    """What `vgg bench` does."""
    if images is not None and not Path(images).is_dir():
        raise ValueError(f"the folder {images} does not exist: check --images.")
    settings = Settings(
        device=str(devices.device(device)),
        threads=threads or devices.cores(),
        folder=scratch.absolute(),
        images=Path(images).absolute() if images else None,
    )
    suites = suites or bench.SUITES
    if list_only:
        for suite, cases in _plan(suites, settings, pattern).items():
            for case in cases:
                print(f"{suite:10} {case.name}: {', '.join(case.contenders)}")
        return
    try:
        for path in run(suites, settings, rounds, pattern=pattern, against=against, force=force, root=root):
            print(path)
    except Failed as error:
        raise ValueError(str(error)) from error


def _plan(suites: Sequence[str], settings: Settings, pattern: str) -> dict[str, list[Case]]:
    plan = {suite: _cases(suite, settings, pattern) for suite in suites}
    if not any(plan.values()):
        raise ValueError(f"no case of {', '.join(suites)} matches {pattern!r}: `vgg bench --list` names them.")
    return plan


def _cases(suite: str, settings: Settings, pattern: str) -> list[Case]:
    if suite not in bench.SUITES:
        raise ValueError(f"unknown suite {suite!r}: choose from {', '.join(bench.SUITES)}.")
    cases = import_module(f"benchmarks.{suite}").cases(settings)
    return [case for case in cases if fnmatch.fnmatch(case.name, pattern)]


@contextmanager
def _earlier(commit: str | None) -> Iterator[tuple[str, Path] | None]:
    """The library as it was at a commit: how it is called, and a folder that holds it."""
    if commit is None:
        yield None
        return
    git = ["git", "-C", str(REPOSITORY)]
    try:
        short = subprocess.run([*git, "rev-parse", "--short", f"{commit}^{{commit}}"], capture_output=True, check=True)
        tree = subprocess.run([*git, "archive", "--format=tar", commit, *LIBRARY], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError(f"there is no commit {commit!r} of vgglib in {REPOSITORY}: see `git log`.") from error
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(tree.stdout)) as library:
            library.extractall(folder, filter="data")
        yield f"{OURS} at {short.stdout.decode().strip()}", Path(folder)


class _Suite:
    def __init__(self, name, settings, earlier, force, root, say):
        self.name, self.settings, self.earlier, self.force, self.root, self.say = (
            name,
            settings,
            earlier,
            force,
            root,
            say,
        )
        self.module = import_module(f"benchmarks.{name}")

    def run(self, cases: Sequence[Case], rounds: int) -> list[str]:
        """All rounds of one case after another; who broke down, a sentence each."""
        bench.kept(self.name, self.settings.device, self.root)  # refuses an altered record before anything is timed
        self.settings.folder.mkdir(parents=True, exist_ok=True)
        self.module.prepare(self.settings, cases)
        failures = []
        for case in cases:
            try:
                self._keep(case, *self._timed(case, case.rounds or rounds))
            except Failed as failure:
                self.say(f"{self.name} | {failure}")
                failures.append(str(failure))
        return failures

    def _timed(self, case: Case, rounds: int) -> tuple[list[dict], list[dict]]:
        """Measurements, and who was left out and why."""
        contenders, measurements, left_out = self._contenders(case), [], {}
        for number in range(rounds):
            turn = number % len(contenders)  # so that no contender always comes first
            for contender in contenders[turn:] + contenders[:turn]:
                if contender in left_out:
                    continue
                before, begun = self._calm(), time.perf_counter()
                found, memory = self._measure(case.name, contender)
                seconds = time.perf_counter() - begun
                if "error" in found:
                    raise Failed(f"{case.name}: {contender} broke down ({found['error']}).")
                if "left_out" in found:
                    left_out[contender] = found["left_out"]
                    said = f"left out, {found['left_out']}"
                else:
                    known = {"used_cores_before": before, "seconds": seconds, "peak_memory_bytes": memory}
                    measurements.append({"contender": contender, "round": number, **known, "values": found["values"]})
                    said = f"{found['values']['value']:,.4g} {case.unit}, round {number + 1} of {rounds}"
                self.say(f"{self.name} | {case.name} | {contender}: {said}")
        return measurements, [{"contender": contender, "reason": reason} for contender, reason in left_out.items()]

    def _contenders(self, case: Case) -> list[str]:
        before = [self.earlier[0]] if self.earlier and OURS in case.contenders else []
        return [*case.contenders, *before]

    def _calm(self) -> float:
        """Cores that others use just before a measurement, after some patience with them."""
        waited_until = time.perf_counter() + (0 if self.force else PATIENCE_SECONDS)
        while (busy := used_cores()) > CALM and time.perf_counter() < waited_until:
            time.sleep(1)
        return busy

    def _measure(self, case: str, contender: str) -> tuple[dict, int | None]:
        """What a contender's process answered, and the most memory that it and its children held."""
        folders = [str(REPOSITORY)]
        if self.earlier and contender == self.earlier[0]:
            contender, folders = OURS, [str(self.earlier[1]), *folders]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
        settings = json.dumps(asdict(self.settings), default=str)
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder) / "answer.json"
            command = [sys.executable, "-m", "benchmarks.measure", self.name, case, contender, settings, str(answer)]
            with (Path(folder) / "said").open("w+") as said:
                # In the empty folder, since -m puts the current one before PYTHONPATH.
                process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said)
                memory = _watched(process)
                if not answer.exists():
                    said.seek(0)
                    tail = said.read().strip()[-500:]
                    raise Failed(
                        f"{case}: {contender} ended with status {process.returncode} and without an answer. {tail}"
                    )
            return json.loads(answer.read_text()), memory

    def _keep(self, case: Case, measurements: list[dict], left_out: list[dict]) -> None:
        """Put a case into the suite's record, in the place of an earlier one of the same name."""
        device = self.settings.device
        earlier = bench.kept(self.name, device, self.root)
        timed = {
            **asdict(case),
            "contenders": self._contenders(case),
            "measurements": measurements,
            "left_out": left_out,
            "forced": self.force,
            "environment": self._environment(),
        }
        by_name = {one["name"]: one for one in (earlier["cases"] if earlier else ())} | {case.name: timed}
        order = [one.name for one in self.module.cases(self.settings)]
        names = sorted(by_name, key=lambda name: order.index(name) if name in order else len(order))
        record = {
            "schema": bench.SCHEMA,
            "suite": self.name,
            "title": self.module.TITLE,
            "device": device.partition(":")[0],
        }
        write_sealed(bench.path(self.name, device, self.root), {**record, "cases": [by_name[name] for name in names]})

    def _environment(self) -> dict:
        """The machine, the software, and when this was asked."""
        where = devices.device(self.settings.device)
        return (
            devices.describe(where)
            | {"threads": self.settings.threads, "cores": devices.cores(), "versions": _versions()}
            | provenance.commit()
            | {"measured_utc": datetime.now(UTC).isoformat(timespec="seconds")}
        )


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = dict.fromkeys(WATCHED)
    for name in WATCHED:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _watched(process: subprocess.Popen) -> int | None:
    """Wait for a process; the most memory, in bytes, that it and its children held together, shared pages divided
    among them. None where that cannot be seen.
    """
    try:
        import psutil
    except ImportError:
        process.wait()
        return None
    most = 0
    done = threading.Event()

    def look() -> None:
        nonlocal most
        while not done.wait(LOOK_SECONDS):
            try:
                family = psutil.Process(process.pid)
                held = [one.memory_full_info() for one in (family, *family.children(recursive=True))]
                most = max(most, sum(getattr(one, "pss", one.uss) for one in held))
            except psutil.Error:  # one of them has just ended
                continue

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    process.wait()
    done.set()
    watcher.join()
    return most or None
