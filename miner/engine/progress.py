"""Progress for people: a live bar on a terminal and in a notebook, a plain line every 15 seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_PLAIN_INTERVAL_S = 15.0
_NOTEBOOK_INTERVAL_S = 0.5

Later = Callable[[float], float]
_ALONE: tuple[str, Later | None] = ("", None)
_part: list[tuple[str, Later]] = []


@contextmanager
def part_of_whole(label: str, later_s: Later) -> Iterator[None]:
    """Let the bars of this context begin with `label`, and show the time left for the whole work too.

    Args:
        later_s: the seconds that the work after this part takes, by the rate of the bar in items per second.
    """
    _part.append((label, later_s))
    try:
        yield
    finally:
        _part.pop()


def time_in_words(seconds: float) -> str:
    """75 -> 75 s, 600 -> 10 min, 9000 -> 2.5 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _named(label: str, title: str) -> str:
    """("2/4 calibrate", "similarities") -> 2/4 calibrate, similarities; ("1/4 embed", "embed") -> 1/4 embed."""
    return label if label.endswith(f" {title}") else ", ".join(filter(None, [label, title]))


def _terminal_bar() -> "RichProgress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}")
    return Progress(*columns, console=Console(stderr=True), transient=True)


class Progress:
    """Counts the items of one piece of work, and shows rate and time left on standard error, or below the cell of a notebook.

    The time left follows from the mean rate of this run. `item` names the items in the plural. The items that an earlier run has
    `finished` do not count for the rate.
    """

    def __init__(self, title: str, total: int, item: str = "items", finished: int = 0) -> None:
        label, self._later_s = _part[-1] if _part else _ALONE
        self.title, self.total, self.item = _named(label, title), total, item
        self.count = self.finished = finished
        self.started = self._last_line = time.monotonic()
        self._bar: RichProgress | None = None
        self._display, self._cell = _notebook_display(), cast("Any", None)
        self._interval_s = _NOTEBOOK_INTERVAL_S if self._display else _PLAIN_INTERVAL_S

    def __enter__(self) -> Self:
        if self._display is None and sys.stderr.isatty():
            self._bar = _terminal_bar()
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=self.total, completed=self.finished, note="")
        return self

    @property
    def rate(self) -> float:
        """Items per second of this run."""
        return (self.count - self.finished) / max(time.monotonic() - self.started, 1e-9)

    def advance(self, items: int = 1, note: str = "") -> None:
        """Count `items` more; `note` is shown beside the rate."""
        self.count += items
        rate = self.rate
        per_s = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        text = ", ".join(filter(None, [f"{per_s} {self.item}/s", note, self._left(rate)]))
        if self._bar is not None:
            self._bar.update(self._task, completed=self.count, note=text)
        elif time.monotonic() - self._last_line >= self._interval_s:
            self._last_line = time.monotonic()
            self._show(f"{self.title}: {self.count:,} of {self.total:,} {self.item}, {text}")

    def _left(self, rate: float) -> str:
        if not rate:
            return ""
        left_s = (self.total - self.count) / rate
        whole = f" ({time_in_words(left_s + self._later_s(rate))} for all)" if self._later_s else ""
        return f"{time_in_words(left_s)} left{whole}"

    def _show(self, line: str) -> None:
        if self._display is None:
            return print(line, file=sys.stderr, flush=True)
        bar = f'<progress value="{self.count}" max="{self.total}"></progress> {escape(line)}'
        shown = {"text/plain": line, "text/html": bar}
        if self._cell is None:
            self._cell = self._display(shown, raw=True, display_id=True)
        else:
            self._cell.update(shown, raw=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._cell is not None:
            self._cell.update({"text/plain": "", "text/html": ""}, raw=True)


def _notebook_display() -> Callable[..., Any] | None:
    """`IPython.display.display` in a notebook, where an output can be replaced. A shell in a terminal has no kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return ipython.display.display if ipython and getattr(shell, "kernel", None) else None
