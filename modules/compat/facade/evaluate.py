"""`modules.evaluate`: the table of past evaluations, which is empty here. Evaluating does not work."""

from __future__ import annotations

from modules.compat.facade.internals import Internals

_COLUMNS = ("Model", "LoRAs", "Dataset", "Perplexity", "stride", "max_length", "Date", "Comment")


class Evaluate(Internals):
    """Two tables, and names that raise an error."""

    def load_past_evaluations(self) -> object:
        """Return a pandas table without rows."""
        import pandas

        return pandas.DataFrame(columns=list(_COLUMNS))

    def generate_markdown_table(self) -> object:
        """Return the same table, for gr.Dataframe, despite its name."""
        return self.load_past_evaluations()
