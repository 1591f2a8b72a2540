"""Stores the memory that loads used on this machine, and corrects later plans with it."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from dataclasses import dataclass

from modules.library.memory_plan import DeviceShare, MemoryPlan
from modules.protocol.memory_demand import Demand
from modules.protocol.model_facts import Machine
from modules.settings.user_settings import YamlStore

_MAX_ENTRIES = 500
_OF_CARDS = ("card_loaded", "card_peak", "card_expected")


@dataclass(frozen=True)
class Measurement:
    """The memory of one class of loads.

    `loaded`: bytes of main memory after the load. `peak`: the most bytes, with a context of `context` tokens.
    `expected`: the plan's bytes after the load. `on_cpu`: the load used no accelerator. `card_loaded`, `card_peak`,
    `card_expected`: the same of all graphics cards together; 0 if the driver does not say what a process uses.
    """

    loaded: int
    peak: int
    context: int
    expected: int
    on_cpu: bool = False
    card_loaded: int = 0
    card_peak: int = 0
    card_expected: int = 0


class MemoryMeasurements:
    """Measurements in a YAML file. Thread-safe."""

    def __init__(self, store: YamlStore) -> None:
        self._store = store

    def find(self, key: str) -> Measurement | None:
        """Return the measurement under `key` (see `measurement_key`), or None if there is none that can be read."""
        entry = self._store.get(key)
        if not isinstance(entry, dict):
            return None
        # Entries of older versions have nothing of cards.
        values = {**dict.fromkeys(_OF_CARDS, 0), **entry}
        names = [field.name for field in dataclasses.fields(Measurement)]
        if any(not isinstance(values.get(name), int) for name in names):
            return None
        return Measurement(**{name: values[name] for name in names})

    def record(self, key: str, measurement: Measurement, model: str, loader: str) -> None:
        """Save a measurement. Of several with the same context, the highest peak stays: few loads are used fully."""
        known = self.find(key)
        if known and known.context == measurement.context:
            measurement = dataclasses.replace(
                measurement,
                peak=max(known.peak, measurement.peak),
                card_peak=max(known.card_peak, measurement.card_peak),
            )
        entry = {"model": model, "loader": loader, "at": int(time.time()), **dataclasses.asdict(measurement)}
        entries = {**self._store.items(), key: entry}
        dated = sorted(entries, key=lambda name: _date(entries[name]), reverse=True)
        self._store.update({key: entry, **dict.fromkeys(dated[_MAX_ENTRIES:])})


def _date(entry: object) -> int:
    at = entry.get("at") if isinstance(entry, dict) else None
    return at if isinstance(at, int) else 0


def measurement_key(identity: str, environment: str, demand: Demand, machine: Machine) -> str:
    """Return the key of a class of loads.

    Loads of one class have the same model files, environment and devices, and the same demand except for the context,
    with which only the cache grows.
    """
    same = _without_context(demand)
    if draft := demand.draft:
        same = dataclasses.replace(same, draft=dataclasses.replace(draft, demand=_without_context(draft.demand)))
    devices = [gpu.name for gpu in machine.gpus]
    return hashlib.sha256(repr((identity, environment, same, devices)).encode()).hexdigest()[:16]


def _without_context(demand: Demand) -> Demand:
    return dataclasses.replace(demand, context=0, cache_tokens=0, cache_bytes=None)


def apply_measurement(planned: MemoryPlan, found: Measurement) -> MemoryPlan:
    """Return the plan corrected by a measurement of its class.

    The difference between the measured and the expected bytes belongs to the environment, for any context. A context
    that is at least as large as the measured one needs at least the measured peak.
    """
    main = planned.shares[0]
    process = max(0, main.process + found.loaded - found.expected)
    shift = process - main.process
    main = dataclasses.replace(main, process=process)
    if planned.context >= found.context and main.total < found.peak:
        main = dataclasses.replace(main, compute=main.compute + found.peak - main.total)
    cards = _apply_to_cards(planned, found) if found.card_loaded else planned.shares[1:]
    return dataclasses.replace(planned, shares=(main, *cards), at_load=planned.at_load + shift, measured=True)


def _apply_to_cards(planned: MemoryPlan, found: Measurement) -> tuple[DeviceShare, ...]:
    """Return the cards' shares, corrected as main memory is. What all cards took beside the plan is spread evenly."""
    cards = planned.shares[1:]
    if not cards:
        return cards
    shift = (found.card_loaded - found.card_expected) // len(cards)
    cards = tuple(dataclasses.replace(card, process=max(0, card.process + shift)) for card in cards)
    missing = found.card_peak - sum(card.total for card in cards)
    if planned.context < found.context or missing <= 0:
        return cards
    return tuple(dataclasses.replace(card, compute=card.compute + missing // len(cards)) for card in cards)
