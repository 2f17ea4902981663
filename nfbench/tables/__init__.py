"""Tables of stored records: of experiments, and of timings; one machinery writes both."""

from nfbench.tables.experiment import everything, select, table, tables
from nfbench.tables.text import interval, number

__all__ = ["everything", "interval", "number", "select", "table", "tables"]
