"""What tables need: `plan` lists their numbers, and the runs that each is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from vgglib import catalogue, paper, presets
from vgglib.catalogue import LONGER, OF_STARTS, SHORTER, STARTS
from vgglib.configs import GROWN_NETS, TABLE_1, config
from vgglib.experiments import GROWN_ONLY, JITTER, Entry, Experiment, Protocol, Run, in_full
from vgglib.presets import Preset

TESTS = {"dense": "3", "multi-crop": "crops"}  # the tables that hold the nets of Table 3 at S = 256, by way to test
LATER_STAGES_SLOWER = 10  # learning rate of the first stage over that of the later ones: 1e-2 and 1e-3 in Sect. 3.1
_DEFAULTS = {field.name: field.default for field in fields(Experiment)}
_FROM = (
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
    trainings: dict = field(default_factory=dict)  # that were made already: tables share most of them

    def runs(self, net: str, train_scale: str, test_scales: str, method: str, **start) -> tuple[Run, ...]:
        """A run for every scale and method; "multi-crop & dense" is two methods. `train_scale` is as in `Entry`,
        `start` are settings of a comparison, marked in the name like those by hand.
        """
        experiment, different = self._training(net, train_scale, start)
        protocols = [Protocol.usual(q, how) for how in method.split(" & ") for q in test_scales.split()]
        return tuple(Run(self.preset.name, experiment, protocol, different) for protocol in protocols)

    def _training(self, net: str, train_scale: str, start: dict) -> tuple[Experiment, tuple]:
        """A training, and those of its settings that are not the preset's."""
        asked = net, train_scale, *start.items()
        if asked not in self.trainings:
            self.trainings[asked] = self._made(net, train_scale, start)
        return self.trainings[asked]

    def _made(self, net: str, train_scale: str, start: dict) -> tuple[Experiment, tuple]:
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
        for line in catalogue.TABLES[table].lines():
            for start in self._starts(table):
                yield Entry(table, *line, self.runs(*line, **start))

    def _starts(self, table: str) -> Sequence[dict]:
        """The settings in which rows of one net, S and Q differ."""
        if table not in OF_STARTS:
            return ({},)
        from_a, *others = _FROM
        grown, _ = self._training("E", "256", from_a)
        together = grown.start.epochs + grown.epochs
        return {
            STARTS: _FROM,
            LONGER: [{**start, "epochs": together} for start in others],
            SHORTER: [{**from_a, "epochs": max(1, grown.epochs // 2)}],
        }[table]


def first_stage(preset: str, net: str, seed: int = 0, **overrides) -> Run:
    """The run of a preset's net trained at S = 256 and tested at Q = 256; `overrides` and ValueError as `plan`."""
    return plan(preset, "5x5" if net == "B-5x5" else "3", [net], [seed], ["256"], **overrides)[0].runs[0]


def command(run: Run) -> str:
    """The command line that trains and tests one net of a preset, without the folder of its records."""
    table = "jitter" if run.experiment.scale_text == "384+384" else "5x5" if run.experiment.net == "B-5x5" else "3"
    words = [f"--table {table}", f"--nets {run.experiment.net}"]
    words += [f"--train-scales {run.experiment.scale_text}", f"--seeds {run.experiment.seed}"]
    return command_line(run.preset, *words, *options(dict(run.overrides)))


def command_line(preset: str, *options: str) -> str:
    """The command line that runs a preset's plan, or what `options` make of it, with a folder of images where it needs
    one.
    """
    images = ["--data-dir path/to/images"] * presets.named(preset).needs_folder
    return " ".join([f"vgg run --preset {preset}", *images, *options])


def options(overrides: Mapping[str, object]) -> list[str]:
    """`overrides` of `plan` as the command line takes them."""
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in overrides.items()}
    return [option(key, in_full(value)) for key, value in values.items() if value is not None]


def option(key: str, value: str) -> str:
    """A setting of `plan` as the command line takes it."""
    name = key.replace("_", "-")
    return f"--{name} {value}" if key != "from_a" else f"--{'' if value == 'True' else 'no-'}{name}"


def plan(
    preset_name: str,
    table: str = "all",
    nets: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    train_scales: Sequence[str] | None = None,
    **overrides,
) -> list[Entry]:
    """The numbers of a table, or of several ("3,4"): every row whose nets are all among `nets` and trained at one of
    `train_scales` ("256", "384", "256-512", "384+384"; default: all), for every seed (default: the preset's), whole
    seeds first. "all" takes every table that `catalogue.TABLES` has as part of it.

    `overrides` are fields of Experiment, such as width or epochs, and from_a, a bool that concerns the nets which can
    start from A; None leaves the preset's. The later stages keep their share of learning rate and epochs.
    Raises ValueError for an unknown preset, table, net or field, for an empty plan, and as `paper.check` does.
    """
    paper.check()  # else records would go where nobody looks for them
    chosen = presets.named(preset_name)
    names = []
    for one in map(str.strip, str(table).split(",")):
        if one not in catalogue.known():
            raise ValueError(f"unknown table {one!r}: choose one of {', '.join(catalogue.known())}.")
        names += catalogue.SAME_AS.get(one, (one,))
    names = dict.fromkeys(names)
    for name, values, example in (
        ("nets", nets, "['A']"),
        ("seeds", seeds, "[0]"),
        ("train_scales", train_scales, "['256']"),
    ):
        if isinstance(values, str | int):
            raise ValueError(f"{name} is {values!r}: give a list, such as {example}.")
    nets = tuple(TABLE_1) if nets is None else tuple(nets)
    seeds = chosen.seeds if seeds is None else tuple(seeds)
    scales = None if train_scales is None else tuple(map(str, train_scales))
    for name, values in (("net", nets), ("seed", seeds), ("train scale", ("any",) if scales is None else scales)):
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
    # Notebooks have lists where an experiment has tuples.
    overrides = {key: tuple(value) if isinstance(value, list) else value for key, value in overrides.items()}
    changed = {key: value for key, value in overrides.items() if value is not None}
    for key in GROWN_ONLY:
        if not isinstance(value := changed.get(key, False), bool):  # text such as "false" would count as true
            raise ValueError(f"{key} is {value!r}: it must be True or False.")
    recipes = [_Recipe(chosen, seed, changed) for seed in seeds]
    rows = [entry for recipe in recipes for name in names for entry in recipe.entries(name)]
    own = [entry for entry in rows if {run.experiment.net for run in entry.runs} <= set(nets)]
    if not own:
        of = _each_once([run.experiment.net for run in entry.runs] for entry in rows)
        raise ValueError(f"table {table} has no row of {', '.join(nets)} alone: its rows are of {of}.")
    if scales is None:
        return own
    entries = [entry for entry in own if {run.experiment.scale_text for run in entry.runs} <= set(scales)]
    if not entries:
        at = _each_once([run.experiment.scale_text for run in entry.runs] for entry in own)
        asked = f"{', '.join(nets)} alone at S of {', '.join(scales)}"
        raise ValueError(f"table {table} has no row of {asked}: its rows of them are at S of {at}.")
    return entries


def _each_once(rows: Iterable[list[str]]) -> str:
    """What rows are of, such as "B; C & D" for rows of B and rows of C and D together."""
    return "; ".join(dict.fromkeys(" & ".join(sorted(set(names))) for names in rows))
