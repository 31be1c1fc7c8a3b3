"""A house in which everything is, made once and copied for each test: shop and forum have the same things each."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from flask import Flask

from postmeter.store.secrets import NewPassword
from support.furnished import Furniture, furnish
from support.panel import House
from support.plugged import plugged
from support.staffed import staff

MARKS = {"shop": "zzours", "forum": "zzforeign"}  # in all that is of an account


@dataclass
class LivedIn:
    """A copy, the panel over it with the pages of all plugins, and what is in it."""

    house: House
    app: Flask
    ours: Furniture
    foreign: Furniture


@dataclass(frozen=True)
class Model:
    """The house that is copied: it is closed, and its data are in ``folder``."""

    folder: Path
    ids: dict[str, int]
    ours: Furniture
    foreign: Furniture

    @classmethod
    def built(cls, house: House, password: NewPassword) -> Model:
        """Put everything into a house, and close it."""
        plugged(house)
        ours, foreign = (furnish(house, account, mark, password) for account, mark in MARKS.items())
        staff(house, password)
        house.store.close()
        return cls(house.settings.data, house.ids, ours, foreign)

    def copy(self, folder: Path) -> LivedIn:
        """A copy in ``folder``."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        house = House.at(folder)
        house.ids.update(self.ids)
        return LivedIn(house, plugged(house), self.ours, self.foreign)
