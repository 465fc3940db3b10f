"""Files become rows whole or are refused whole, by file, row and rule; nothing is written, nothing is lost."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import dataframely as dy
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightkeeper.errors import BadDeclaration, FileRefused, Refused
from lightkeeper.lake import csv_file
from lightkeeper.lake.landing import (
    Admitted,
    Arrival,
    CsvFormat,
    Landed,
    admit,
    newest_for_each_part,
    part_of,
    read_file,
    read_files,
    scan,
)

FORM = CsvFormat(("code", "text", "pieces"))
HEAD = "code,text,pieces\n"


class Line(dy.Schema):
    day = dy.Date()
    code = dy.String()
    text = dy.String(nullable=True)
    pieces = dy.Int64(min=1)

    @dy.rule()
    def not_twice(cls) -> pl.Expr:  # noqa: N805 - dataframely hands the class
        return pl.struct("code", "text", "pieces").is_first_distinct().over("day")


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file into the landing folder, byte for byte."""

    def write(content: str | bytes, name: str = "sales-2024-11-12.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def refusal(path: Path, form: CsvFormat = FORM) -> FileRefused:
    with pytest.raises(FileRefused) as caught:
        read_file(path, form)
    assert str(caught.value).startswith(path.name)
    return caught.value


def texts(path: Path, form: CsvFormat = FORM) -> list[tuple[object, ...]]:
    return read_file(path, form)[0].select(form.columns).rows()


# ---- what is read


def test_a_file_becomes_rows_of_text_with_their_place(put: Callable[..., Path]) -> None:
    frame, _ = read_file(put(HEAD + "a, b ,1\nc,,\n"), FORM)
    assert frame.rows() == [("a", " b ", "1", "sales-2024-11-12.csv", 2), ("c", None, None, "sales-2024-11-12.csv", 3)]
    assert frame.schema == pl.Schema({**dict.fromkeys((*FORM.columns, "file"), pl.String()), "row": pl.Int64()})


def test_a_file_is_known_by_the_hash_of_its_bytes_and_the_day_in_its_name(put: Callable[..., Path]) -> None:
    path = put("\ufeff" + HEAD + "a,b,1\n")
    _, landed = read_file(path, FORM)
    assert landed.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (landed.bytes, landed.rows, landed.part) == (path.stat().st_size, 1, date(2024, 11, 12))


def test_windows_line_ends_and_a_byte_order_mark_are_fine(put: Callable[..., Path]) -> None:
    path = put("\ufeff" + (HEAD + 'a,"b\nc",1\n"d",e,"2"\n').replace("\n", "\r\n"))
    assert texts(path) == [("a", "b\r\nc", "1"), ("d", "e", "2")]


def test_reordered_columns_are_read_by_their_names(put: Callable[..., Path]) -> None:
    assert texts(put("pieces,code,text\n1,a,b\n")) == [("a", "b", "1")]


def test_another_separator_is_read_where_it_is_declared(put: Callable[..., Path]) -> None:
    assert texts(put("code;text;pieces\na;b,c;1\n"), CsvFormat(FORM.columns, separator=";")) == [("a", "b,c", "1")]


def test_a_row_keeps_its_record_number_behind_a_text_of_several_lines(put: Callable[..., Path]) -> None:
    frame, _ = read_file(put(HEAD + 'a,"x\ny\nz",1\nb,,2\n'), FORM)
    assert frame["row"].to_list() == [2, 3]


FIELD = st.text(st.characters(exclude_characters="\0\r", exclude_categories=("Cs",)), max_size=6)


@settings(max_examples=150, deadline=None)
@given(lines=st.lists(st.tuples(FIELD, FIELD, FIELD), min_size=1, max_size=8), end=st.sampled_from(["\n", "\r\n"]))
def test_whatever_a_csv_writer_wrote_is_read_back(
    lines: list[tuple[str, str, str]], end: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator=end).writerows([FORM.columns, *lines])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(written.getvalue().encode())
    assert [tuple(one or "" for one in row) for row in texts(path)] == lines


ROUGH = st.one_of(
    st.text(st.sampled_from("a1 "), max_size=3),
    st.text(st.sampled_from('a,"\n'), max_size=4),
    st.text(st.sampled_from("a,\n\r"), max_size=4).map(lambda text: f'"{text}"'),
    st.text(st.sampled_from('a"'), max_size=4).map(lambda text: f'"{text}"'),
)


@settings(max_examples=400, deadline=None)
@given(lines=st.lists(st.tuples(ROUGH, ROUGH, ROUGH), min_size=1, max_size=2))
def test_a_file_is_read_as_python_reads_it_or_refused(
    lines: list[tuple[str, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    body = "".join(",".join(line) + "\n" for line in lines)
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes((HEAD + body).encode())
    try:
        found = texts(path)
    except FileRefused:
        return
    wanted = csv.reader(io.StringIO(body, newline="\n"), strict=True)
    assert [[one or "" for one in row] for row in found] == list(wanted)


# ---- files that are refused


def test_a_file_cut_in_the_middle_is_refused(put: Callable[..., Path]) -> None:
    whole = HEAD + 'a,b,1\nc,"d, e",2\nf,g,3\n'
    for length in range(len(HEAD) + 1, len(whole)):
        if whole[:length] not in (HEAD + "a,b,1\n", HEAD + 'a,b,1\nc,"d, e",2\n'):
            assert refusal(put(whole[:length])).rule in {"file_is_complete", "file_is_not_empty"}


def test_a_file_without_a_last_newline_names_its_last_record(put: Callable[..., Path]) -> None:
    error = refusal(put(HEAD + "a,b,1\nc,d,2"))
    assert (error.rule, error.row) == ("file_is_complete", 3)
    assert "'c,d,2'" in error.why
    assert texts(put(HEAD + "a,b,1"), CsvFormat(FORM.columns, ends_with_newline=False)) == [("a", "b", "1")]


@pytest.mark.parametrize(
    ("body", "row", "why"),
    [
        ("a,b,1\nc,d\ne,f,3\n", 3, "2 fields"),
        ("a,b,1\nc,d,2,9\n", 3, "4 fields"),
        ("a,b,1\n\nc,d,2\n", 3, "blank"),
        ("a,b,1\n\n", 3, "blank"),
        ('a,"b\nb",1\nc\n', 3, "1 fields"),
        ("a,b,1\nc,d,2\r\r\n", 3, "carriage return"),
        ('a,"b\rb",1\r\nc\rc,d,2\r\n', 3, "carriage return"),
    ],
)
def test_a_record_of_too_few_or_too_many_fields_is_named(put: Callable[..., Path], body: str, row: int, why: str) -> None:
    error = refusal(put(HEAD + body))
    assert (error.rule, error.row) == ("records_are_whole", row)
    assert why in error.why


@pytest.mark.parametrize(
    ("body", "row"),
    [
        ('a,"b,1\nc,d,2\n', 2),
        ('a,b,1\nc,5" plate,2\n', 3),
        ('a,b,1\nc,"d" e,2\n', 3),
        ('a,5" and 6" plates,1\n', 2),
        ('a,"b"\r,1\n', 2),
    ],
)
def test_an_unclosed_or_stray_quote_is_named(put: Callable[..., Path], body: str, row: int) -> None:
    error = refusal(put(HEAD + body))
    assert (error.rule, error.row) == ("quotes_are_closed", row)


@pytest.mark.parametrize("size", ["same", "more"])
def test_a_file_that_is_still_being_written_is_refused(put: Callable[..., Path], size: str) -> None:
    path = put(HEAD + "a,b,1\n")

    def while_somebody_writes(handle: int, limit: int) -> bytes:
        content = os.read(handle, limit)
        path.write_text(HEAD + ("z,b,1\n" if size == "same" else "a,b,1\nc,d,2\n"))
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
        return content

    with pytest.raises(FileRefused, match="written while it was read") as caught:
        csv_file._content(path, FORM, while_somebody_writes)
    assert caught.value.rule == "file_is_finished"


@pytest.mark.parametrize("name", ["a.csv.part", "a.csv.tmp", "a.csv.crdownload", ".a.csv"])
def test_a_name_of_a_file_being_written_is_no_arrival_and_is_refused(put: Callable[..., Path], name: str) -> None:
    path = put(HEAD + "a,b,1\n", name)
    assert scan(path.parent) == []
    assert refusal(path).rule == "file_is_finished"


@pytest.mark.parametrize("content", ["", "\ufeff", HEAD, HEAD.replace("\n", "\r\n")])
def test_an_empty_file_and_a_mere_header_are_refused(put: Callable[..., Path], content: str) -> None:
    assert refusal(put(content)).rule == "file_is_not_empty"


def test_a_mere_header_is_a_file_of_no_rows_where_that_is_declared(put: Callable[..., Path]) -> None:
    form = CsvFormat(FORM.columns, empty_ok=True)
    frame, landed = read_file(put(HEAD), form)
    assert (frame.height, landed.rows) == (0, 0)
    assert refusal(put(""), form).rule == "file_is_not_empty"


def test_another_encoding_is_refused_with_the_byte_and_the_row(put: Callable[..., Path]) -> None:
    error = refusal(put((HEAD + "a,b,1\nc,café,2\n").encode("latin-1")))
    assert (error.rule, error.row) == ("file_is_utf8", 3)
    assert f"byte {len(HEAD) + 11} (0xe9)" in error.why
    assert refusal(put((HEAD + "a,b,1\n").encode("utf-16"))).rule == "file_is_utf8"
    assert refusal(put((HEAD + "a,b,1\n").encode("utf-16-le"))).rule == "file_has_no_nul_bytes"


def test_nul_bytes_are_refused_with_their_row(put: Callable[..., Path]) -> None:
    error = refusal(put(HEAD + 'a,"x\ny",1\nc,\0,2\n'))
    assert (error.rule, error.row) == ("file_has_no_nul_bytes", 3)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("code,text", "lacks 'pieces'"),
        ("code,text,pieces,more", "does not declare 'more'"),
        ("code,text,text", "lacks 'pieces'; has more than once 'text'"),
        ("code,text,pieces,text", "has more than once 'text'"),
        ("code,text,Pieces", "lacks 'pieces'; does not declare 'Pieces'"),
        ("code;text;pieces", "does not declare 'code;text;pieces'"),
        ("", "lacks 'code', 'text', 'pieces'"),
    ],
)
def test_missing_additional_and_doubled_columns_are_named(put: Callable[..., Path], header: str, why: str) -> None:
    error = refusal(put(f"{header}\na,b,1\n"))
    assert (error.rule, error.row) == ("file_has_the_declared_columns", 1)
    assert why in error.why


def test_an_absurd_header_gives_a_short_error(put: Callable[..., Path]) -> None:
    error = refusal(put(",".join(f"column{'x' * 900}{n}" for n in range(900)) + "\n1\n"))
    assert len(str(error)) < 1500
    assert refusal(put("x" * 200_000 + "\n1\n")).rule == "file_has_the_declared_columns"


def test_a_file_beyond_the_size_limit_is_refused_before_it_is_read(put: Callable[..., Path]) -> None:
    path = put("\0" * 2_000_001)
    error = refusal(path, CsvFormat(FORM.columns, max_bytes=2_000_000))
    assert error.rule == "file_is_within_the_size_limit"
    assert "2,000,001 bytes, 2,000,000 at most" in error.why


def test_a_folder_a_loop_a_pipe_and_a_file_that_is_gone_are_refused(tmp_path: Path) -> None:
    (tmp_path / "2024-11-12.csv").mkdir()
    (tmp_path / "2024-11-13.csv").symlink_to(tmp_path / "2024-11-13.csv")
    os.mkfifo(tmp_path / "2024-11-14.csv")
    (tmp_path / "2024-11-15.csv").symlink_to(tmp_path / "gone")
    names = [one.name for one in scan(tmp_path)]
    assert names == [f"2024-11-{day}.csv" for day in (12, 13, 14, 15)]
    assert [refusal(tmp_path / name).rule for name in [*names, "2024-11-16.csv"]] == ["file_is_a_file"] * 5


def test_a_file_that_may_not_be_read_is_refused(put: Callable[..., Path]) -> None:
    path, user = put(HEAD + "a,b,1\n"), os.geteuid()
    path.chmod(0)
    if user == 0:
        os.seteuid(65534)
    try:
        assert refusal(path).rule == "file_can_be_read"
    finally:
        os.seteuid(user)


def test_a_name_that_is_no_text_is_spelled_out_and_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"sales-\xe9-2024-11-12.csv")).write_text(HEAD + "a,b,1\n")
    (arrival,) = scan(tmp_path)
    (refused,) = read_files([tmp_path / arrival.name], FORM).refused
    assert arrival.name == refused.file == r"sales-\xe9-2024-11-12.csv"


@pytest.mark.parametrize("changes", [{"separator": "||"}, {"separator": '"'}, {"columns": ()}, {"columns": ("a", "a")}])
def test_a_format_that_cannot_be_is_a_bad_declaration(changes: dict[str, object]) -> None:
    with pytest.raises(BadDeclaration):
        CsvFormat(**{"columns": ("a",), **changes})  # type: ignore[arg-type]
    with pytest.raises(BadDeclaration, match="'file' or 'row'"):
        CsvFormat(("a", "row"))


# ---- the folder


def test_a_scan_lists_files_by_name_with_the_day_that_they_speak_for(put: Callable[..., Path]) -> None:
    path = put("ab", "sales-2024-11-13.csv")
    put("abc", "notes.txt")
    (path.parent / "archive").mkdir()
    notes, sales = scan(path.parent)
    assert (notes.name, notes.size, notes.part) == ("notes.txt", 3, None)
    assert (sales.name, sales.size, sales.part) == ("sales-2024-11-13.csv", 2, date(2024, 11, 13))
    assert (sales.mtime_ns, sales.ctime_ns) == (path.stat().st_mtime_ns, path.stat().st_ctime_ns)


def test_a_landing_folder_that_is_none_is_refused(put: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be listed: No such file"):
        scan(tmp_path / "none")
    with pytest.raises(Refused, match="cannot be listed: Not a directory"):
        scan(put("x"))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("sales-2024-02-29.csv", date(2024, 2, 29)),
        ("2024-02-29 (1).csv", date(2024, 2, 29)),
        ("2024-02-29_2024-02-29.csv", date(2024, 2, 29)),
        ("sales-2023-02-29.csv", None),
        ("sales-20240229.csv", None),
        ("sales-12024-02-29.csv", None),
        ("sales-2024-02-291.csv", None),
        ("2024-02-28_2024-02-29.csv", None),
        ("sales.csv", None),
    ],
)
def test_a_file_speaks_for_the_one_date_in_its_name(name: str, part: date | None) -> None:
    assert part_of(name) == part


def test_of_several_files_for_one_day_the_newest_speaks() -> None:
    day, other = date(2024, 11, 12), date(2024, 11, 13)
    old, new, twin = (Arrival(name, 1, time, 0, day) for name, time in (("c", 1), ("a", 2), ("b", 2)))
    alone, undated, undated_too = Arrival("d", 1, 0, 0, other), Arrival("e", 1, 9, 0), Arrival("f", 1, 9, 0)
    speaking, superseded = newest_for_each_part([twin, alone, undated, new, old, undated_too])
    assert speaking == [undated, undated_too, twin, alone]
    assert superseded == [old, new]


def test_a_file_name_that_could_drive_a_terminal_is_spelled_out_in_the_message(put: Callable[..., Path]) -> None:
    name = "a\x1b[2J\nb.csv"
    (error,) = read_files([put("", name)], FORM).refused
    assert error.file == name
    assert str(error).startswith("a\\x1b[2J\\nb.csv: ")


def test_a_bad_file_among_good_ones_is_refused_alone(put: Callable[..., Path]) -> None:
    paths = [put(HEAD + "a,b,1\n", "1.csv"), put(HEAD + "a\n", "2.csv"), put("pieces,text,code\n2,d,c\n", "3.csv")]
    landed = read_files(paths, FORM)
    assert landed.raw.rows() == [("a", "b", "1", "1.csv", 2), ("c", "d", "2", "3.csv", 2)]
    assert [file.name for file in landed.files] == ["1.csv", "3.csv"]
    assert [error.file for error in landed.refused] == ["2.csv"]


def test_no_file_gives_no_rows_of_the_right_types() -> None:
    landed = read_files([], FORM)
    assert landed.raw.schema == pl.Schema({**dict.fromkeys((*FORM.columns, "file"), pl.String()), "row": pl.Int64()})
    assert admit(landed, Line, "day").accepted.rows() == admit(landed, Line, "day").rejected.rows() == []


# ---- files under a contract


def land(put: Callable[..., Path], *bodies: str, name: str = "sales-2024-11-{}.csv") -> Admitted:
    paths = [put(HEAD + body, name.format(day)) for day, body in enumerate(bodies, 12)]
    return admit(read_files(paths, FORM), Line, "day")


def test_rows_know_the_day_that_their_file_speaks_for(put: Callable[..., Path]) -> None:
    admitted = land(put, "a,b,1\na,b,1\n", "a,b,1\n")
    assert admitted.accepted.select("day", "row").rows() == [(date(2024, 11, 12), 2), (date(2024, 11, 13), 2)]
    assert admitted.rejected.select("day", "file", "row", "rule").rows() == [
        (date(2024, 11, 12), "sales-2024-11-12.csv", 3, "not_twice")
    ]
    assert admitted.rejected.columns == ["day", "file", "row", *FORM.columns, "rule"]


def test_a_number_with_a_thousands_separator_rejects_its_row(put: Callable[..., Path]) -> None:
    admitted = land(put, 'a,b,1\nc,d,"1,000"\n')
    assert admitted.rejected.select("pieces", "rule").rows() == [("1,000", "pieces_is_int")]
    assert admitted.refused == ()


def test_a_file_whose_values_mostly_have_another_form_is_refused_with_the_first(put: Callable[..., Path]) -> None:
    admitted = land(put, "a,b,1\n", 'a,b,1\nc,d,"1,000"\ne,f,"2,000"\n', "g,h,3\n")
    (error,) = admitted.refused
    assert (error.file, error.row, error.rule) == ("sales-2024-11-13.csv", 3, "pieces_is_int")
    assert error.why == "2 of 3 records break this rule, first pieces = '1,000'"
    assert admitted.accepted["code"].to_list() == ["a", "g"]
    assert admitted.counts == {}
    assert [file.name for file in admitted.files] == ["sales-2024-11-12.csv", "sales-2024-11-14.csv"]


def test_a_file_of_which_just_half_has_another_form_gives_its_other_half(put: Callable[..., Path]) -> None:
    admitted = land(put, "a,b,1\nc,d,x\n")
    assert (admitted.accepted.height, admitted.rejected.height, admitted.refused) == (1, 1, ())


def test_a_file_that_mostly_breaks_a_rule_on_values_is_not_refused(put: Callable[..., Path]) -> None:
    admitted = land(put, "a,b,0\nc,d,-1\n")
    assert admitted.counts == {"pieces_is_large_enough": 2}
    assert admitted.refused == ()


def test_a_refused_file_does_not_bear_on_the_rows_of_another(put: Callable[..., Path]) -> None:
    first, second = put(HEAD + "a,b,1\nc,d,x\ne,f,y\n", "1_2024-11-12.csv"), put(HEAD + "a,b,1\n", "2_2024-11-12.csv")
    admitted = admit(read_files([first, second], FORM), Line, "day")
    assert [error.file for error in admitted.refused] == ["1_2024-11-12.csv"]
    assert admitted.accepted.select("file", "row").rows() == [("2_2024-11-12.csv", 2)]


def test_a_file_that_speaks_for_no_day_is_refused_where_the_contract_asks_for_one(put: Callable[..., Path]) -> None:
    admitted = land(put, "a,b,1\n", name="sales{}.csv")
    assert [error.rule for error in admitted.refused] == ["file_name_has_its_day"]
    assert (admitted.accepted.height, admitted.rejected.height, admitted.files) == (0, 0, ())


def test_nothing_in_the_landing_folder_is_touched(put: Callable[..., Path], tmp_path: Path) -> None:
    def state() -> list[tuple[str, int, bytes]]:
        return [(path.name, path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(tmp_path.iterdir())]

    put(HEAD + "a,b,x\n")
    put(HEAD + "a\n", "sales-2024-11-13.csv")
    before = state()
    assert len(admit(read_files(sorted(tmp_path.iterdir()), FORM), Line, "day").refused) == 2
    assert state() == before


def test_landed_rows_are_a_value_that_can_be_dated_twice(put: Callable[..., Path]) -> None:
    landed = read_files([put(HEAD + "a,b,1\n")], FORM)
    assert isinstance(landed, Landed)
    assert landed.dated("day").equals(landed.dated("day"))
    assert "day" not in landed.raw.columns
