"""Alerts: kept once an episode, sent to a real server, tried again by the lake's clock, solved in the same words."""

from __future__ import annotations

import io
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightkeeper.alerts.alert import ROLES, Alert, body, title
from lightkeeper.alerts.kept import acknowledged, alerts, due, next_due, raised, solved, standing
from lightkeeper.alerts.messages import ATTEMPTS, BACK_OFF, VOID
from lightkeeper.alerts.post import named, send
from lightkeeper.alerts.sending import Delivered, deliver, targets
from lightkeeper.errors import BadDeclaration, Refused
from lightkeeper.home import Home, HomeRecord
from lightkeeper.lake.table import Lake
from lightkeeper.orchestrate.alerting import alerts_sensor

Posts = Callable[..., "Post"]
NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
LOW = Alert(
    cause="volume", asset="sales", episode="2026-11-19", role="domain_expert", since=date(2026, 11, 19),
    symptom="Sales of 19 November are a third of what a Thursday brings",
    why="412 rows, 1,250 to 1,710 are usual (n = 52 Thursdays).", effect="About 900 pieces too few until Sunday.",
    done="The champion serves on; the day is left out of training.", to_do="Ask the shop whether the file is whole.",
    links=("http://127.0.0.1:3000/assets/sales",), owners=("shop@example.org",),
)  # fmt: skip


class Post:
    """A server that takes messages, or does something else with them. `said` are the titles that came, with their texts."""

    def __init__(self, answer: str = "takes") -> None:
        self.answer, self.said = answer, list[tuple[str, str]]()
        self.ends, self.rests = threading.Event(), threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def _handler(post: Post) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if post.answer == "hangs":
                    post.rests.wait(30)
                    return
                if post.answer == "drips" and not self._answered_at_last():
                    return
                post.said.append((message["title"], message["message"]))
                if post.answer != "drips":
                    self.send_response(500 if post.answer == "breaks" else 200)
                    self.end_headers()

            def _answered_at_last(self) -> bool:
                """A header that goes on and on, so that no read times out; its end when somebody says so."""
                self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Wait: ")
                while not post.ends.wait(0.02) and not post.rests.is_set():
                    self.wfile.write(b".")
                if post.ends.is_set():
                    self.wfile.write(b"\r\n\r\n")
                return post.ends.is_set()

            def log_message(self, *_: object) -> None: ...

        return Handler

    @property
    def url(self) -> str:
        return f"json://reader:hunter22@127.0.0.1:{self.server.server_port}/s3cr3t-path"

    @property
    def name(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.rests.set()
        self.server.shutdown()
        self.server.server_close()


class Kept:
    """A lake with a clock that can be set."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.lake = Lake(folder, clock=lambda: self.now)

    def later(self, by: timedelta = timedelta(minutes=1)) -> None:
        self.now += by

    def one(self) -> dict[str, Any]:
        (row,) = standing(self.lake).to_dicts()
        return row

    def events(self) -> list[str]:
        return alerts(self.lake).rows()["event"].to_list()


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


@pytest.fixture
def lake(kept: Kept) -> Lake:
    return kept.lake


@pytest.fixture
def post() -> Iterator[Posts]:
    made: list[Post] = []

    def make(answer: str = "takes") -> Post:
        made.append(Post(answer))
        return made[-1]

    yield make
    for one in made:
        one.close()


def to(*posts: Post, role: str = "it") -> dict[str, str]:
    return {f"LIGHTKEEPER_ALERT_{role.upper()}": "  ".join(one.url for one in posts)}


# -- what it says -----------------------------------------------------------------------------------------------


def test_a_mail_tells_symptom_since_why_effect_done_to_do_and_links_in_this_order() -> None:
    lines = body(LOW).splitlines()
    assert lines[0] == title(LOW) == LOW.symptom
    heads = [line.partition(":")[0] for line in lines[2:10]]
    assert heads == ["Since", "Why", "Effect on the forecast", "What was done", "What to do", "Owners", "See", ""]
    assert "Since: 2026-11-19" in lines
    assert f'Seen to it? lightkeeper alert ack "{LOW.key}" --why "..."' in lines


def test_what_is_empty_has_no_line_and_solved_follows_in_the_same_words() -> None:
    said = body(replace(LOW, effect="", links=()), solved="The whole file came.")
    assert title(LOW, solved=True) == f"Solved: {LOW.symptom}" == said.splitlines()[0]
    assert "Solved: The whole file came." in said
    assert not {"Effect on the forecast", "See", "What to do"} & {line.partition(":")[0] for line in said.splitlines()}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"symptom": "x" * 80}, "'x+' has 80 characters"),
        ({"symptom": "two\nlines"}, "has 9 characters"),
        ({"symptom": " "}, "its symptom is empty"),
        ({"cause": ""}, "its cause is empty"),
        ({"asset": ""}, "its asset is empty"),
        ({"episode": ""}, "its episode is empty"),
        ({"role": "boss"}, "is for 'boss': one of it, data_scientist, domain_expert, reader"),
        ({"since": datetime(2026, 11, 19, 9)}, "no time zone"),  # noqa: DTZ001 - that is what is refused
    ],
)
def test_an_alert_that_cannot_be_a_mail_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BadDeclaration, match=said):
        replace(LOW, **wrong)
    assert replace(LOW, symptom="x" * 79).symptom


# -- kept -------------------------------------------------------------------------------------------------------


def test_nothing_stands_in_a_lake_in_which_nothing_was_raised(lake: Lake) -> None:
    assert (standing(lake).height, due(lake, NOW), next_due(lake, NOW)) == (0, [], None)
    assert deliver(lake, {}) == Delivered()


@pytest.mark.parametrize("since", [None, date(2026, 11, 19), datetime(2026, 11, 19, 8, 30, tzinfo=UTC)])
def test_what_was_raised_is_due_as_it_was_raised(lake: Lake, since: date | None) -> None:
    assert raised(lake, replace(LOW, since=since))
    (found,) = due(lake, NOW)
    assert (found.alert, found.message, found.targets) == (replace(LOW, since=since), "raised", None)


def test_an_episode_is_raised_once_also_when_it_was_solved(kept: Kept, lake: Lake) -> None:
    assert [raised(lake, LOW), raised(lake, LOW)] == [True, False]
    assert solved(lake, "volume", "sales", "The file came.") == [LOW.key]
    assert not raised(lake, LOW)
    assert raised(lake, replace(LOW, episode="2026-11-26"))
    assert kept.events() == ["raised", "solved", "raised"]


def test_two_that_raise_at_once_raise_one(tmp_path: Path) -> None:
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(raised(Lake(tmp_path), LOW))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(answers) == [False, False, False, True]


def test_solving_closes_each_open_alert_of_a_cause_and_asset_once(kept: Kept, lake: Lake) -> None:
    second, other = replace(LOW, episode="2026-11-20"), replace(LOW, cause="nulls")
    for one in (LOW, second, other):
        raised(lake, one)
    acknowledged(lake, LOW.key, "user ada", "I ask the shop.")
    assert solved(lake, "volume", "sales", "It came.", episode="2026-11-20") == [second.key]
    assert solved(lake, "volume", "sales", "It came.") == [LOW.key]
    assert solved(lake, "volume", "sales", "It came.") == []
    assert standing(lake)["state"].to_list() == ["solved", "solved", "open"]
    assert kept.events().count("solved") == 2


def test_who_acknowledges_is_kept_with_the_reason(kept: Kept, lake: Lake) -> None:
    raised(lake, LOW)
    acknowledged(lake, LOW.key, "user ada", " I ask the shop. ")
    row = kept.one()
    assert (row["state"], row["acknowledged_by"], row["acknowledged_why"]) == ("acknowledged", "user ada", "I ask the shop.")
    with pytest.raises(Refused, match="acknowledged on 2026-11-20 09:00 UTC already, by user ada: I ask the shop"):
        acknowledged(lake, LOW.key, "user bob", "me too")
    solved(lake, "volume", "sales", "It came.")
    with pytest.raises(Refused, match="was solved on 2026-11-20 09:00 UTC already: It came"):
        acknowledged(lake, LOW.key, "user bob", "me too")


def test_an_unknown_key_is_refused_with_the_nearest(lake: Lake) -> None:
    with pytest.raises(Refused, match="None was raised yet"):
        acknowledged(lake, "volume:sale", "user ada", "x")
    raised(lake, LOW)
    with pytest.raises(Refused, match=f"Did you mean {LOW.key}"):
        acknowledged(lake, "volume:sale:2026-11-19", "user ada", "x")


def test_an_acknowledgement_and_a_solution_say_why(lake: Lake) -> None:
    raised(lake, LOW)
    with pytest.raises(Refused, match="says why"):
        acknowledged(lake, LOW.key, "user ada", " ")
    with pytest.raises(Refused, match="solved by something"):
        solved(lake, "volume", "sales", "")


def test_time_never_goes_back_in_the_ledger(kept: Kept, lake: Lake) -> None:
    raised(lake, LOW)
    kept.later(-timedelta(days=3))
    raised(lake, replace(LOW, episode="again"))
    assert alerts(lake).rows()["at"].to_list() == [NOW, NOW]


# -- who is named -----------------------------------------------------------------------------------------------


def test_a_role_that_names_nobody_falls_back_to_it() -> None:
    environ = {"LIGHTKEEPER_ALERT_IT": "json://a\n json://b json://a", "LIGHTKEEPER_ALERT_READER": "json://c"}
    assert {role: targets(role, environ) for role in ROLES} == {
        "it": ["json://a", "json://b"], "data_scientist": ["json://a", "json://b"], "domain_expert": ["json://a", "json://b"],
        "reader": ["json://c"],
    }  # fmt: skip
    assert targets("reader", {"LIGHTKEEPER_ALERT_READER": "  "}) == []
    with pytest.raises(Refused, match="'boss' is nobody who is told"):
        targets("boss", environ)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("jsons://ada:hunter22@example.org:8443/hook?key=1", "jsons://example.org:8443"),
        ("mailtos://ada:hunter22@example.org?to=b@example.net", "mailtos://example.org"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "slack://"),
        ("tgram://123456789:abcdefg_hijklmnop/12315544", "tgram://"),
        ("json://ada:hunt/er22@example.org/x", "json://"),
        ("json://ada:hunt:er@x:y/", "json://"),
        ("json://[broken", "json://"),
        ("TIiajkdnlazkcOXrIdevi7FQ", "no address"),
    ],
)
def test_the_name_of_an_address_shows_no_secret(address: str, name: str) -> None:
    assert list(named([address])) == [name]


def test_addresses_that_look_alike_are_counted() -> None:
    assert list(named(["slack://a/b/c", "slack://d/e/f", "slack://a/b/c"])) == ["slack://", "slack:// (2)"]


# -- sending ----------------------------------------------------------------------------------------------------


def test_an_alert_is_sent_once_to_each_of_its_role_and_solved_to_the_same(kept: Kept, lake: Lake, post: Posts) -> None:
    expert, other, it = post(), post(), post()
    environ = {**to(expert, other, role="domain_expert"), **to(it)}
    raised(lake, LOW)
    assert deliver(lake, environ) == Delivered(sent=2)
    assert deliver(lake, environ) == Delivered()
    assert expert.said == other.said == [(LOW.symptom, body(LOW))]
    solved(lake, "volume", "sales", "The whole file came.")
    assert kept.one()["delivery"] == "waiting"
    assert [deliver(lake, environ), deliver(lake, environ)] == [Delivered(sent=2), Delivered()]
    assert expert.said[1] == (f"Solved: {LOW.symptom}", body(LOW, "The whole file came."))
    assert (len(other.said), it.said, kept.one()["delivery"]) == (2, [], "sent")


def test_solved_goes_to_those_alone_whom_the_alert_reached(kept: Kept, lake: Lake, post: Posts) -> None:
    there, broken = post(), post("breaks")
    raised(lake, LOW)
    deliver(lake, to(there, broken))
    broken.answer = "takes"
    solved(lake, "volume", "sales", "It came.")
    kept.later(timedelta(days=1))
    assert (deliver(lake, to(there, broken)), len(broken.said)) == (Delivered(sent=1), 1)
    assert kept.one()["delivery"] == "given_up"  # one of them never heard of it


def test_what_was_solved_before_anybody_heard_of_it_is_not_sent(kept: Kept, lake: Lake, post: Posts) -> None:
    there = post()
    raised(lake, LOW)
    solved(lake, "volume", "sales", "It came.")
    assert deliver(lake, to(there)) == Delivered()
    assert (there.said, kept.one()["delivery"]) == ([], "nobody")


def test_an_alert_for_nobody_is_kept_shown_and_sent_when_somebody_is_named(kept: Kept, lake: Lake, post: Posts) -> None:
    raised(lake, LOW)
    assert [deliver(lake, {}), deliver(lake, {})] == [Delivered(nobody=1), Delivered()]
    assert (kept.one()["delivery"], kept.events()) == ("nobody", ["raised", "nobody"])
    assert deliver(lake, to(post())) == Delivered(sent=1)
    assert kept.one()["delivery"] == "sent"


def test_an_address_that_is_named_later_hears_nothing_of_what_was_sent_before(lake: Lake, post: Posts) -> None:
    first, second = post(), post()
    raised(lake, LOW)
    deliver(lake, to(first))
    solved(lake, "volume", "sales", "It came.")
    assert deliver(lake, to(first, second)) == Delivered(sent=1)
    assert second.said == []


def test_a_failure_is_tried_again_after_1_5_30_120_720_minutes_and_then_given_up(kept: Kept, lake: Lake, post: Posts) -> None:
    there = post("breaks")
    raised(lake, LOW)
    for wait in BACK_OFF:
        assert deliver(lake, to(there)).failed == 1
        assert next_due(lake, kept.now) == kept.now + wait
        kept.later(wait - timedelta(seconds=1))
        assert deliver(lake, to(there)) == Delivered()
        kept.later(timedelta(seconds=1))
    assert kept.one()["delivery"] == "failing"
    assert deliver(lake, to(there)).given_up == 1
    kept.later(timedelta(days=30))
    assert deliver(lake, to(there)) == Delivered()
    row = kept.one()
    assert (len(there.said), row["delivery"], row["attempts"], next_due(lake, kept.now)) == (6, "given_up", ATTEMPTS, None)
    assert "error=500" in row["last_error"]


def test_what_failed_and_then_works_is_sent_and_sent_once(kept: Kept, lake: Lake, post: Posts) -> None:
    there = post("breaks")
    raised(lake, LOW)
    deliver(lake, to(there))
    there.answer = "takes"
    kept.later()
    assert [deliver(lake, to(there)), deliver(lake, to(there))] == [Delivered(sent=1), Delivered()]
    assert (kept.one()["delivery"], kept.one()["attempts"]) == ("sent", 2)


@pytest.mark.parametrize("answer", ["hangs", "drips"])
def test_an_address_that_never_answers_holds_up_neither_the_others_nor_the_caller(
    answer: str, kept: Kept, lake: Lake, post: Posts
) -> None:
    silent, there = post(answer), post()
    raised(lake, LOW)
    started = time.monotonic()
    found = deliver(lake, to(silent, there), deadline_seconds=0.5)
    assert time.monotonic() - started < 5
    assert (found.sent, found.failed, len(there.said)) == (1, 1, 1)
    assert kept.one()["delivery"] == "failing"
    assert silent.name in found.said[0]


def test_what_a_slow_address_had_no_time_for_is_no_attempt_and_goes_out_next(kept: Kept, lake: Lake, post: Posts) -> None:
    there = post("drips")
    for episode in ("a", "b"):
        raised(lake, replace(LOW, episode=episode))
    found = deliver(lake, to(there), deadline_seconds=0.3)
    assert (found.failed, found.left, found.said) == (1, 1, (f"{there.name}: No answer within 0.3 seconds.",))
    assert standing(lake)["attempts"].to_list() == [1, 0]
    assert [one.alert.episode for one in due(lake, kept.now)] == ["b"]


def test_an_answer_after_the_deadline_is_kept_and_the_message_is_not_repeated(kept: Kept, lake: Lake, post: Posts) -> None:
    there = post("drips")
    raised(lake, LOW)
    assert deliver(lake, to(there), deadline_seconds=0.3).failed == 1
    there.ends.set()
    for thread in threading.enumerate():
        if thread.name == "lightkeeper alerts":
            thread.join(20)
    kept.later(timedelta(days=1))
    assert (deliver(lake, to(there)), kept.one()["delivery"], len(there.said)) == (Delivered(), "sent", 1)


def test_an_address_that_cannot_be_read_is_a_failure_that_names_its_scheme_alone(kept: Kept, lake: Lake) -> None:
    raised(lake, LOW)
    found = deliver(lake, {"LIGHTKEEPER_ALERT_IT": "slack://T1JJ3T3L2-hunter22"})
    assert found.said == (
        "slack://: The address (slack://) is none that apprise can read: compare it with apprise's page on that service.",
    )
    assert kept.one()["delivery"] == "failing"


def test_no_secret_of_an_address_is_kept_in_the_lake_or_told_to_those_who_log(
    lake: Lake, post: Posts, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = io.StringIO()
    monkeypatch.setattr(logging.root, "handlers", [logging.StreamHandler(logged)])
    raised(lake, LOW)
    gone = post()
    gone.close()
    addresses = [post("breaks").url, gone.url, "slack://T1JJ3T3L2-hunter22", "nosuch://hunter22", "hunter22"]
    found = deliver(lake, {"LIGHTKEEPER_ALERT_IT": " ".join(addresses)}, deadline_seconds=20)
    said = f"{found} {alerts(lake).rows().write_json()} {logged.getvalue()}"
    assert found.failed == len(addresses)
    assert [secret for secret in ("hunter22", "s3cr3t", "T1JJ3T3L2") if secret in said] == []


def test_what_a_service_raises_is_told_in_one_line_without_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"no\nroute to ada:hunter22@ {'very ' * 100}")

    monkeypatch.setattr("apprise.Apprise.notify", broken)
    said = send("json://ada:hunter22@127.0.0.1/x", "t", "b", 1.0)
    assert said is not None
    assert said.startswith("RuntimeError: no route to ...:...@ very")
    assert len(said) == 300


def test_a_claim_keeps_another_process_from_sending_and_is_void_when_its_process_died(kept: Kept, lake: Lake, post: Posts) -> None:
    there = post()
    raised(lake, LOW)
    row = {"at": NOW, "key": LOW.key, "event": "claimed", "role": LOW.role, "message": "raised", "target": there.name}
    alerts(lake).add([row])
    assert (deliver(lake, to(there)), kept.one()["delivery"]) == (Delivered(), "waiting")
    kept.later(VOID)
    assert (deliver(lake, to(there)), kept.one()["attempts"]) == (Delivered(sent=1), 2)


def test_what_was_sent_stays_sent_whatever_is_said_of_it_later(kept: Kept, lake: Lake, post: Posts) -> None:
    there = post()
    raised(lake, LOW)
    deliver(lake, to(there))
    row = {
        "at": NOW,
        "key": LOW.key,
        "event": "failed",
        "role": LOW.role,
        "message": "raised",
        "target": there.name,
        "said": "late",
    }
    alerts(lake).add([row])
    kept.later(timedelta(days=1))
    assert (deliver(lake, to(there)), kept.one()["delivery"]) == (Delivered(), "sent")


def test_rounds_at_the_same_time_send_a_message_once(tmp_path: Path, post: Posts) -> None:
    there = post()
    raised(Lake(tmp_path), LOW)
    threads = [threading.Thread(target=lambda: deliver(Lake(tmp_path), to(there))) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(there.said) == 1


def test_an_address_that_is_no_longer_named_is_given_up(kept: Kept, lake: Lake, post: Posts) -> None:
    gone, there = post("breaks"), post()
    raised(lake, LOW)
    deliver(lake, to(gone))
    kept.later()
    found = deliver(lake, to(there))
    assert (found.given_up, found.said) == (1, (f"{gone.name}: {gone.name} is no longer named for domain_expert.",))
    assert (kept.one()["delivery"], there.said) == ("given_up", [])


EPISODES = ("a", "b")
STEPS = st.lists(
    st.tuples(st.sampled_from(["raise", "solve", "ack", "deliver", "back", "on"]), st.sampled_from(EPISODES)),
    min_size=4,
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(steps=STEPS)
def test_in_any_order_a_key_is_raised_once_each_message_sent_once_and_time_never_goes_back(
    tmp_path_factory: pytest.TempPathFactory, post: Posts, steps: list[tuple[str, str]]
) -> None:
    kept, first, second = Kept(tmp_path_factory.mktemp("alerts")), post(), post()
    environ = to(first, second)
    for step, episode in [*steps, ("deliver", "a")]:
        take(kept, step, replace(LOW, episode=episode), environ)
    rows = alerts(kept.lake).rows()
    assert rows["at"].is_sorted()
    assert rows.filter(event="raised")["key"].is_unique().all()
    assert rows.filter(event="sent").select("key", "message", "target").is_unique().all()
    assert rows.filter(event="sent").height == len(first.said) + len(second.said)
    assert due(kept.lake, kept.now) == []


def take(kept: Kept, step: str, alert: Alert, environ: dict[str, str]) -> None:
    """One step of a story in any order; what is refused is refused."""
    if step == "raise":
        raised(kept.lake, alert)
    elif step == "solve":
        solved(kept.lake, alert.cause, alert.asset, "It came.", alert.episode)
    elif step == "deliver":
        assert deliver(kept.lake, environ).failed == 0
    elif step == "ack":
        there = standing(kept.lake).filter(key=alert.key, state="open").height
        if there:
            acknowledged(kept.lake, alert.key, "user ada", "seen")
    else:
        kept.later(timedelta(hours=-2 if step == "back" else 2))


# -- the sensor -------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create(HomeRecord("sample", "small", 700, date(2024, 1, 1), NOW))
    return made


def ticks(home: Home) -> Callable[[], str]:
    """A sensor that remembers from tick to tick; each gives its sentence."""
    sensor = alerts_sensor(lambda: Lake(home.lake, clock=home.now), home)
    cursor: list[str | None] = [None]

    def tick() -> str:
        context = dg.build_sensor_context(cursor=cursor[-1])
        found = sensor(context)
        cursor.append(context.cursor)
        assert isinstance(found, dg.SkipReason)
        return str(found.skip_message)

    return tick


def test_the_sensor_says_what_it_did(home: Home, post: Posts, monkeypatch: pytest.MonkeyPatch) -> None:
    works, broken, tick = post(), post("breaks"), ticks(home)
    monkeypatch.setenv("LIGHTKEEPER_ALERT_IT", f"{works.url} {broken.url}")
    assert tick() == "Nothing is to be sent."
    raised(Lake(home.lake, clock=home.now), LOW)
    said = tick()
    assert said.startswith(f"1 sent, 1 failed: {broken.name}: ")
    assert tick() == tick() == "Nothing is to be sent."
    broken.answer = "takes"
    home.move_clock(NOW + timedelta(minutes=1))
    assert [tick(), len(works.said), len(broken.said)] == ["1 sent.", 1, 2]


def test_the_sensor_reads_no_row_until_ledger_clock_or_addresses_change(
    home: Home, post: Posts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIGHTKEEPER_ALERT_IT", raising=False)
    tick = ticks(home)
    raised(Lake(home.lake, clock=home.now), LOW)
    assert tick() == "1 kept because nobody is named (LIGHTKEEPER_ALERT_IT)."
    tick()
    for path in (home.lake / "_ledger/alerts").glob("*.parquet"):
        path.rename(path.with_suffix(".away"))
    assert tick() == "Nothing is to be sent."
    for path in (home.lake / "_ledger/alerts").glob("*.away"):
        path.rename(path.with_suffix(".parquet"))
    monkeypatch.setenv("LIGHTKEEPER_ALERT_IT", post().url)
    assert tick() == "1 sent."


def test_the_sensor_rests_where_there_is_no_home(tmp_path: Path) -> None:
    assert "There is no home" in ticks(Home(tmp_path / "none"))()


def test_the_sensor_runs_by_itself_every_half_minute(home: Home) -> None:
    sensor = alerts_sensor(lambda: Lake(home.lake), home)
    assert (sensor.name, sensor.minimum_interval_seconds, sensor.default_status) == ("alerts", 30, dg.DefaultSensorStatus.RUNNING)
    assert dg.Definitions(sensors=[sensor]).get_repository_def().has_sensor_def("alerts")
