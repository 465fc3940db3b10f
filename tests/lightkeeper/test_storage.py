"""Durable bytes: what a full disk leaves, what is synced before a write is reported."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest

from lightkeeper.errors import StorageFailed
from lightkeeper.lake import storage
from lightkeeper.lake.storage import Fill, LocalStore, ObjectStore, open_store

SOURCE = Path(storage.__file__).parents[2]
FILL = f"""
import os, pathlib, sys; sys.path.insert(0, {str(SOURCE)!r})
import polars as pl
from lightkeeper.lake.table import Lake
from lightkeeper.errors import StorageFailed
lake = Lake(sys.argv[1])
made, said = 0, ""
lake.write("t", pl.DataFrame({{"x": [b"first"]}}))
{{limit}}
for n in range(40):
    try:
        lake.append("t", pl.DataFrame({{"x": [os.urandom(300_000)]}}))
    except StorageFailed as error:
        said = str(error)
        break
    made += 1
rows = lake.read("t").collect().height
table = pathlib.Path(sys.argv[1]) / "t"
named = "".join(log.read_text() for log in (table / "_delta_log").glob("*.json"))
print(bool(said), rows == made + 1, lake.version("t").version == made, all(p.name in named for p in table.glob("*.parquet")))
print(said)
"""


def filled(data: bytes) -> Fill:
    def fill(target: Path | BytesIO) -> None:
        if isinstance(target, Path):
            target.write_bytes(data)
        else:
            target.write(data)

    return fill


def said(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_file_that_may_not_grow_is_refused_and_the_table_is_whole(tmp_path: Path) -> None:
    limit = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    )
    code = FILL.replace("{limit}", limit)
    out = said(subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False))
    assert out.startswith("True True True True\n")
    assert "could not be written" in out


def test_a_full_disk_leaves_no_half_file_and_a_whole_table(tmp_path: Path) -> None:
    mounts = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    shell = 'mount -t tmpfs -o size=2m none "$1" && exec "$2" -c "$3" "$1"'
    possible = subprocess.run([*mounts, 'mount -t tmpfs none "$1"', "sh", tmp_path], capture_output=True, check=False)
    if possible.returncode:
        pytest.skip("no mount namespaces here; the limit on a file's size is tested instead")
    command = [*mounts, shell, "sh", tmp_path, sys.executable, FILL.replace("{limit}", "")]
    out = said(subprocess.run(command, capture_output=True, text=True, check=False))
    assert out.startswith("True True True True\n")
    assert "bytes are free there" in out or "Nothing was committed" in out


SYNCED = f"""
import os, sys, json; sys.path.insert(0, {str(SOURCE)!r})
real, seen = os.fsync, []
def fsync(handle):
    seen.append(os.readlink(f"/proc/self/fd/{{handle}}"))
    real(handle)
os.fsync = fsync
import polars as pl
from lightkeeper.lake.table import Lake
lake = Lake(sys.argv[1])
def during(work):
    seen.clear()
    work()
    return list(seen)
first = during(lambda: lake.write("t", pl.DataFrame({{"x": [0]}})))
for n in range(1, 49): lake.append("t", pl.DataFrame({{"x": [n]}}))
checkpoint = during(lambda: lake.append("t", pl.DataFrame({{"x": [49]}})))
print(json.dumps([first, checkpoint]))
"""


def test_data_log_checkpoint_and_every_new_folder_are_synced_before_a_write_is_reported(tmp_path: Path) -> None:
    root = tmp_path / "a" / "lake"
    out = said(subprocess.run([sys.executable, "-c", SYNCED, root], capture_output=True, text=True, check=False))
    first, checkpoint = json.loads(out)
    data = next((root / "t").glob("*.parquet"))
    log = root / "t/_delta_log"
    assert {str(one) for one in (log / f"{0:020d}.json", log, root / "t", root, tmp_path / "a", tmp_path)} <= set(first)
    assert any(name.endswith(".parquet") and Path(name).parent == data.parent for name in first)
    assert [Path(name).suffix for name in first].index(".parquet") < [Path(name).suffix for name in first].index(".json")
    assert {str(log / "_last_checkpoint"), str(log / f"{49:020d}.checkpoint.parquet")} <= set(checkpoint)


def test_a_file_below_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("a file where a folder should be")
    with pytest.raises(StorageFailed, match="could not be written"):
        LocalStore(tmp_path).create("t/part", filled(b"x"))
    assert (tmp_path / "t").read_text() == "a file where a folder should be"


def test_what_is_stored_is_hashed_as_it_stands_on_the_disk(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    stored = store.create("t/part", filled(b"light"))
    assert (stored.bytes, stored.sha256) == (5, hashlib.sha256(b"light").hexdigest())
    assert store.get("t/part") == b"light"


def test_a_file_that_fails_while_it_is_filled_is_not_there(tmp_path: Path) -> None:
    def breaks(target: Path | BytesIO) -> None:
        filled(b"half")(target)
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageFailed, match="No space left on device"):
        LocalStore(tmp_path).create("t/part", breaks)
    assert list((tmp_path / "t").iterdir()) == []


def test_what_is_not_there_has_no_names(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert (store.names("nowhere"), store.exists("nowhere")) == ([], False)
    store.discard(["nowhere/part"])


def test_a_root_with_a_scheme_is_an_object_store_and_a_path_is_a_folder(tmp_path: Path) -> None:
    assert isinstance(open_store("s3://bucket/lake/"), ObjectStore)
    assert open_store("az://box/lake").uri("t") == "az://box/lake/t"
    assert open_store(f"file://{tmp_path}").uri("t") == str(tmp_path / "t")
