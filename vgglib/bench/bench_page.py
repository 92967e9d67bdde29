"""Records of timings as the page on speed shows them: tables and sentences for readers (figures: `bench_plots`)."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from statistics import median

import pandas as pd

from vgglib import bench
from vgglib.bench import OURS

DEVICES = {"cpu": "the processor", "cuda": "the GPU"}
LRN = "*A-LRN*"  # the cases in which ours is A-LRN, and net A stands beside it
NET_A = f"{OURS}, net A"
STEP = "a step on a ready batch, "  # begins the names of cases without stored images
COMPILED = "compiled"  # ours with `torch.compile`
BEFORE = f"{OURS} at "  # begins the name of a contender that is this project at an earlier commit
PART = " alone"  # ends the name of a contender that does only a part of the work
EXTRAS = {  # further values of a measurement: the column they get, and what to multiply them with
    "peak_share": ("% of the matrix peak", 100),
    "peak_memory_bytes": ("Memory, GB", 1e-9),
    "cuda_memory_bytes": ("GPU's memory, GB", 1e-9),
    "seconds_to_first_step": ("To the first step, s", 1),
    "loading_seconds": ("of it reading the images, once, s", 1),
    "threads": ("Threads or workers", 1),
}
IMAGES = {"drawn": "drawn", "tiny-imagenet": "Tiny ImageNet, where they are read from files"}
Records = dict[str, list[dict]]


def records(root: Path | None = None) -> Records:
    """All records by suite, the processor's before the GPU's; ValueError names one that was altered."""
    found = {suite: [bench.kept(suite, device, root) for device in DEVICES] for suite in bench.SUITES}
    return {suite: [record for record in both if record] for suite, both in found.items()}


def where(record: dict) -> str:
    """The kind of device, as a reader calls it."""
    return DEVICES[record["device"]]


def cases(record: dict, pattern: str = "*", but: str = "") -> list[str]:
    """Names of the cases in which contenders are compared that match `pattern`, and not `but`."""
    names = [case["name"] for case in record["cases"] if not case["points"]]
    return [name for name in names if fnmatch.fnmatch(name, pattern) and not fnmatch.fnmatch(name, but)]


def rivals(record: dict, case: str | None = None) -> pd.DataFrame:
    """`bench.summary`, of one case or all, of what is compared with ours: without growth, ours, and ours at earlier
    commits.
    """
    found = bench.summary(record, case)
    return found[found["advantage"].notna() & ~found["contender"].str.startswith(BEFORE)]


def machines(all_records: Records) -> pd.DataFrame:
    """Where, with what and in what company each record was measured: a line for all cases that have that in common."""
    lines: dict[tuple, dict] = {}
    for record in each(all_records):
        for case in record["cases"]:
            environment = case["environment"]
            line = {
                "Timings": record["title"],
                "Device": environment["device_name"],
                "Threads of cores": f"{environment['threads']} of {environment['cores']}",
                "Images": IMAGES[case["images"]],
                "Forced": "yes" if case["forced"] else "no",
                "Commit": _commit(environment),
            }
            found = lines.setdefault(tuple(line.values()), {**line, "cases": 0, "others": 0.0, "measured": ""})
            found["cases"] += 1
            found["others"] = max([found["others"], *(one["used_cores_before"] for one in case["measurements"])])
            found["measured"] = max(found["measured"], environment["measured_utc"][:16].replace("T", " "))
    names = {"cases": "Cases", "others": "Cores used by other programs, at most", "measured": "Measured until, UTC"}
    return pd.DataFrame(list(lines.values())).rename(columns=names).round({names["others"]: 2})


def _commit(environment: dict) -> str:
    return (environment["commit"] or "-")[:9] + (", changed" if environment["dirty"] else "")


def software(all_records: Records) -> list[str]:
    """Versions with which anything was timed, a text for each set of them."""
    found = {}
    for record in each(all_records):
        for environment in (case["environment"] for case in record["cases"]):
            versions = [f"{name} {version}" for name, version in environment["versions"].items() if version]
            found[", ".join([f"Python {environment['python']}", *versions])] = None
    return list(found)


def contenders(record: dict, case: str) -> pd.DataFrame:
    """One line per contender of a case, ours first; columns that no contender has a value for are left out."""
    found = _present(record, case)
    extras = {column: _extra(record, case, name) for name, (column, _) in EXTRAS.items()}
    lines = []
    for row in found.itertuples():
        line = {
            "Contender": row.contender,
            f"Median, {row.unit}": number(row.median),
            "95 % interval": span(row.low, row.high),
            "Ours, times as fast": number(row.advantage),
            "Its 95 % interval": span(row.advantage_low, row.advantage_high),
        }
        lines.append(line | {column: by.get(row.contender, "-") for column, by in extras.items()})
    table = pd.DataFrame(lines)
    return table[[column for column in table if column not in extras or (table[column] != "-").any()]]


def _extra(record: dict, case: str, name: str) -> dict[str, str]:
    """Contender -> median of a further value, in the unit of its column."""
    form = "{:,g}".format if name == "threads" else number
    found: dict[str, list[float]] = {}
    for one in _case(record, case)["measurements"]:
        value = one["values"].get(name, one.get(name))
        if value is not None:
            found.setdefault(one["contender"], []).append(EXTRAS[name][1] * value)
    return {contender: form(median(values)) for contender, values in found.items()}


def _present(record: dict, case: str) -> pd.DataFrame:
    """`bench.summary` of a case, without earlier commits."""
    found = bench.summary(record, case)
    return found[~found["contender"].str.startswith(BEFORE)]


def _case(record: dict, name: str) -> dict:
    return next(case for case in record["cases"] if case["name"] == name)


def said(record: dict, case: str) -> str:
    """What a case says, in one sentence: ours beside the fastest and the slowest of the others."""
    found = bench.summary(record, case)
    ours = found[found["contender"] == OURS]
    if ours.empty:
        return f"**{case}**: this project was not timed."
    ours, others = ours.iloc[0], rivals(record, case)
    others = others[~others["contender"].str.endswith(PART)].sort_values("advantage")
    text = f"**{case}**: {number(ours['median'])} {ours['unit']}{in_brackets(span(ours['low'], ours['high']))}"
    texts = [
        f"{number(row.advantage)} times as fast as {row.contender}"
        f"{in_brackets(span(row.advantage_low, row.advantage_high))}"
        for row in others.iloc[[0, -1] if len(others) > 1 else slice(None)].itertuples()
    ]
    return ", ".join([text, " and ".join(texts)] if texts else [text]) + "."


def lrn(record: dict, case: str) -> pd.DataFrame:
    """How many times the time of net A a net with normalisation takes, from pairs in the same round."""
    found = _present(record, case)
    lines = []
    for row in found.itertuples():
        times = None if row.contender == NET_A else paired(record, case, NET_A, row.contender)
        lines.append(
            {
                "Net": "A-LRN, this project" if row.contender == OURS else row.contender,
                f"Median, {row.unit}": number(row.median),
                "95 % interval": span(row.low, row.high),
                "Times the time of net A": number(times[0]) if times else "-",
                "Its 95 % interval": span(*times[1:]) if times else "-",
            }
        )
    return pd.DataFrame(lines)


def paired(record: dict, case: str, above: str, below: str) -> tuple[float, float, float]:
    """The median, over rounds, of one contender's value over another's, and the interval of that."""
    found = bench.values(record)

    def by_round(contender: str) -> pd.Series:
        return found[(found["case"] == case) & (found["contender"] == contender)].set_index("round")["value"]

    return bench.with_interval((by_round(above) / by_round(below)).dropna())


def user(record: dict) -> pd.DataFrame:
    """How long a user waits for each command, and whether that is within its limit."""
    found = bench.summary(record)
    by_name = bench.limits(record).set_index("case")
    alone = found[found["contender"].str.endswith(PART)].set_index("case")["median"]
    commits = {case["name"]: _commit(case["environment"]) for case in record["cases"]}
    lines = []
    for row in found[found["contender"] == OURS].itertuples():
        limit = by_name.loc[row.case] if row.case in by_name.index else None
        lines.append(
            {
                "Wait for": row.case,
                "Seconds, median": number(row.median),
                "95 % interval": span(row.low, row.high),
                "Python alone, beside it": number(alone.get(row.case)),
                "Limit": "-" if limit is None else f"{limit['limit']:,g}",
                "Met": "-" if limit is None else "yes" if limit["met"] else "no",
                "Commit": commits[row.case],
            }
        )
    return pd.DataFrame(lines)


def torch_said(record: dict) -> str:
    """Which of a user's commands import PyTorch, whose import alone takes longer than either of them may."""
    found = bench.values(record, "torch_imported").groupby("case", sort=False)["value"].max()
    return " ".join(f"`{case}` {'imports' if any_ else 'does without'} PyTorch." for case, any_ in found.items())


def growth_said(record: dict) -> list[str]:
    """From the first point of every axis to the last, a sentence each."""
    found = bench.summary(record).groupby("case", sort=False)
    texts = []
    for case, rows in ((name, found.get_group(name)) for name in points(record) if name in found.groups):
        first, last = rows.iloc[0], rows.iloc[-1]
        texts.append(
            f"**{case}**: {number(first['median'])} {first['unit']} at {first['contender']}, {number(last['median'])} "
            f"at {last['contender']}, {number(last['median'] / first['median'])} times as much."
        )
    return texts


def points(record: dict) -> list[str]:
    """Names of the cases whose contenders are values along an axis."""
    return [case["name"] for case in record["cases"] if case["points"]]


def before_and_after(all_records: Records) -> pd.DataFrame:
    """This project at an earlier commit beside the present one, wherever both were timed in the same rounds."""
    lines = []
    for record in each(all_records):
        found = bench.summary(record)
        now = found[found["contender"] == OURS].set_index("case")
        for row in found[found["contender"].str.startswith(BEFORE) & found["advantage"].notna()].itertuples():
            lines.append(
                {
                    "Case": row.case,
                    "On": where(record),
                    "Before": row.contender.removeprefix(BEFORE),
                    "Unit": row.unit,
                    "Median before": number(row.median),
                    "Median now": number(now.loc[row.case, "median"]),
                    "Now, times as fast": number(row.advantage),
                    "Its 95 % interval": span(row.advantage_low, row.advantage_high),
                }
            )
    return pd.DataFrame(lines)


def left_out(all_records: Records) -> pd.DataFrame:
    """Who could not be timed, and why."""
    return pd.DataFrame(
        [
            {"Case": case["name"], "On": where(record), "Contender": out["contender"], "Reason": out["reason"]}
            for record in each(all_records)
            for case in record["cases"]
            for out in case["left_out"]
        ]
    )


def durations(all_records: Records) -> pd.DataFrame:
    """Commands that make the records again, and how long their measurements took."""
    lines = []
    for record in each(all_records):
        measured = [one for case in record["cases"] for one in case["measurements"]]
        images = " --images FOLDER" if any(case["images"] != "drawn" for case in record["cases"]) else ""
        device = "" if record["device"] == "cpu" else f" --device {record['device']}"
        minutes = sum(one["seconds"] for one in measured) / 60
        command = f"vgg bench {record['suite']}{device}{images}"
        lines.append({"Command": command, "Measurements": len(measured), "Minutes": f"{minutes:,.1f}"})
    return pd.DataFrame(lines)


def number(value: float | None) -> str:
    """Three digits, or all of those before the point."""
    if value is None or pd.isna(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def span(low: float, high: float) -> str:
    """The ends of an interval, "-" where there is none."""
    return "-" if pd.isna(low) or pd.isna(high) else f"{number(low)} to {number(high)}"


def in_brackets(text: str) -> str:
    """A `span` to follow a number, nothing where there is none."""
    return "" if text == "-" else f" ({text})"


def each(all_records: Records) -> list[dict]:
    """The records of all suites and devices."""
    return [record for some in all_records.values() for record in some]
