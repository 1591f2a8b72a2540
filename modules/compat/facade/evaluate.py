"""`modules.evaluate`: the table of past evaluations, of which Paddock has none; evaluating cannot work here."""

from __future__ import annotations

from typing import Any

from modules.compat.facade.internals import Internals

_COLUMNS = ("Model", "LoRAs", "Dataset", "Perplexity", "stride", "max_length", "Date", "Comment")


class Evaluate(Internals):
    """Two tables, and names that raise a sentence."""

    def load_past_evaluations(self) -> Any:
        """A pandas table without rows."""
        import pandas

        return pandas.DataFrame(columns=list(_COLUMNS))

    def generate_markdown_table(self) -> Any:
        """The same: a table for gr.Dataframe, whatever its name says."""
        return self.load_past_evaluations()
