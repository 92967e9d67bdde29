"""What can be run: `Experiment` is one training, `Protocol` one way to test a net, `Run` both, and `Entry` a number
of a table, made of runs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache

from vgglib.configs import GROWN_NETS, INITIALISATIONS, config

CROP = 224  # side of the training crop, in the paper's pixels (Sect. 2.1)
GRID = 5  # crops in each direction of an image: 5 x 5 with their mirror images are the paper's 50 a scale (Sect. 3.2)
PLACES = {"multi-crop": GRID, "centre-crop": 1}  # of crops along each side of an image
METHODS = ("dense", *PLACES)  # ways to look at an image, see `evaluate.posteriors`
AVERAGES = ("scores", "posteriors")  # of what, over the places in an image
# Nets of which others published weights that they trained on ImageNet: torchvision, and the authors for Caffe.
PUBLISHED = {"torchvision": ("A", "B", "D", "E"), "caffe": ("D", "E")}
PRECISIONS = ("auto", "bf16", "fp32")  # see `devices.precision`
JITTER = (256, 512)  # [S_min; S_max] of Sect. 3.1
STAGES = ("256", "384", "384+384", "256-512")  # S in the order in which a net is trained
MOST_SEEDS = 2**32  # PyTorch's generators on CPUs read so many bits of a seed
GROWN_ONLY = ("from_a",)  # settings that net A, which the others start from, does not have
ROUNDED, COMPILED = ", gradients in bf16", ", compiled"  # how a checkpoint names updates that round otherwise


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@cache  # a plan makes thousands of experiments of a few nets
def _check_width(net: str, width: float) -> None:
    config(net).scaled(width)


@dataclass(frozen=True)
class Experiment:
    """One net trained once. Scales are the paper's (224, 256, 384 ...); `resolution` turns them into pixels. An image
    that is stored with fewer pixels than a scale is enlarged, and shows no more detail there.

    With `weights` it is a net that was trained elsewhere: it has no seed, and the settings of a training say nothing.
    """

    net: str
    seed: int | None
    train_scale: int | tuple[int, int] = 256  # S, or [S_min; S_max] from which each image draws its own; Sect. 3.1
    resolution: float = 1.0
    width: float = 1.0
    batch_size: int = 256  # Sect. 3.1
    momentum: float = 0.9  # Sect. 3.1
    weight_decay: float = 5e-4  # Sect. 3.1
    dropout: float = 0.5  # Sect. 3.1
    learning_rate: float = 1e-2  # Sect. 3.1
    initialisation: str = "glorot"  # Sect. 3.1, found after the submission
    # The training whose weights this one begins with: all of them for the same net (an earlier stage), seven layers of
    # net A for a deeper one (Sect. 3.1); None for random weights.
    start: Experiment | None = None
    epochs: int = 74  # Sect. 3.1
    patience: int = 5  # epochs without improvement on minival before the rate drops; the paper gives no number
    drops: int = 3  # Sect. 3.1
    # Shares of `epochs` by which each drop happens at the latest; () waits for the plateau however long it takes.
    drop_deadlines: tuple[float, ...] = ()
    precision: str = "auto"  # bf16, but fp32 on GPUs without its units; or either by name
    weights: str | None = None  # a key of PUBLISHED: whose weights are taken, where the net is not trained here

    def __repr__(self) -> str:
        return f"<Experiment {self.name}>"  # not every field, of which those of the start would be most

    def __post_init__(self):
        for name in ("train_scale", "drop_deadlines"):
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        for name in ("learning_rate", "resolution", "width", "momentum", "dropout", "weight_decay"):
            if not _is_number(value := getattr(self, name)):
                raise ValueError(f"{name} is {value!r}: it must be an int or a float.")
        _check_width(self.net, self.width)
        scales = self.train_scale if self.jittered else (self.train_scale,) * 2
        if len(scales) != 2 or any(type(scale) is not int for scale in scales):
            raise ValueError(f"S is {self.train_scale!r}: it must be an int, or two for jitter.")
        low, high = scales
        if low < CROP:
            raise ValueError(f"S is {low}, smaller than the crop of {CROP}: images must not be smaller than the crop.")
        if low > high:
            raise ValueError(f"S is drawn from [{low}; {high}]: the smaller scale comes first.")
        for name in ("batch_size", "epochs", "patience", "drops"):
            least = 0 if name == "drops" else 1
            if type(value := getattr(self, name)) is not int or value < least:
                raise ValueError(f"{name} is {value!r}: it must be an int of at least {least}.")
        for name in ("learning_rate", "resolution"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be greater than 0 and finite.")
        if self.crop < (least := config(self.net).stride):
            raise ValueError(
                f"resolution is {self.resolution}, which makes crops of {self.crop} pixels: leave at least {least}."
            )
        for name, end in (("momentum", 1), ("dropout", 1), ("weight_decay", math.inf)):
            if not 0 <= getattr(self, name) < end:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 0 and less than {end}.")
        self._check_weights()
        if self.seed is not None and (type(self.seed) is not int or not 0 <= self.seed < MOST_SEEDS):
            raise ValueError(f"seed is {self.seed!r}: it must be an int from 0 to {MOST_SEEDS - 1}.")
        if self.start and self.start.net != self.net and (self.start.net != "A" or self.net not in GROWN_NETS):
            raise ValueError(
                f"net {self.net} cannot start from {self.start.net}: a net starts from an earlier training of its own, "
                f"and {', '.join(GROWN_NETS)} from A."
            )
        if self.initialisation not in INITIALISATIONS:
            raise ValueError(
                f"unknown initialisation {self.initialisation!r}: choose one of {', '.join(INITIALISATIONS)}."
            )
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}: choose auto, bf16 or fp32.")
        if not self._deadlines_will_do():
            raise ValueError(
                f"drop_deadlines is {self.drop_deadlines}: give {self.drops} rising shares of the epochs, or none."
            )

    def _deadlines_will_do(self) -> bool:
        given = self.drop_deadlines
        if not isinstance(given, tuple) or len(given) not in (0, self.drops):
            return False
        return all(_is_number(share) and 0 < share <= 1 for share in given) and list(given) == sorted(given)

    def _check_weights(self) -> None:
        if (self.weights is None) == (self.seed is None):
            raise ValueError(f"seed is {self.seed} with weights {self.weights}: a training has a seed, they have none.")
        if self.weights is not None and self.net not in PUBLISHED.get(self.weights, ()):
            known = " and ".join(f"{', '.join(nets)} of {name}" for name, nets in PUBLISHED.items())
            raise ValueError(f"there are no weights of net {self.net} by {self.weights}: there are {known}.")

    def pixels(self, scale: int) -> int:
        """The paper's scale in pixels of this experiment; the only place where the two meet."""
        return round(scale * self.resolution)

    @property
    def crop(self) -> int:
        """Side of the training crop in pixels."""
        return self.pixels(CROP)

    @property
    def scale_range(self) -> tuple[int, int]:
        """(S_min, S_max), equal without jitter."""
        return self.train_scale if isinstance(self.train_scale, tuple) else (self.train_scale, self.train_scale)

    @property
    def jittered(self) -> bool:
        return isinstance(self.train_scale, tuple)

    @property
    def test_scale(self) -> int:
        """The Q of a single-scale test: S, or the middle of the range (Sect. 4.1)."""
        return sum(self.scale_range) // 2

    @property
    def scale_text(self) -> str:
        """S as tables show it: "256", "256-512" with jitter, "384+384" for a stage that repeats its predecessor's S."""
        own = f"{self.train_scale[0]}-{self.train_scale[1]}" if self.jittered else str(self.train_scale)
        again = self.continues and self.start.train_scale == self.train_scale
        return f"{self.start.scale_text}+{own}" if again else own

    @property
    def continues(self) -> bool:
        """Whether this is a later stage of the same net's training, which takes over all weights."""
        return self.start is not None and self.start.net == self.net

    @property
    def epochs_before(self) -> int:
        """Epochs of the earlier stages: a later one draws its images and crops as if training had gone on."""
        return self.start.epochs_before + self.start.epochs if self.continues else 0

    @property
    def first(self) -> Experiment:
        """The first stage of this net's training."""
        return self.start.first if self.continues else self

    @property
    def start_text(self) -> str:
        """How the first stage begins: "A", or the name of the initialisation; or whose weights the net has."""
        return self.weights or ("A" if self.first.start else self.initialisation)

    @property
    def name(self) -> str:
        return f"{self.net}_{self.weights}" if self.weights else f"{self.net}_S{self.scale_text}_seed{self.seed}"


@dataclass(frozen=True)
class Protocol:
    """How a trained net is tested (Sect. 3.2), at one scale Q.

    method: "dense" over the whole image, "multi-crop", the 5 x 5 grid of crops, or "centre-crop", the one in the middle
    by which other projects report; `flip`: the mirror image, too;
    average: over the positions in one image, "scores" before the soft-max or "posteriors" after it.
    """

    test_scale: int = 256
    method: str = "dense"
    flip: bool = True
    average: str = "scores"

    def __post_init__(self):
        if type(self.test_scale) is not int:
            raise ValueError(f"Q is {self.test_scale!r}: it must be an int.")
        if self.test_scale < CROP:
            raise ValueError(
                f"Q is {self.test_scale}, smaller than the crop of {CROP}: images must not be smaller than the crop."
            )
        for name, choices in (("method", METHODS), ("average", AVERAGES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}: choose {' or '.join(choices)}.")

    @classmethod
    def usual(cls, test_scale: int | str, method: str) -> Protocol:
        """As Sect. 3.2 tests, with the mirror image, but a centre crop by itself, as it is usually reported."""
        return cls(int(test_scale), method, flip=method != "centre-crop")

    @property
    def name(self) -> str:
        variants = ("" if self.flip else "_noflip") + ("" if self.average == "scores" else f"_{self.average}")
        return f"{self.method}_Q{self.test_scale}{variants}"


@dataclass(frozen=True)
class Run:
    """One evaluation: an experiment tested by a protocol, within a preset.

    `overrides` names the recipe fields that were set by hand, so that such a run never passes for the preset's own.
    """

    preset: str
    experiment: Experiment
    protocol: Protocol
    overrides: tuple[tuple[str, object], ...] = ()

    def __repr__(self) -> str:
        return f"<Run {self.run_id} of preset {self.preset}>"

    @property
    def donor(self) -> Run | None:
        """The run that shows the net whose weights this one's training begins with, if any."""
        start = self.experiment.start
        if start is None:
            return None
        own = self.experiment.continues
        overrides = tuple((key, value) for key, value in self.overrides if own or key not in GROWN_ONLY)
        return replace(self, experiment=start, protocol=Protocol(start.test_scale), overrides=overrides)

    @property
    def experiment_id(self) -> str:
        return "_".join([self.experiment.name, *(f"{key}={_in_short(value)}" for key, value in self.overrides)])

    @property
    def run_id(self) -> str:
        return f"{self.experiment_id}_{self.protocol.name}"


_NAME = re.compile(
    r"(?P<net>[^_]+)_S(?P<train_scale>[\d+-]+)_seed(?P<seed>\d+)(?P<settings>(?:_[a-z][a-z_]*=[^_]+)*)"
    r"_(?P<protocol>[a-z-]+_Q\d+(?:_[a-z]+)*)"
)
_SETTING = re.compile(r"([a-z][a-z_]*)=([^_]+)")


@dataclass(frozen=True)
class Name:
    """What `Run.run_id` says of a net that was trained here: S as tables show it, the settings made by hand as text,
    with six digits of a number, and `Protocol.name`.
    """

    net: str
    train_scale: str
    seed: int
    settings: dict[str, str]
    protocol: str

    @classmethod
    def of(cls, run_id: str) -> Name | None:
        """None for other names, such as those of nets that others trained."""
        if not (found := _NAME.fullmatch(run_id)):
            return None
        settings = dict(_SETTING.findall(found["settings"]))
        return cls(found["net"], found["train_scale"], int(found["seed"]), settings, found["protocol"])


def in_full(value: object) -> str:
    """A setting as a command line takes it."""
    return (",".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)


def _in_short(value: object) -> str:
    """A setting as names of runs hold it: six digits of a number."""
    if isinstance(value, tuple):
        return ",".join(map(_in_short, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Entry:
    """One number of a table, for one seed: the error of the mean of its runs' posteriors.

    net, train_scale, test_scales and method are the table's own words ("256-512", "224 256 288", "multi-crop & dense").
    """

    table: str
    net: str
    train_scale: str
    test_scales: str
    method: str
    runs: tuple[Run, ...]

    def __repr__(self) -> str:
        return f"<Entry of table {self.table}, net {self.net}: {', '.join(run.run_id for run in self.runs)}>"

    @property
    def preset(self) -> str:
        return self.runs[0].preset

    @property
    def seed(self) -> int | None:
        return self.runs[0].experiment.seed

    @property
    def start(self) -> str:
        """How the nets' trainings begin: "A", the name of an initialisation, or several."""
        return ", ".join(dict.fromkeys(run.experiment.start_text for run in self.runs))


def runs(entries: Sequence[Entry]) -> list[Run]:
    """The evaluations behind some entries, each once."""
    return list(dict.fromkeys(run for entry in entries for run in entry.runs))


def as_dict(thing: Experiment | Protocol | dict) -> dict:
    """Plain values for a record."""
    # Not dataclasses.asdict, which copies what never changes, for every record that is read.
    values = thing if isinstance(thing, dict) else {field.name: getattr(thing, field.name) for field in fields(thing)}
    return {key: _plain(value) for key, value in values.items()}


def _plain(value):
    if isinstance(value, dict | Experiment):
        return as_dict(value)
    return list(value) if isinstance(value, tuple) else value


def differences(theirs: dict, ours: dict, inside: str = "") -> str:
    """What differs between two experiments or protocols as plain values, in words; empty when nothing does."""
    parts = []
    for key in {**theirs, **ours}:
        a, b = theirs.get(key), ours.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            parts.append(differences(a, b, f"{inside}{key}."))
        elif a != b:
            parts.append(f"{inside}{key} was {_brief(a)} and is {_brief(b)}")
    return ", ".join(filter(None, parts))


def _brief(value) -> str:
    return f"net {value['net']}" if isinstance(value, dict) else str(value)
