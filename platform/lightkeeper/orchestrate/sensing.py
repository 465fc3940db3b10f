"""The project's own sensors ticked in this process, and what they ask for run at once: a daemon without its waiting.

For replays and benchmarks on a simulated clock, and for stories. Sensors, run keys and runs are those of the real daemon; the queue
and the processes are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import dagster as dg

from lightkeeper.orchestrate.running import RunFailed, checked, materialize

__all__ = ["SENSED", "Sensed", "Senses"]

SENSED = ("retraining", "outcomes", "freshness", "failures")  # those that act on a landed day, in their order

_ROUNDS = 10  # of ticks, before what asks for ever is given up


@dataclass(frozen=True, slots=True)
class Sensed:
    """A run that a sensor asked for: by which sensor, its key and tags, its id; `failed` says why it failed."""

    sensor: str
    key: str
    tags: dict[str, str]
    run_id: str | None
    failed: str | None = None


@dataclass
class Senses:
    """Some sensors of a project, with what a daemon would remember of them.

    Args:
        defs: of the project.
        instance: of Dagster, for the home.
        names: of the sensors, in the order in which they tick.
        without: assets that are left out of what they ask for, such as explanations that nobody reads in a replay.
    """

    defs: dg.Definitions
    instance: dg.DagsterInstance
    names: Sequence[str]
    without: frozenset[dg.AssetKey] = frozenset()
    cursors: dict[str, str | None] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    said: dict[str, str] = field(default_factory=dict)

    def settle(self) -> Iterator[Sensed]:
        """Tick until no sensor asks for a run that it has not asked for before; each run as it ends."""
        for _ in range(_ROUNDS):
            asked = [run for name in self.names for run in self._tick(name)]
            yield from asked
            if not asked:
                return

    def _tick(self, name: str) -> Iterator[Sensed]:
        repository = self.defs.get_repository_def()
        if not repository.has_sensor_def(name):
            return
        sensor = repository.get_sensor_def(name)
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursors.get(name), repository_def=repository, sensor_name=name
        ) as context:
            found = sensor.evaluate_tick(context)
        self.cursors[name] = found.cursor
        self.said[name] = found.skip_message or ""
        for request in found.run_requests or ():
            key = f"{name}:{request.run_key}"
            if key not in self.keys:
                self.keys.add(key)
                yield self._run(name, request)

    def _run(self, name: str, request: dg.RunRequest) -> Sensed:
        keys = frozenset(request.asset_selection or ()) - self.without
        tags = {str(key): str(value) for key, value in request.tags.items()}
        try:
            if keys:
                run_id = materialize(self.defs, self.instance, keys, tags=tags).run_id
            else:
                run_id = checked(self.defs, self.instance, request.asset_check_keys or (), tags)
        except RunFailed as error:
            return Sensed(name, str(request.run_key), tags, None, str(error))
        return Sensed(name, str(request.run_key), tags, run_id)
