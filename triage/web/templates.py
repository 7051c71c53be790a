"""The page's templates. Every value is HTML-escaped."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from triage import __version__
from triage.domain.assessment import format_share
from triage.reports.views import spell_out_views

ENVIRONMENT = Environment(
    loader=PackageLoader("triage.web", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.globals["version"] = __version__
ENVIRONMENT.filters["percent"] = format_share
ENVIRONMENT.filters["spell_out"] = spell_out_views


def _format_date(value: str) -> str:
    """Return YYYYMMDD as YYYY-MM-DD; any other text unchanged."""
    is_date = len(value) == len("YYYYMMDD") and value.isdecimal()
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if is_date else value


ENVIRONMENT.filters["day"] = _format_date


def render(name: str, **values: object) -> str:
    """Return a rendered page."""
    return ENVIRONMENT.get_template(name).render(values)
