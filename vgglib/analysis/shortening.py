"""What is lost where only the most probable classes are stored, measured where all of them are (`most_probable`)."""

from __future__ import annotations

from itertools import combinations

import pandas as pd

from vgglib.answered import Reading
from vgglib.ensemble import mean_posteriors
from vgglib.experiments import runs
from vgglib.metrics import percent, wrong
from vgglib.most_probable import KEPT, WHOLE, restored, shortened
from vgglib.plans import plan
from vgglib.results import Store

TOP = (1, 5)


def rows(store: Store, preset: str, kept: int = KEPT) -> pd.DataFrame:
    """A line for every two of Table 3's nets trained at S = 256 with the same seed and each of `TOP`: errors of the
    mean of their posteriors, of which all classes are stored, and what becomes of them with `kept` classes of each net.

    Columns: `nets`, `seed`, `k`, the top-k errors in percent `whole` and `short`, and `changed`, the percentage of
    images that are wrong in one way only. No lines where a preset has so many classes that it stores only some. Raises
    ValueError for an unknown preset, for an altered record, and where nets were tested on different images.
    """
    entries = plan(preset, "3", seeds=store.seeds(preset) or None, train_scales=["256"])
    reading, lines = Reading(store, runs(entries)), []
    done = [entry for entry in entries if reading.done(entry.runs)]
    for pair in combinations(done, 2):
        if pair[0].seed != pair[1].seed:
            continue
        nets = " and ".join(entry.net for entry in pair)
        members, labels = reading.members([entry.runs[0] for entry in pair], f"the nets {nets}")
        classes = members[0].shape[1]
        if classes > WHOLE:
            break
        whole = mean_posteriors(members)
        short = mean_posteriors(restored(*shortened(own, kept), classes) for own in members)
        for k in TOP:
            missed = [wrong(own, labels, k) for own in (whole, short)]
            changed = percent(missed[0] != missed[1])
            lines.append((nets, pair[0].seed, k, *map(percent, missed), changed))
    return pd.DataFrame(lines, columns=["nets", "seed", "k", "whole", "short", "changed"])


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """For display, a line for each k of `rows`: means over pairs, and the largest difference between the errors."""
    lines = []
    for k, own in found.groupby("k"):
        difference = own["short"] - own["whole"]
        lines.append(
            {
                "Error (%)": f"top-{k}",
                "Pairs": str(len(own)),
                "All classes": f"{own['whole'].mean():.2f}",
                "Most probable ones": f"{own['short'].mean():.2f}",
                "Difference (points)": f"{difference.mean():+.3f}",
                "Largest": f"{difference.abs().max():.2f}",
                "Images that change sides (%)": f"{own['changed'].mean():.2f}",
            }
        )
    return pd.DataFrame(lines)
