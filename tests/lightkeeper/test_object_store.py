"""The same promises on an object store: SeaweedFS's S3, a process of its own on the loopback, ended by its process id."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from lightkeeper.errors import Conflict, NoSuchTable, NoSuchVersion, StorageFailed, TableVersionGone
from lightkeeper.lake.storage import ObjectStore
from lightkeeper.lake.table import Lake
from lightkeeper.measure.content import sums
from lightkeeper.values import LandedFile, Stamp, TableVersion

ONE, TWO = date(2026, 1, 1), date(2026, 2, 1)
WEED = Path(sys.prefix) / "independent" / "bin" / "weed"
KEY = {"AWS_ACCESS_KEY_ID": "lamp", "AWS_SECRET_ACCESS_KEY": "oil"}
NAMES = ("s3.port", "master.port", "volume.port", "filer.port", *(f"{n}.port.grpc" for n in ("s3", "master", "volume", "filer")))


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def made_bucket(filer: int) -> bool:
    ask = urllib.request.Request(f"http://127.0.0.1:{filer}/buckets/lake/", method="POST")
    try:
        with closing(urllib.request.urlopen(ask, timeout=5)) as answer:  # noqa: S310
            return bool(answer.status == 201)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    assert WEED.exists(), "SeaweedFS is not there: make test sets it up"
    folder, ports = tmp_path_factory.mktemp("weed"), dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
    flags = [f"-{name}={port}" for name, port in ports.items()]
    command = [str(WEED), "server", "-s3", "-filer", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    sizes = ["-master.volumeSizeLimitMB=64", "-volume.max=20"]
    with (folder / "log").open("w") as log:
        weed = subprocess.Popen([*command, *sizes, *flags], env={**os.environ, **KEY}, stdout=log, stderr=log)
    try:
        ready = any(made_bucket(ports["filer.port"]) or threading.Event().wait(0.2) for _ in range(200))
        assert ready, (folder / "log").read_text()[-2000:]
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3.port']}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            **KEY,
        }
    finally:
        weed.kill()
        weed.wait()


@pytest.fixture
def lake(options: dict[str, str], request: pytest.FixtureRequest) -> Lake:
    return Lake(f"s3://lake/{request.node.name}", options)


def rows(day: date, units: int) -> pl.DataFrame:
    return pl.DataFrame({"day": [day], "units": [units]})


def units(lake: Lake, at: int | None = None) -> list[int]:
    return sorted(lake.read("t", at).collect()["units"])


def test_write_replace_and_read_back_every_version(lake: Lake) -> None:
    file = LandedFile("a.csv", "a" * 64, 9, 1, ONE)
    assert (lake.tables(), lake.exists("t")) == ([], False)
    lake.write("t", pl.concat([rows(ONE, 1), rows(TWO, 2)]), by="day")
    made = lake.write("t", rows(ONE, 5), by="day", replace=[ONE], stamp=Stamp(files=(file,)))
    assert (units(lake), units(lake, 0), lake.tables()) == ([2, 5], [1, 2], ["t"])
    assert lake.commit(made).sums == sums(lake.read("t").collect())
    assert lake.lineage(made).files == (file,)
    assert lake.write("t", rows(ONE, 5), by="day", replace=[ONE]) == made
    assert lake.unchanged.rows()["table"].to_list() == ["t"]
    lake.migrate("t", lambda old: old.with_columns(price=1.5), "prices")
    assert [one.mode for one in lake.history("t")] == ["migrate", "replace", "overwrite"]


def test_two_writers_of_one_day_conflict_and_of_different_days_do_not(lake: Lake) -> None:
    lake.write("t", pl.concat([rows(ONE, 1), rows(TWO, 2)]), by="day")
    lake.write("t", rows(ONE, 5), by="day", replace=[ONE], base=0)
    with pytest.raises(Conflict):
        lake.write("t", rows(ONE, 6), by="day", replace=[ONE], base=0)
    assert lake.write("t", rows(TWO, 7), by="day", replace=[TWO], base=0) == TableVersion("t", 2)
    assert units(lake) == [5, 7]


def test_threads_that_append_at_once_lose_no_row(lake: Lake) -> None:
    lake.write("t", rows(ONE, 0))
    threads = [threading.Thread(target=lake.append, args=("t", rows(ONE, n))) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (units(lake), lake.version("t").version) == ([0, 1, 2, 3, 4], 4)


def test_what_is_not_there_is_named(lake: Lake) -> None:
    lake.write("t", rows(ONE, 1))
    with pytest.raises(NoSuchTable, match="Did you mean t"):
        lake.read("tt")
    with pytest.raises(NoSuchVersion, match="the newest is t@0"):
        lake.read("t", 1)
    store = lake.store
    store.discard([f"t/{name}" for name in store.names("t") if name.endswith(".parquet")])
    with pytest.raises(TableVersionGone, match="t@0: 1 of its 1 files"):
        lake.read("t")


def test_a_store_that_does_not_answer_is_a_clear_error(options: dict[str, str]) -> None:
    (port,) = free_ports(1)
    gone = {**options, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "max_retries": "0"}
    with pytest.raises(StorageFailed, match="s3://lake/x/t could not be read"):
        Lake("s3://lake/x", gone).write("t", rows(ONE, 1))
    with pytest.raises(StorageFailed, match="Nothing was committed"):
        ObjectStore("s3://lake/x", gone).create("t/part", lambda target: target)
