"""Malformed YAML documents as Hypothesis strategies, made from a valid one by a few changes."""

from hypothesis import strategies as st

from tests.builders.bent import lied

#: What YAML gives a meaning to, and what its reader stumbles over.
PIECES = [
    "&a ", "*a", "<<: *a", "? ", "- ", "{", "}", "[", "]", "|", ">", "%YAML 1.1\n", "\t", "---\n",
    "...", "'", '"', "!!python/object:os.system ", "!!binary ", "!!set ", "1e999", "2026-99-99",
    "0o9", "9" * 5000, "\x00", "\x85", "\u2028", "\ufeff", ".nan", "-.inf", "null", "~", "true",
    ": ",    "[" * 100, "&a [*a]", "[&b [x,x],*b,*b]",
]  # fmt: skip


@st.composite
def malformed_documents(draw: st.DrawFn, valid: str) -> str:
    """Return a document with other lines, pieces of YAML in it, or other bytes."""
    lines = valid.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            lines[at] = lines[draw(st.integers(0, len(lines) - 1))]
        elif kind == 1:
            lines.insert(at, draw(st.sampled_from(PIECES)) + "\n")
        elif kind == 2:
            head, colon, _ = lines[at].partition(":")
            lines[at] = f"{head}{colon} {draw(st.sampled_from(PIECES))}\n"
        elif kind == 3:
            lines[at] = f"{draw(st.sampled_from(['', ' ', '    ']))}{lines[at]}"
        else:
            lines[at] = draw(lied(lines[at].encode())).decode(errors="replace")
    return "".join(lines)
