"""The sections of the page on speed: each displays what the records say, or how to make them where there are none."""

from __future__ import annotations

from vgglib import show
from vgglib.bench import bench_goals, bench_page, bench_plots
from vgglib.bench.bench_page import Records, where


def machine(records: Records) -> None:
    """Where the records were measured, and which of them were forced on a busy machine."""
    found = bench_page.machines(records)
    if not len(found):
        show.sentence("These results hold no timings yet. `vgg bench` makes them, and the next book shows them.")
        return
    caption = "Where and with what each record was measured, and how many cores other programs used just before a "
    show.table(found, caption + "measurement, at most")
    show.sentence(f"Timed with {'; '.join(bench_page.software(records))}.")
    if (found["Forced"] == "yes").any():
        show.sentence("What was timed with `--force` may have been disturbed by other programs.")


def compared(records: Records, suite: str, but: str = "") -> None:
    """The cases of a suite, without those that match `but`, as a figure, sentences and a table each."""
    for record in _of(records, suite):
        names, on = bench_page.cases(record, but=but), f"{record['title']} on {where(record)}"
        if bench_page.rivals(record)["case"].isin(names).any():
            show.picture(
                bench_plots.advantages(record, names),
                f"{on}: how many times as fast ours is as each of the others, with intervals, on a logarithmic axis",
                f"{on}: how many times as fast ours is, with 95 % intervals where there are rounds enough. Right of "
                "the line ours is faster.",
            )
        _list([bench_page.said(record, name) for name in names])
        for name in names:
            show.table(bench_page.contenders(record, name), f"{on}: {name}")


def lrn(records: Records) -> None:
    """Net A-LRN beside net A."""
    for record in _of(records, "training"):
        for name in bench_page.cases(record, bench_page.LRN):
            show.table(bench_page.lrn(record, name), f"{record['title']} on {where(record)}: {name}")


def user(records: Records) -> None:
    """How long a user waits."""
    for record in _of(records, "user"):
        show.table(bench_page.user(record), f"{record['title']} on {where(record)}: seconds to wait for each command")
        show.sentence(bench_page.torch_said(record))


def growth(records: Records) -> None:
    """How cost grows along each axis."""
    for record in _of(records, "growth"):
        said, on = bench_page.growth_said(record), where(record)
        show.picture(
            bench_plots.growth(record),
            f"How speed and cost change on {on}, a panel for each axis; sentences below name the ends of each curve",
            f"How speed and cost change on {on}: medians, with 95 % intervals where there are rounds enough. Axes "
            "whose values differ much are logarithmic.",
        )
        _list(said)


def before_and_after(records: Records) -> None:
    """Gains since earlier commits."""
    found = bench_page.before_and_after(records)
    if len(found):
        show.table(found, "This project at an earlier commit beside the present one, in the same rounds")
        return
    how = "`vgg bench --against COMMIT` times both."
    show.sentence(f"No record has an earlier version of this project beside the present one. {how}")


def reached(records: Records) -> None:
    """What was to be reached, and plainly what was not, who is faster, and who could not be timed."""
    if not bench_page.each(records):
        show.sentence("Nothing has been timed yet.")
        return
    # A user's limits stand in the table of that section already.
    found = bench_goals.reached({suite: [] if suite == "user" else some for suite, some in records.items()})
    show.table(found, "What was to be reached, and what ours reached")
    _list(
        bench_goals.not_held(records)
        or ["All limits of what was timed are met, and none of its rivals is as fast as ours."]
    )
    found = bench_page.left_out(records)
    if len(found):
        show.table(found, "Contenders that could not be timed, and why")


def durations(records: Records) -> None:
    """How long it takes to make the records again."""
    found = bench_page.durations(records)
    if len(found):
        caption = "How long the measurements of each record took, without what is prepared once and the waiting for a "
        show.table(found, caption + "quiet machine")


def _of(records: Records, suite: str) -> list[dict]:
    """The records of a suite; where there is none, a sentence says how to make one."""
    if not records[suite]:
        show.sentence(f"These results hold no such timings yet. `vgg bench {suite}` makes them.")
    return records[suite]


def _list(texts: list[str]) -> None:
    show.sentence("\n".join(f"- {text}" for text in texts))
