"""Change windows and freezes, with zones and daylight saving time. Instants are aware datetimes; a window is half-open.

calendar = read_calendar("Nights", "window", text_of_an_icalendar, "Europe/Berlin")
default = WeeklyIn(parse_weekly("Mon-Fri 09:00-18:00"), ZoneInfo("Europe/Berlin"))
inside, words, opens_at = state([calendar], "web", Impact.MEDIUM, at, default)
"""

from selfheal.windows.calendars import KINDS, Calendar, read_calendar, unreadable
from selfheal.windows.files import Declared, read_file
from selfheal.windows.lines import MAX_BYTES, split_lines
from selfheal.windows.state import Opening, State, openings, openings_of, shown, standing, state
from selfheal.windows.weekly import DAYS, Weekly, WeeklyIn, parse_weekly
from selfheal.windows.zones import zone_named

__all__ = [
    "DAYS",
    "KINDS",
    "MAX_BYTES",
    "Calendar",
    "Declared",
    "Opening",
    "State",
    "Weekly",
    "WeeklyIn",
    "openings",
    "openings_of",
    "parse_weekly",
    "read_calendar",
    "read_file",
    "shown",
    "split_lines",
    "standing",
    "state",
    "unreadable",
    "zone_named",
]
