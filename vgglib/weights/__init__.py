"""Trained nets to look at: weights kept beside the records, or the checkpoint of a training that has ended here."""

from __future__ import annotations

from pathlib import Path

from vgglib import plans
from vgglib.experiments import Run
from vgglib.models import VGG
from vgglib.results import Store, digest_of
from vgglib.training import checkpoints


class NotTrained(ValueError):
    """There are no weights of a net, since it was not trained here. Damaged ones are a ValueError of another kind."""


def digest(model: VGG) -> str:
    """SHA-256 over the weights and biases of a net, in the order of its layers; stands in every record."""
    return digest_of(*(weight.detach().cpu().numpy() for weight in model.parameters()))


def load(store: Store, run: Run) -> VGG:
    """The net that a run tested, on the CPU and ready to be tested again.

    Kept weights come first, then the checkpoint. Those that others published go with the mean that `published.trained`
    gives, not with that of the images. Raises NotTrained where there are neither, or no finished record that vouches
    for them, and ValueError where they are not the record's.
    """
    record = store.read(run)
    paths = [path for path in (store.weights_path(run), store.checkpoint_path(run)) if path.exists()]
    if record is None or record["status"] != "done" or not paths:
        raise NotTrained(  # where its records are, `vgg run` would train nothing
            f"there is no trained net {run.experiment_id} of preset {run.preset} in {store.root.resolve()}: train it "
            f"in a folder of its own, `{plans.command(run)} --results mine`, and name that folder (--results, or "
            "`%env VGG_RESULTS=../mine` in a notebook)."
        )
    model = _published(store, run, record) if run.experiment.weights else _trained(paths[0], run, record)
    if model is None or digest(model) != record["weights_sha256"]:
        raise ValueError(f"the weights {paths[0]} are not those of the record {run.run_id}: move them away.")
    return model.eval()


def _published(store: Store, run: Run, record: dict) -> VGG:
    from vgglib.weights import published  # which needs `digest`

    return published.trained(store, run, record["n_classes"]).model


def _trained(path: Path, run: Run, record: dict) -> VGG | None:
    """The net of a run with the weights of a checkpoint; None where these have other layers, or other shapes."""
    tensors, _ = checkpoints.read(path)
    experiment = run.experiment
    model = VGG(experiment.net, record["n_classes"], experiment.width, experiment.crop, experiment.dropout)
    try:
        model.load_state_dict(_of_model(tensors))
    except RuntimeError:
        return None
    return model


def check(store: Store, run: Run, model: VGG) -> None:
    """ValueError where tests of a run's training are on record that were made with other weights than the model's."""
    recorded = store.tests(run)
    own = digest(model) if recorded else None
    for record in recorded:
        if record["weights_sha256"] != own:
            raise ValueError(
                f"{run.experiment_id} was trained again, and its weights are not those of the record "
                f"{record['run_id']}, so that no test can be added: pass another --results (VGG_RESULTS in a notebook)."
            )


def keep(store: Store, run: Run) -> str:
    """Copy a trained net's weights from its checkpoint to `<root>/<preset>/weights`, where published ones are already;
    returns the file's path.

    Raises ValueError as `load` does.
    """
    model = load(store, run)
    path = store.weights_path(run)
    if run.experiment.weights:
        return str(path)
    tensors = {f"model.{name}": weight for name, weight in model.state_dict().items()}
    checkpoints.write(path, tensors, {"weights_sha256": digest(model)})
    return str(path)


def _of_model(tensors: dict) -> dict:
    """A checkpoint's weights under the model's own names, without the momentum."""
    prefix = "model."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
