"""The columns of the table: which play, and what besides has to be true."""

from dataclasses import dataclass

from cut import AfterCounting


@dataclass(frozen=True)
class Column:
    name: str
    title: str
    play: str
    patience: float = 100
    cut: bool = False

    def cutter(self, counted):
        return AfterCounting(counted) if self.cut else None


COLUMNS = [
    Column("injected", "injected call", "injected"),
    Column("mixed", "mixed turn", "mixed"),
    Column("parallel", "two parallel mixed", "parallel"),
    Column("turns", "three turns", "turns"),
    Column("slow", "tool of 20 s", "slow"),
    Column("error", "provider error", "error"),
    Column("cut", "retry after a cut", "cut", cut=True),
]
LONG = Column("long", "tool of 330 s", "long", patience=460)
TEN = Column("ten", "ten turns", "ten")
CUTS = Column("cuts", "cut at random points", "cuts")
