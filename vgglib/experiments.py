"""What can be run: `Experiment` (one training), `Protocol` (one way to test a net), and what tables need of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache

from vgglib import paper, presets
from vgglib.configs import GROWN_NETS, INITIALISATIONS, TABLE_1, config
from vgglib.presets import Preset

CROP = 224  # side of the training crop, in the paper's pixels (Sect. 2.1)
GRID = 5  # crops in each direction of an image: 5 x 5 with their mirror images are the paper's 50 a scale (Sect. 3.2)
METHODS = ("dense", "multi-crop", "centre-crop")  # ways to look at an image, see `evaluate.posteriors`
# Nets of which others published weights that they trained on ImageNet: torchvision, and the authors for Caffe.
PUBLISHED = {"torchvision": ("A", "B", "D", "E"), "caffe": ("D", "E")}
JITTER = (256, 512)  # [S_min; S_max] of Sect. 3.1
STAGES = ("256", "384", "384+384", "256-512")  # S in the order in which a net is trained
LATER_STAGES_SLOWER = 10  # learning rate of the first stage over that of the later ones: 1e-2 and 1e-3 in Sect. 3.1
ROUNDED, COMPILED = ", gradients in bf16", ", compiled"  # how a checkpoint names updates that round otherwise


@cache  # a plan makes thousands of experiments of a few nets
def _check_width(net: str, width: float) -> None:
    config(net).scaled(width)


@dataclass(frozen=True)
class Experiment:
    """One net trained once. Scales are the paper's (224, 256, 384 ...); `resolution` turns them into pixels.

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
    initialisation: str = "glorot"  # footnote of Sect. 3.1
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

    def __post_init__(self):
        object.__setattr__(self, "drop_deadlines", tuple(self.drop_deadlines))
        _check_width(self.net, self.width)
        low, high = self.scale_range
        if low < CROP:
            raise ValueError(f"S is {low}, smaller than the crop of {CROP}: images must not be smaller than the crop.")
        if low > high:
            raise ValueError(f"S is drawn from [{low}; {high}]: the smaller scale comes first.")
        for name in ("batch_size", "epochs", "patience", "learning_rate", "resolution"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be greater than 0 and finite.")
        self._check_weights()
        if self.seed is not None and self.seed < 0:
            raise ValueError(f"seed is {self.seed}: it must be 0 or greater.")
        if self.start and self.start.net != self.net and (self.start.net != "A" or self.net not in GROWN_NETS):
            raise ValueError(
                f"net {self.net} cannot start from {self.start.net}: a net starts from an earlier training of its own, "
                f"and {', '.join(GROWN_NETS)} from A."
            )
        if self.initialisation not in INITIALISATIONS:
            raise ValueError(
                f"unknown initialisation {self.initialisation!r}: choose one of {', '.join(INITIALISATIONS)}."
            )
        if self.precision not in ("auto", "bf16", "fp32"):
            raise ValueError(f"unknown precision {self.precision!r}: choose auto, bf16 or fp32.")
        if len(self.drop_deadlines) not in (0, self.drops) or list(self.drop_deadlines) != sorted(self.drop_deadlines):
            raise ValueError(
                f"drop_deadlines is {self.drop_deadlines}: give {self.drops} rising shares of the epochs, or none."
            )

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
        if self.test_scale < CROP:
            raise ValueError(
                f"Q is {self.test_scale}, smaller than the crop of {CROP}: images must not be smaller than the crop."
            )
        for name, choices in (("method", METHODS), ("average", ("scores", "posteriors"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}: choose {' or '.join(choices)}.")

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
        return "_".join(
            [
                self.experiment.name,
                *(
                    f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
                    for key, value in self.overrides
                ),
            ]
        )

    @property
    def run_id(self) -> str:
        return f"{self.experiment_id}_{self.protocol.name}"


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


# Beside the paper's tables: the shallow net of Sect. 4.1; jitter and its control of equal length; net E from A and
# from random weights; every test scale of Table 4 by itself, which takes no further test.
TABLES = ("3", "4", "5", "6", "5x5", "jitter", "starts", "scales")
# Not part of "all": the nets of Table 3 at S = 256 on crops, where zeros surround the picture as in training; and net E
# from random weights for as many epochs as E from A has behind it, A's own among them.
BESIDE = ("crops", "longer-starts")
_DEFAULTS = {field.name: field.default for field in fields(Experiment)}
GROWN_ONLY = ("from_a",)  # settings that net A, which the others start from, does not have
STARTS = (
    {"from_a": True},
    {"from_a": False, "initialisation": "he-fan-out"},
    {"from_a": False, "initialisation": "glorot"},
)


@dataclass(frozen=True)
class _Recipe:
    """Makes the runs of one preset and seed."""

    preset: Preset
    seed: int
    changed: dict  # fields of Experiment, and from_a

    def runs(self, net: str, train_scale: str, test_scales: str, method: str, **start) -> tuple[Run, ...]:
        """A run for every scale and method; "multi-crop & dense" is two methods. `train_scale` is as in `Entry`,
        `start` are settings of a comparison, marked in the name like those by hand.
        """
        experiment, different = self._training(net, train_scale, start)
        protocols = [Protocol(int(q), how) for how in method.split(" & ") for q in test_scales.split()]
        return tuple(Run(self.preset.name, experiment, protocol, different) for protocol in protocols)

    def _training(self, net: str, train_scale: str, start: dict) -> tuple[Experiment, tuple]:
        """A training, and those of its settings that are not the preset's."""
        changed = {**self.changed, **start}
        chosen = {"from_a": self.preset.grow, **self.preset.recipe}
        default = _DEFAULTS | chosen
        different = {key: value for key, value in sorted(changed.items()) if default[key] != value}
        if net not in GROWN_NETS:
            different = {key: value for key, value in different.items() if key not in GROWN_ONLY}
        settings = {**chosen, **different}
        from_a = settings.pop("from_a") and net in GROWN_NETS
        first = Experiment(net=net, seed=self.seed, **settings)
        if from_a:
            first = replace(first, start=replace(first, net="A"))
        return self._stage(first, train_scale), tuple(different.items())

    def _stage(self, first: Experiment, train_scale: str) -> Experiment:
        """S = 256; 384 from 256; [256; 512] from 384 (Sect. 3.1); "384+384", the last one's length without jitter."""
        if train_scale == str(first.train_scale):
            return first
        shorter = {
            "learning_rate": first.learning_rate / LATER_STAGES_SLOWER,
            "epochs": max(1, round(first.epochs * self.preset.stage_epochs)),
        }
        second = replace(first, train_scale=384, start=first, **shorter)
        stages = (second, replace(second, train_scale=JITTER, start=second), replace(second, start=second))
        return {stage.scale_text: stage for stage in stages}[train_scale]

    def entries(self, table: str) -> Iterator[Entry]:
        """The rows of a table, in the paper's order."""
        if table == "6":
            for row in paper.numbers("fusion").itertuples():
                members = [member.strip().split("/") for member in row.members.split(";")]
                runs = tuple(run for member in members for run in self.runs(*member, row.method))
                yield Entry(table, row.ensemble, "", "", row.method, runs)
            return
        for key in _rows(table):
            for start in self._starts(table):
                yield Entry(table, *key, self.runs(*key, **start))

    def _starts(self, table: str) -> Sequence[dict]:
        """The settings in which rows of one net, S and Q differ."""
        if table == "starts":
            return STARTS
        if table == "longer-starts":
            from_a, *others = STARTS
            grown, _ = self._training("E", "256", from_a)
            return [{**start, "epochs": grown.start.epochs + grown.epochs} for start in others]
        return ({},)


@cache
def _rows(table: str) -> tuple[tuple[str, str, str, str], ...]:
    """(net, S, Q, method) of every row."""
    if table == "5x5":
        return ("B", "256", "256", "dense"), ("B-5x5", "256", "256", "dense")
    if table in ("starts", "longer-starts"):
        return (("E", "256", "256", "dense"),)
    if table == "scales":
        each = [(net, s, q, method) for net, s, scales, method in _rows("4") for q in scales.split()]
        return tuple(dict.fromkeys(each))
    if table == "crops":
        return tuple((net, s, q, "multi-crop") for net, s, q, _ in _rows("3") if s == "256")
    if table == "jitter":
        return tuple((net, s, "384", "dense") for net in ("C", "D", "E") for s in ("384", "384+384", "256-512"))
    numbers = paper.numbers()
    numbers = numbers[numbers["table"].astype(str) == table]
    return tuple(numbers[["net", "train_scale", "test_scales", "method"]].itertuples(index=False, name=None))


def plan(
    preset_name: str,
    table: str = "all",
    nets: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    train_scales: Sequence[str] | None = None,
    **overrides,
) -> list[Entry]:
    """The numbers of a table: every row whose nets are all among `nets` and trained at one of `train_scales` ("256",
    "384", "256-512", "384+384"; default: all), for every seed (default: the preset's), whole seeds first. "all" takes
    every table in `TABLES`.

    `overrides` are fields of Experiment, such as width or epochs, and from_a, which concerns the nets that can start
    from A; None leaves the preset's. The later stages keep their share of learning rate and epochs.
    Raises ValueError for an unknown preset, table, net or field, and for an empty plan.
    """
    chosen = presets.named(preset_name)
    names = {"all": TABLES, "7": ("5", "6")}.get(table, (table,))  # Table 7 repeats rows of 5 and 6
    if not set(names) <= {*TABLES, *BESIDE}:
        raise ValueError(f"unknown table {table!r}: choose one of {', '.join(sorted((*TABLES, *BESIDE, '7')))}, all.")
    nets = tuple(TABLE_1) if nets is None else tuple(nets)
    seeds = chosen.seeds if seeds is None else tuple(seeds)
    for name, values in (("net", nets), ("seed", seeds)):
        if not values:
            raise ValueError(f"the plan has no {name}: name at least one.")
        if len(set(values)) != len(values):
            raise ValueError(f"a {name} is given twice in {', '.join(map(str, values))}: name each once.")
    for net in nets:
        config(net)
    fixed = {"net", "seed", "train_scale", "start", "weights"}
    known = {field.name for field in fields(Experiment)} - fixed | set(GROWN_ONLY)
    for key in overrides:
        if key not in known:
            raise ValueError(f"unknown setting {key!r}: choose one of {', '.join(sorted(known))}.")
    changed = {key: value for key, value in overrides.items() if value is not None}
    rows = [entry for seed in seeds for name in names for entry in _Recipe(chosen, seed, changed).entries(name)]
    own = [entry for entry in rows if {run.experiment.net for run in entry.runs} <= set(nets)]
    if not own:
        of = _each_once([run.experiment.net for run in entry.runs] for entry in rows)
        raise ValueError(f"table {table} has no row of {', '.join(nets)} alone: its rows are of {of}.")
    if train_scales is None:
        return own
    entries = [entry for entry in own if {run.experiment.scale_text for run in entry.runs} <= set(train_scales)]
    if not entries:
        at = _each_once([run.experiment.scale_text for run in entry.runs] for entry in own)
        asked = f"{', '.join(nets)} alone at S of {', '.join(train_scales)}"
        raise ValueError(f"table {table} has no row of {asked}: its rows of them are at S of {at}.")
    return entries


def _each_once(rows: Iterable[list[str]]) -> str:
    """What rows are of, such as "B; C & D" for rows of B and rows of C and D together."""
    return "; ".join(dict.fromkeys(" & ".join(sorted(set(names))) for names in rows))


def runs(entries: Sequence[Entry]) -> list[Run]:
    """The evaluations behind some entries, each once."""
    return list(dict.fromkeys(run for entry in entries for run in entry.runs))


def as_dict(thing: Experiment | Protocol | dict) -> dict:
    """Plain values for a record."""
    values = thing if isinstance(thing, dict) else asdict(thing)
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    return {key: as_dict(value) if isinstance(value, dict) else value for key, value in plain.items()}


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
