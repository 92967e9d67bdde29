"""Nets that others trained on ImageNet, as nets of this project: torchvision's A, B, D and E, and the Caffe models of D
and E that the authors published.

A source is written `torchvision:D` (downloaded by torchvision, checked by its hash, kept in PyTorch's own folder),
`torchvision:D=/path/vgg16.pth` or `caffe:D=/path/D.caffemodel`. The path may also be that of a
.safetensors file that this project has made of the same source.

All nets here take grey levels of 0 to 255, RGB, minus a mean. torchvision divides by 255 and by a standard deviation
for each colour, which its first layer does here; Caffe's first layer takes BGR, and its pools round up, which a
dense test of a whole image sees and a crop of 224 does not. Padding means the mean in all of them.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vgglib.experiments import PUBLISHED, Experiment, Run
from vgglib.models import TORCHVISION, VGG, load_torchvision
from vgglib.results import Store
from vgglib.training import checkpoints
from vgglib.training.trained import Trained
from vgglib.weights import caffe, digest

CLASSES = 1000  # of ImageNet, which both kinds of nets that are known by name were trained for
CAFFE_MEAN_RGB = (123.68, 116.779, 103.939)  # stated with the authors' models, there in the order BGR
LAYER = re.compile(r"(features|classifier)\.(\d+)\.(weight|bias)")


@dataclass(frozen=True)
class Source:
    """Where a net's weights are from: `kind` is a key of `experiments.PUBLISHED`, `path` None where none was given."""

    kind: str
    net: str
    path: Path | None = None

    def __post_init__(self):
        if self.path and not self.path.is_file():
            raise ValueError(f"{self.path} is not a file: say where the weights of {self} are.")

    @classmethod
    def of(cls, text: str) -> Source:
        """From a text such as `torchvision:D` or `caffe:E=/path/file`; ValueError for one that means nothing, and for a
        path that is no file.
        """
        name, equals, path = text.partition("=")
        kind, _, net = name.partition(":")
        if kind not in PUBLISHED or not net or (equals and not path):
            raise ValueError(
                f"{text!r} is no source of weights: write {' or '.join(f'{kind}:NET' for kind in PUBLISHED)}, with "
                "=PATH where the file is here already."
            )
        source = cls(kind, net, Path(path).expanduser() if path else None)
        _ = source.experiment
        return source

    def __str__(self) -> str:
        return f"{self.kind}:{self.net}"

    @property
    def experiment(self) -> Experiment:
        """The net as an experiment; ValueError where no weights of it were published."""
        return Experiment(net=self.net, seed=None, weights=self.kind)


@dataclass(frozen=True)
class Published:
    """A net, and the mean (3,) that is subtracted from its input, RGB in grey levels 0-255."""

    model: VGG
    mean_rgb: Tensor


def load(source: str | Source) -> Published:
    """The net of a source, on the CPU.

    Raises ValueError when a file is not what its source says, naming what differs, and OSError when it cannot be read
    or downloaded. Nothing in a file is executed.
    """
    source = Source.of(source) if isinstance(source, str) else source
    if source.path and source.path.suffix == ".safetensors":
        return _converted(source.path, str(source))
    try:
        if source.kind == "torchvision":
            return from_torchvision(source.net, _state_dict(source))
        return from_caffe(source.net, _layers(source))
    except _Unfit as error:
        raise ValueError(f"{source.path or source} does not fit net {source.net}: {error}") from error


class _Unfit(ValueError):
    """Why weights are not those of a net, in half a sentence."""


@torch.no_grad()
def from_torchvision(net: str, state: dict[str, Tensor], **size) -> Published:
    """A state dict of torchvision's vgg11, 13, 16 or 19; `size` are arguments of `models.VGG` where they are not the
    paper's. ValueError for one of another net, of batch normalisation, or without the fully connected layers.
    """
    model = _empty(net, "torchvision", size)
    try:
        load_torchvision(model, _in_order(state))
    except ValueError as error:
        raise _Unfit(error) from error
    normalisation = _enum(net).transforms()
    mean, sd = (torch.tensor(values, dtype=torch.float64) for values in (normalisation.mean, normalisation.std))
    first = model.weighted["conv1_1"].weight
    first.copy_(first.double() / (255 * sd)[:, None, None])
    return Published(model, (255 * mean).float())


@torch.no_grad()
def from_caffe(net: str, layers: dict[str, Sequence[np.ndarray]], **size) -> Published:
    """Layers that `caffe.read` found, named as in Table 1; `size` as in `from_torchvision`. ValueError when a layer is
    missing, foreign or of another shape.
    """
    model = _empty(net, "caffe", size)
    ours = model.weighted
    if missing := [name for name in ours if name not in layers]:
        raise _Unfit(f"{missing[0]} is missing, take the authors' model of {len(ours)} layers.")
    if foreign := [name for name in layers if name not in ours]:
        raise _Unfit(f"it has a layer {foreign[0]}, take the authors' model of {len(ours)} layers.")
    for name, layer in ours.items():
        expected = [tuple(weight.shape) for weight in (layer.weight, layer.bias)]
        if [_own_shape(blob) for blob in layers[name]] != expected:
            theirs = " and ".join(str(blob.shape) for blob in layers[name])
            raise _Unfit(f"{name} has numbers of shape {theirs} where the net has {expected[0]} and {expected[1]}.")
        for weight, blob in zip((layer.weight, layer.bias), layers[name], strict=True):
            weight.copy_(torch.from_numpy(blob).view(weight.shape))
    first = ours["conv1_1"].weight
    first.copy_(first.flip(1))
    return Published(model, torch.tensor(CAFFE_MEAN_RGB))


def _own_shape(blob: np.ndarray) -> tuple[int, ...]:
    """Without the ones that Caffe's old form puts before the shapes of fully connected layers and biases."""
    shape = blob.shape
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape


def keep(store: Store, runs: Sequence[Run], source: Source, classes: int | None = None) -> Path:
    """Convert a source's weights to `store.weights_path` of its runs, unless that was done before; returns the path.

    Raises ValueError as `load` does, where what is there, or a record of `runs`, was made of other weights, and before
    anything is written where they tell not as many `classes` apart as the images have.
    """
    path = store.weights_path(runs[0])
    before = _converted(path, str(source)) if path.exists() else None
    if before is None and source.path is None and source.kind == "caffe":
        raise ValueError(f"{path} does not exist: name the file, such as {source}=/path/name.caffemodel.")
    if before is None and source.path is None:
        _check_classes(CLASSES, runs[0].experiment.name, classes)  # before it is downloaded
    found = load(source) if source.path or before is None else before
    own = digest(found.model)
    others = [str(path)] if before is not None and digest(before.model) != own else []
    records = {run.run_id: store.read(run) for run in runs}
    others += [f"the record {name}" for name, record in records.items() if record and record["weights_sha256"] != own]
    if others:
        raise ValueError(f"{others[0]} was made of other weights than {source}: pass another --results.")
    _check_classes(found.model.head["fc8"].out_features, runs[0].experiment.name, classes)
    if before is None:
        write(path, found, str(source))
    return path


def _check_classes(own: int, name: str, classes: int | None) -> None:
    if classes not in (None, own):
        raise ValueError(
            f"the weights {name} tell {own} classes apart and the images have {classes}: take the images that the net "
            "was trained for."
        )


def write(path: Path, published: Published, source: str) -> None:
    """Write a converted net, whole or not at all; OSError as `checkpoints.write`."""
    model = published.model
    state = {
        "source": source,
        "mean_rgb": published.mean_rgb.tolist(),
        "size": {
            "num_classes": model.head["fc8"].out_features,
            "width": model.config.blocks[0][0].channels / 64,
            "input_size": model.input_size,
        },
        "weights_sha256": digest(model),
    }
    checkpoints.write(path, {f"model.{name}": weight for name, weight in model.state_dict().items()}, state)


def trained(store: Store, run: Run, classes: int) -> Trained:
    """The net of a run whose weights were converted, as a training would give it; `classes` are those of the images.

    Raises ValueError when the numbers of classes differ, or the file is damaged.
    """
    path = store.weights_path(run)
    found = _converted(path, f"{run.experiment.weights}:{run.experiment.net}")
    _check_classes(found.model.head["fc8"].out_features, run.experiment.name, classes)
    return Trained(found.model, (), {}, found.mean_rgb)


def _converted(path: Path, source: str) -> Published:
    """What `write` wrote; ValueError when it is something else, or another source's."""
    tensors, state = checkpoints.read(path)
    if (was := state.get("source")) != source:
        raise ValueError(f"{path} holds weights of {was or 'a training'} and not of {source}: choose another file.")
    try:
        kind, _, net = source.partition(":")
        model = _empty(net, kind, state["size"])
        model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in tensors.items()})
        mean_rgb = torch.tensor(state["mean_rgb"])
        whole = digest(model) == state["weights_sha256"]
    except (KeyError, TypeError, RuntimeError):  # other layers, or other shapes
        whole = False
    if not whole:
        raise ValueError(f"{path} is damaged: delete it and name the file that it was made of.")
    return Published(model, mean_rgb)


def _empty(net: str, kind: str, size: dict) -> VGG:
    """A net whose weights have yet to be filled in, without the time it takes to draw some."""
    with torch.device("meta"):
        model = VGG(net, **size, pools_round_up=kind == "caffe")
    return model.to_empty(device="cpu").eval()


def _enum(net: str):
    """What torchvision knows of its weights for a net: address, normalisation, accuracy."""
    from torchvision.models import get_model_weights

    return get_model_weights(TORCHVISION[net]).IMAGENET1K_V1


def accuracy_percent(net: str) -> tuple[float, float]:
    """torchvision's own top-1 and top-5 accuracy on ImageNet's validation images, one crop in the middle, Q = 256."""
    metrics = _enum(net).meta["_metrics"]["ImageNet-1K"]
    return metrics["acc@1"], metrics["acc@5"]


def _state_dict(source: Source) -> dict[str, Tensor]:
    if source.path is None:
        return _downloaded(source)
    try:
        state = torch.load(source.path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _Unfit("it holds more than tensors, or is no PyTorch file, and nothing of it was executed.") from error
    except OSError:
        raise
    except Exception as error:  # a file cut short raises almost anything
        raise _Unfit("it is no PyTorch file, or cut short.") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise _Unfit("it is no state dict of tensors.")
    return state


def _downloaded(source: Source) -> dict[str, Tensor]:
    enum = _enum(source.net)
    try:
        return enum.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise OSError(
            f"{enum.url} could not be downloaded ({error}): get the file by other means and write {source}=PATH."
        ) from error


def _in_order(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The entries of torchvision's state dict from first layer to last, whatever order they stand in."""
    if any("running_mean" in name for name in state):
        raise _Unfit("it is of a net with batch normalisation (_bn), which the paper's nets do not have.")
    if foreign := [name for name in state if not LAYER.fullmatch(name)]:
        raise _Unfit(f"{foreign[0]} is no name of torchvision's VGG.")
    if not any(name.startswith("classifier") for name in state):
        raise _Unfit("it has no fully connected layers, take the whole state dict.")

    def place(name: str) -> tuple:
        part, number, what = LAYER.fullmatch(name).groups()
        return part == "classifier", int(number), what == "bias"

    ordered = {name: state[name] for name in sorted(state, key=place)}
    for name in ordered:
        part, number, what = LAYER.fullmatch(name).groups()
        other = f"{part}.{number}.{'bias' if what == 'weight' else 'weight'}"
        if other not in ordered:
            raise _Unfit(f"{other} is missing.")
        if what == "bias" and ordered[name].shape != ordered[other].shape[:1]:
            raise _Unfit(f"{name} has shape {tuple(ordered[name].shape)} where its layer has {len(ordered[other])}.")
    return ordered


def _layers(source: Source) -> dict[str, list[np.ndarray]]:
    if source.path is None:
        raise ValueError(f"the file of {source} is not given: write {source}=/path/name.caffemodel.")
    return caffe.read(source.path)
