"""Party identification in eight National Election Studies, with flat priors (Gelman & Hill 2006, Chapter 4)."""

import torch

from nfbench.targets.posteriordb.linear import LinearRegression, columns
from nfbench.targets.posteriordb.model import Data, add


def _regression(data: Data) -> LinearRegression:
    """On ideology, race, three age groups, education, sex and income."""
    keys = ("real_ideo", "race_adj", "age_discrete", "educ1", "gender", "income", "partyid7")
    ideology, race, age, education, sex, income, party = (torch.tensor(data[key], dtype=torch.float64) for key in keys)
    ages = [(age == group).double() for group in (2, 3, 4)]
    return LinearRegression(columns(ideology, race, *ages, education, sex, income), party)


for _year in range(1972, 2001, 4):
    add(f"nes{_year}-nes", _regression)
