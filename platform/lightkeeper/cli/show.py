"""How results are shown: one JSON document, or text that fits the terminal.

It knows no command; the options that commands share are in `options`. Text of people and of data is shown, never
interpreted: no markup, no control characters.
"""

from __future__ import annotations

import json
import math
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import typer

from lightkeeper.cli import NOBODY_READS, UNLIMITED, write_out
from lightkeeper.values import plural

if TYPE_CHECKING:
    from polars import DataFrame, DataType
    from polars.datatypes import DataTypeClass
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table

__all__ = [
    "Column", "WithSentences", "cell", "count", "counted", "did_you_mean", "dim", "facts", "grid", "moment", "plain", "preview",
    "print_json", "print_text", "records", "sentence", "short", "size", "text", "timestamp", "type_name", "width",
]  # fmt: skip

_GAP = 2  # blanks between columns
_LONGEST = 40  # characters of one value in a preview


# -- printing ---------------------------------------------------------------------------------------------------


def print_json(document: Mapping[str, object]) -> None:
    """One JSON document on stdout. Days and times are ISO 8601, bytes hex, decimals and non-finite floats text."""
    _write(json.dumps(plain(document), indent=2, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """The value in JSON's own types."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def print_text(*parts: RenderableType) -> None:
    """Text and tables on stdout; styled only where stdout is a terminal and NO_COLOR is not set."""
    console = _console()
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    _write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def _write(text: str) -> None:
    if not write_out(text):
        raise typer.Exit(NOBODY_READS)


def _console() -> Console:
    from rich.console import Console

    styled = not os.environ.get("NO_COLOR")
    return Console(width=width(), color_system="auto" if styled else None, highlight=False, markup=False, emoji=False)


def width() -> int:
    """Columns that a line may have: those of the terminal, or COLUMNS; without either lines are as long as they are."""
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given):
        return int(given)
    return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else UNLIMITED


# -- values as text ---------------------------------------------------------------------------------------------


def text(value: object) -> str:
    """The value in one line; control characters are written out, so that no text can drive the terminal."""
    found = str(value)
    return found if found.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in found)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii") if ord(character) != 0xA0 else " "  # noqa: PLR2004 - a blank


def cell(value: object) -> str:
    """One value of a frame, at most 40 characters; a list as `a, b, c`."""
    found = _listed(value) if isinstance(value, list) else _single(value)
    return found if len(found) <= _LONGEST else f"{found[: _LONGEST - 1]}…"


def _listed(values: Sequence[object]) -> str:
    return ", ".join(_single(one) for one in values)


def _single(value: object) -> str:
    return "null" if value is None else text(plain(value))


def count(number: int | None) -> str:
    """`1,021,122`; `-` for what is not known."""
    return "-" if number is None else f"{number:,}"


def counted(number: int | None, what: str = "row") -> str:
    """`1 row`, `1,021,122 rows`; `- rows` for what is not known; of days, runs and whatever else has a plural in s."""
    return f"{count(None)} {what}s" if number is None else plural(number, what)


def did_you_mean(name: str, there: Iterable[str], otherwise: str, most: int = 1, cutoff: float = 0.6) -> str:
    """What to say of a name that is not there: the nearest that are, else what stands in `otherwise`."""
    near = get_close_matches(name, sorted(there), most, cutoff)
    return f"Did you mean {', '.join(near)}?" if near else otherwise


def size(number: int | None) -> str:
    """`12.3 MB`, in powers of ten; `-` for what is not known."""
    if number is None:
        return "-"
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:  # noqa: PLR2004 - 1000 would have four digits
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def moment(at: datetime | None) -> str:
    """`2026-10-24 00:00`, UTC; `-` for what is not known."""
    return "-" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def timestamp(at: datetime | None) -> str | None:
    """ISO 8601, for JSON."""
    return None if at is None else at.isoformat()


def short(run: str | None) -> str:
    """The first 8 characters of a run's id, as Dagster shows it; `-` for none."""
    return "-" if run is None else text(run[:8])


def type_name(dtype: DataType) -> str:
    """The type as `table migrate` takes it: `Int64`, `Datetime(UTC)`, `Decimal(10,2)`; lists and structs likewise."""
    import polars as pl

    if isinstance(dtype, pl.Datetime):
        return "Datetime" if dtype.time_zone is None else f"Datetime({dtype.time_zone})"
    if isinstance(dtype, pl.Decimal):
        return f"Decimal({dtype.precision},{dtype.scale})"
    if isinstance(dtype, pl.List):
        return f"List({type_name(_instance(dtype.inner))})"
    if isinstance(dtype, pl.Struct):
        return f"Struct({', '.join(f'{text(one.name)}: {type_name(_instance(one.dtype))}' for one in dtype.fields)})"
    return str(dtype)


def _instance(dtype: DataType | DataTypeClass) -> DataType:
    import polars as pl

    return dtype if isinstance(dtype, pl.DataType) else dtype()


# -- tables -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a text table.

    Attributes:
        head: its heading.
        cells: its values, one a row.
        right: whether it is aligned to the right.
        rank: in a narrow terminal the column with the highest rank goes first; 0 stays.
        least: characters to which it may be cut; 0 when it may not be cut.
    """

    head: str
    cells: Sequence[str]
    right: bool = False
    rank: int = 0
    least: int = 0

    @property
    def natural(self) -> int:
        """Characters of its longest cell."""
        from rich.cells import cell_len

        return max((cell_len(one) for one in (self.head, *self.cells)), default=0)

    @property
    def needed(self) -> int:
        """Characters that it cannot do without."""
        return min(self.natural, self.least) if self.least else self.natural


def _fitting(columns: Sequence[Column], room: int) -> list[Column]:
    kept = list(columns)
    while sum(one.needed + _GAP for one in kept) - _GAP > room and any(one.rank for one in kept):
        kept.remove(max(kept, key=lambda one: one.rank))
    return kept


def grid(columns: Sequence[Column]) -> tuple[Table, list[str]]:
    """A table that fits the terminal, one line a row; and the headings left out."""
    from rich.table import Table
    from rich.text import Text

    room = width()
    kept = _fitting(columns, room)
    spare = room - sum(one.needed + _GAP for one in kept) + _GAP
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold", show_edge=False)
    for one in kept:
        wide = min(one.natural, one.needed + max(spare, 0))
        spare -= wide - one.needed
        justify = "right" if one.right else "left"
        table.add_column(Text(one.head), justify=justify, width=wide, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
    for row in zip(*(one.cells for one in kept), strict=True):
        table.add_row(*(Text(one) for one in row))
    return table, [one.head for one in columns if one not in kept]


def facts(pairs: Sequence[tuple[str, str]]) -> Table:
    """Labels and values under each other; long values continue below themselves."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in pairs:
        table.add_row(Text(label), Text(value))
    return table


def sentence(said: str, indent: str = "  ", more: str | None = None) -> str:
    """A sentence below its head, wrapped where the terminal has a width; its later lines begin with `more`."""
    rest = indent if more is None else more
    return textwrap.fill(text(said), width(), initial_indent=indent, subsequent_indent=rest, break_on_hyphens=False)


class WithSentences:
    """A table of one line a row, with a sentence below the lines that have one."""

    def __init__(self, table: Table, sentences: Sequence[str | None]) -> None:
        self.table = table
        self.sentences = sentences

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment
        from rich.text import Text

        lines = console.render_lines(self.table, options, pad=False)
        for line, said in zip(lines, [None, *self.sentences], strict=True):
            yield from line
            yield Segment.line()
            if said is not None:
                yield Text(sentence(said))


def dim(line: str) -> RenderableType:
    """A line that steps back behind the others."""
    from rich.text import Text

    return Text(line, style="dim")


def preview(frame: DataFrame) -> list[RenderableType]:
    """The rows of a small frame, with as many of the first columns as fit, and the names of the others."""
    from rich.text import Text

    columns = [
        Column(text(name), [cell(one) for one in frame[name].to_list()], frame.schema[name].is_numeric(), rank=place)
        for place, name in enumerate(frame.columns)
    ]
    table, left_out = grid(columns)
    more = [] if not left_out else [Text(f"and {len(left_out)} more: {', '.join(left_out)}", style="dim")]
    return [table, *more]


def records(frame: DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame in JSON's own types."""
    return [plain(row) for row in frame.iter_rows(named=True)]
