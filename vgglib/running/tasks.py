"""What a plan needs that has not been made: trainings, and the tests of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from shlex import quote

from vgglib import data, plans
from vgglib.experiments import Run
from vgglib.planner import testing_macs, training_macs
from vgglib.results import Store
from vgglib.training.resume import finished


@dataclass(frozen=True)
class Task:
    """One training, and its evaluations that have no record yet."""

    run: Run  # any run of this training
    missing: tuple[Run, ...]

    @property
    def name(self) -> str:
        return self.run.experiment_id

    @property
    def depth(self) -> int:
        """How many trainings must come before."""
        depth, start = 0, self.run.experiment.start
        while start:
            depth, start = depth + 1, start.start
        return depth

    def macs(self, images: data.ImageSet) -> tuple[float, ...]:
        """Multiply-adds, about: of the training, then of each evaluation."""
        return training_macs(self.run, len(images.train)), *(testing_macs(run, len(images.val)) for run in self.missing)


def needed(planned: Iterable[Run], store: Store, retry_failed: bool) -> list[Task]:
    """The trainings behind what is missing and can be made, with those whose weights they have yet to begin with and
    which are not there.
    """
    missing: dict[str, list[Run]] = {}
    anyone: dict[str, Run] = {}

    def want(run: Run, record_needed: bool) -> None:
        anyone.setdefault(run.experiment_id, run)
        wanted = missing.setdefault(run.experiment_id, [])
        if record_needed and run not in wanted:
            wanted.append(run)
        donor = None if store.begun(run) else run.donor  # what has begun needs no weights to begin with
        if donor and donor.experiment_id not in anyone:
            lacking = lacks_record(donor, store, retry_failed)
            given_up = not retry_failed and store.failed_training(donor)
            if not given_up and (lacking or not finished(donor.experiment, store.checkpoint_path(donor))):
                want(donor, lacking)

    for run in planned:
        if lacks_record(run, store, retry_failed) and (retry_failed or not store.prevented_by(run)):
            want(run, True)
    return [Task(run, tuple(missing[name])) for name, run in anyone.items()]


def lacks_record(run: Run, store: Store, retry_failed: bool) -> bool:
    """Whether a run is to be done: it has no record, or one of a failure that is to be repeated."""
    return store.read(run) is None or (retry_failed and failed(run, store))


def failed(run: Run, store: Store) -> bool:
    """Whether a run's record is that of a failure."""
    record = store.read(run)
    return record is not None and record["status"] == "failed"


def repeated(tasks: Iterable[Task], store: Store) -> Iterator[str]:
    """A sentence for each training that has tests on record and no weights for further ones."""
    for task in tasks:
        if task.run.experiment.weights:  # others trained it
            continue
        if not finished(task.run.experiment, store.checkpoint_path(task.run)) and store.tests(task.run):
            yield (
                f"{task.name} has tests on record and is trained again for what they lack, which is added only if its "
                "weights come out the same to the last bit: with another --results (VGG_RESULTS in a notebook) all "
                "tests are made anew."
            )


def prevented(planned: Iterable[Run], store: Store) -> Iterator[str]:
    """A sentence for each training that a failed one prevents, and for each that failed and lacks other tests."""
    for run in {run.experiment_id: run for run in planned if lacks_record(run, store, False)}.values():
        if donor := store.prevented_by(run):
            whose = "this training" if donor is run else f"{donor.experiment_id}, whose weights it needs,"
            again = f"{plans.command(donor)} --results {quote(str(store.root))} --retry-failed"
            yield f"{run.experiment_id} was not run because {whose} failed: repeat that by `{again}`."
