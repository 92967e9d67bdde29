"""A reproduction of Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition".

Modules to start from, each imported when it is first asked for, as in `vgglib.configs.config("D")`:

- `configs`, `models`: what a net is, and the net itself; `cost`: what it costs
- `experiments`, `plans`: what is run; `data`, `train`, `evaluate`: how
- `results`, `tables`, `claims`, `verdicts`: what comes out; `plots`: how it is shown

What these are made of, and what is built on them, is in the folders `training`, `running`, `weights`, `analysis`,
`display` and `bench`. The book's page on the API has them all, in an order to read them in.
"""

from importlib import import_module

__version__ = "0.1.0"

_FIRST = (
    *("configs", "models", "cost", "experiments", "plans", "data", "train", "evaluate"),
    *("results", "tables", "claims", "verdicts", "plots"),
)


def __getattr__(name: str):
    """Import a module of the library when it is asked for: all at once would take seconds, for torch above all."""
    missing = AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name.startswith("_"):  # what interpreters look for in any module
        raise missing
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":  # the module is there, and something that it needs is not
            raise
        raise missing from None


def __dir__() -> list[str]:
    """What an interpreter completes to: where to start, not every module."""
    return [*_FIRST, "__version__"]
