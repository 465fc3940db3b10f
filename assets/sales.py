"""What lands: the sales lines of each day, and the holidays of the calendar that they follow."""

import dagster as dg

import lightkeeper as lk
from assets.contracts import Holiday, Sale

sales = lk.Landing(
    name="sales",
    contract=Sale,
    folder="sales",
    description="Every line of every invoice and credit note, one file a day, as it came.",
    owners=("team:sales",),
    fresh_within="30h",
    segments=("country",),
)


@dg.asset(
    group_name="landing",
    kinds={"csv", "deltalake"},
    owners=["team:planning"],
    code_version="1",
    metadata=lk.about(Holiday),
    description="Days that differ from their weekday for a known reason, years ahead.",
)
def holidays(landing: lk.LandingFolder) -> lk.TableOutput:
    """The calendar's special days, from the one file that lists them."""
    frame, files = landing.read("holidays", "*.csv")
    return lk.TableOutput(lk.check(frame.collect(), Holiday), files=files)
