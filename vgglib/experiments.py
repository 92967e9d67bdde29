"""What can be run: `Experiment` (one trained net), `Protocol` (one way to test it), presets, and what each table
needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace

from vgglib.configs import GROWN_NETS, INITIALISATIONS, TABLE_1, config

CROP = 224  # side of the training crop, in the paper's pixels (Sect. 2.1)


@dataclass(frozen=True)
class Experiment:
    """One net trained once. Scales are the paper's (224, 256, 384 ...); `resolution` turns them into pixels."""

    net: str
    seed: int
    train_scale: int = 256  # S, Sect. 3.1
    resolution: float = 1.0
    width: float = 1.0
    batch_size: int = 256  # Sect. 3.1
    momentum: float = 0.9  # Sect. 3.1
    weight_decay: float = 5e-4  # Sect. 3.1
    dropout: float = 0.5  # Sect. 3.1
    learning_rate: float = 1e-2  # Sect. 3.1
    initialisation: str = "glorot"  # footnote of Sect. 3.1
    # Whether some layers start from a net A trained with the same settings and seed (Sect. 3.1); the rest are random.
    from_a: bool = False
    epochs: int = 74  # Sect. 3.1
    patience: int = 5  # epochs without improvement on minival before the rate drops; the paper gives no number
    drops: int = 3  # Sect. 3.1
    # Shares of `epochs` by which each drop happens at the latest; () waits for the plateau however long it takes.
    drop_deadlines: tuple[float, ...] = ()
    precision: str = "auto"  # bf16 where the hardware multiplies it, else fp32; or either by name

    def __post_init__(self):
        object.__setattr__(self, "drop_deadlines", tuple(self.drop_deadlines))
        config(self.net).scaled(self.width)
        if self.train_scale < CROP:
            raise ValueError(
                f"S is {self.train_scale}, smaller than the crop of {CROP}: images must not be smaller than the crop."
            )
        for name in ("batch_size", "epochs", "patience", "learning_rate", "resolution"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be greater than 0 and finite.")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}: it must be 0 or greater.")
        if self.from_a and self.net not in GROWN_NETS:
            raise ValueError(f"net {self.net} cannot start from A: only {', '.join(GROWN_NETS)} can.")
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

    def pixels(self, scale: int) -> int:
        """The paper's scale in pixels of this experiment; the only place where the two meet."""
        return round(scale * self.resolution)

    @property
    def crop(self) -> int:
        """Side of the training crop in pixels."""
        return self.pixels(CROP)

    @property
    def donor(self) -> Experiment | None:
        """The training of net A that this net starts from, if any."""
        return replace(self, net="A", from_a=False) if self.from_a else None

    @property
    def name(self) -> str:
        return f"{self.net}_S{self.train_scale}_seed{self.seed}"


@dataclass(frozen=True)
class Protocol:
    """How a trained net is tested (Sect. 3.2): dense evaluation at `test_scale` (Q), with the mirror image or
    without.
    """

    test_scale: int = 256
    method: str = "dense"
    flip: bool = True

    def __post_init__(self):
        if self.test_scale < CROP:
            raise ValueError(
                f"Q is {self.test_scale}, smaller than the crop of {CROP}: images must not be smaller than the crop."
            )
        if self.method != "dense":
            raise ValueError(f"unknown method {self.method!r}: choose dense.")

    @property
    def name(self) -> str:
        return f"{self.method}_Q{self.test_scale}" + ("" if self.flip else "_noflip")


@dataclass(frozen=True)
class Preset:
    """A data set at a size, and the recipe that goes with it."""

    name: str
    data: dict  # arguments of `vgglib.data.load`, the folder excepted
    recipe: dict  # fields of Experiment that differ from the paper's
    seeds: tuple[int, ...]
    needs_folder: bool = False
    grow: bool = False  # start B, C, D and E from a trained A, as the authors did at first


# Pilots on small sets: this start leaves chance two to four times sooner than Glorot at 1e-2 and starts deep nets as
# safely as A.
SMALL_RECIPE = {
    "resolution": 1
    / 4,  # the smallest at which 224 gives one cell after pool5 and 256 gives two, as 7 and 8 in the paper
    "initialisation": "he-fan-out",
    "learning_rate": 2e-2,
    "drop_deadlines": (0.6, 0.8, 0.93),
}

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "smoke",
            {"name": "shapes", "train_images": 240, "val_images": 120, "smallest_side": 64},
            {**SMALL_RECIPE, "width": 1 / 64, "batch_size": 32, "epochs": 2},
            seeds=(0,),
        ),
        Preset(
            "demo",
            {"name": "shapes", "train_images": 4000, "val_images": 2000, "smallest_side": 64},
            {**SMALL_RECIPE, "width": 1 / 8, "batch_size": 32, "learning_rate": 1.5e-3, "epochs": 12, "patience": 3},
            seeds=(0,),
            grow=True,
        ),
        Preset(
            "tiny-imagenet",
            {"name": "tiny-imagenet"},
            {**SMALL_RECIPE},
            seeds=(0,),
            needs_folder=True,
        ),
        Preset(
            "tiny-imagenet-50",
            {"name": "tiny-imagenet", "classes": 50},
            {**SMALL_RECIPE, "width": 1 / 4, "batch_size": 128, "epochs": 40},
            seeds=(0,),
            needs_folder=True,
        ),
        Preset(
            "folder",
            {"name": "folder", "smallest_side": 128},
            {**SMALL_RECIPE, "width": 1 / 4, "batch_size": 64, "epochs": 40},
            seeds=(0,),
            needs_folder=True,
        ),
    )
}


def preset(name: str) -> Preset:
    """The preset called `name`; ValueError for an unknown one."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


@dataclass(frozen=True)
class Run:
    """One number of a table: an experiment tested by a protocol, within a preset.

    `overrides` names the recipe fields that were set by hand, so that such a run never passes for the preset's own.
    """

    preset: str
    experiment: Experiment
    protocol: Protocol
    overrides: tuple[tuple[str, object], ...] = ()

    @property
    def donor(self) -> Run | None:
        """The run of net A that this one starts from, if any."""
        if not self.experiment.from_a:
            return None
        overrides = tuple((key, value) for key, value in self.overrides if key != "from_a")
        return replace(self, experiment=self.experiment.donor, overrides=overrides)

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


# Nets of each table, in the paper's order. The S = 384 and jittered rows of Table 3 need further training stages.
TABLES: dict[str, tuple[str, ...]] = {
    "3": ("A", "A-LRN", "B", "C", "D", "E"),
    "5x5": ("B", "B-5x5"),
    "all": tuple(TABLE_1),
}


def plan(
    preset_name: str,
    table: str = "all",
    nets: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    **overrides,
) -> list[Run]:
    """The runs behind a table: every net of `nets` (default: the table's) for every seed (default: the preset's),
    whole seeds first.

    `overrides` are fields of Experiment, such as width or epochs; None leaves the preset's, and
    `from_a` concerns the nets that can. Raises ValueError for an unknown preset, table, net or field, and for an
    empty plan.
    """
    chosen = preset(preset_name)
    if table not in TABLES:
        raise ValueError(f"unknown table {table!r}: choose one of {', '.join(TABLES)}.")
    nets = TABLES[table] if nets is None else tuple(nets)
    seeds = chosen.seeds if seeds is None else tuple(seeds)
    for name, values in (("net", nets), ("seed", seeds)):
        if not values:
            raise ValueError(f"the plan has no {name}: name at least one.")
        if len(set(values)) != len(values):
            raise ValueError(f"a {name} is given twice in {', '.join(map(str, values))}: name each once.")
    known = {field.name for field in fields(Experiment)} - {"net", "seed", "train_scale"}
    for key in overrides:
        if key not in known:
            raise ValueError(f"unknown setting {key!r}: choose one of {', '.join(sorted(known))}.")
    changed = {key: value for key, value in overrides.items() if value is not None}
    runs = []
    for seed in seeds:
        for net in nets:
            usual = Experiment(net=net, seed=seed, from_a=chosen.grow and net in GROWN_NETS, **chosen.recipe)
            fitting = {k: v for k, v in changed.items() if k != "from_a" or net in GROWN_NETS}
            different = {k: v for k, v in sorted(fitting.items()) if getattr(usual, k) != v}
            experiment = replace(usual, **different)
            runs.append(Run(preset_name, experiment, Protocol(experiment.train_scale), tuple(different.items())))
    return runs


def as_dict(thing: Experiment | Protocol) -> dict:
    """Plain values for a record."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(thing).items()}
