"""The page's templates. Rule: everything that is put into one is escaped."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from triage import __version__
from triage.domain.assessment import in_percent
from triage.reports.views import spell_out_views

ENVIRONMENT = Environment(
    loader=PackageLoader("triage.web", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.globals["version"] = __version__
ENVIRONMENT.filters["percent"] = in_percent
ENVIRONMENT.filters["worded"] = spell_out_views


def _day(value: str) -> str:
    """Return YYYYMMDD as people read it; what is no such date as it is."""
    whole = len(value) == len("YYYYMMDD") and value.isdecimal()
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if whole else value


ENVIRONMENT.filters["day"] = _day


def render(name: str, **values: object) -> str:
    """Return a page."""
    return ENVIRONMENT.get_template(name).render(values)
