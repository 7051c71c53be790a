"""Splits HL7 v2 files into messages, segments and fields (HL7 2.5.1 chapter 2).

The parser is tolerant. Segments end with CR, LF or both. A message is in an MLLP frame
(0B .. 1C 0D), in a batch (FHS, BHS), or bare. A line that begins no segment continues the previous
field, because some systems break the lines of a text without an escape.

hl7apy, which writes the worker's own messages, is not used to read: it rejects every version
without a table of its own ("2.31", an empty MSH-12) and every stray line, and takes 0.6 ms a
segment, which is an hour for the reports of an archive.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 20  #: bytes
BOM = b"\xef\xbb\xbf"
#: Table 0211, by prefix of MSH-18; anything else is read as UTF-8 if valid, else as Latin-1.
CHARACTER_SETS = {
    "8859/15": "iso8859-15",
    **{f"8859/{number}": f"iso8859-{number}" for number in range(1, 10)},
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "WINDOWS-1252": "cp1252",
    "ISO IR87": "iso2022_jp",
    "ISO IR159": "iso2022_jp_1",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
}
_ENDS = re.compile(rb"[\r\n\x0b\x1c]+")
_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}(?=\W|$)")
_BATCH = (b"FHS", b"BHS", b"BTS", b"FTS")


@dataclass(frozen=True)
class Hl7Message:
    """The segments of a message, and its separators (MSH-1, MSH-2)."""

    lines: tuple[str, ...]
    charset: str
    line: int = 1  #: number of its first segment in the file

    @property
    def field(self) -> str:
        """Return the field separator."""
        return self.lines[0][3]

    @property
    def signs(self) -> str:
        """Return the component and repetition separators, the escape, the sub-component one."""
        given = self.lines[0][4:].split(self.field)[0]
        return given[:4] + "^~\\&"[len(given[:4]) :]

    def segments(self) -> Iterator["Hl7Segment"]:
        """Yield the segments in order."""
        for line in self.lines:
            name, *fields = line.split(self.field)
            # MSH-1 is the separator itself.
            yield Hl7Segment(
                name, ("", self.field, *fields) if name == "MSH" else ("", *fields), self
            )


@dataclass(frozen=True)
class Hl7Segment:
    """One segment; field numbers are those of the standard."""

    name: str
    fields: tuple[str, ...]
    message: Hl7Message

    def raw(self, field: int) -> str:
        """Return a field unparsed, "" if it is missing."""
        return self.fields[field] if field < len(self.fields) else ""

    def repetitions(self, field: int) -> list[list[str]]:
        """Return the components of each repetition of a field, unescaped."""
        component, repetition, *_ = list(self.message.signs)
        return [
            [self.text(part).strip() for part in value.split(component)]
            for value in self.raw(field).split(repetition)
            if value.strip()
        ]

    def first(self, field: int) -> str:
        """Return the first component of a field."""
        found = self.repetitions(field)
        return found[0][0] if found else ""

    def text(self, value: str) -> str:
        """Return a value with escapes resolved (2.7): formatting becomes line breaks or nothing."""
        component, repetition, escape, sub = list(self.message.signs)
        if escape not in value:
            return value
        signs = {"F": self.message.field, "S": component, "T": sub, "R": repetition, "E": escape}

        def resolve(match: re.Match[str]) -> str:
            name = match[1]
            if name in signs:
                return signs[name]
            if re.fullmatch("X(?:[0-9A-Fa-f]{2})+", name):
                return bytes.fromhex(name[1:]).decode(self.message.charset, "replace")
            return "\n" if name.startswith((".br", ".sp", ".ce", ".BR")) else ""

        mark = re.escape(escape)
        known = r"[FSTREHN]|[XZCM][0-9A-Za-z]*|\.(?:br|BR|sp|ce|fi|nf|in|ti|sk)[ +\-0-9]*"
        return re.sub(rf"{mark}({known}){mark}", resolve, value)


def read_messages(path: Path) -> Iterator[Hl7Message]:
    """Yield the messages of a file with any separators; one message is in memory at a time."""
    lines: list[bytes] = []
    begins = 1
    for number, line in enumerate(_split(path), start=1):
        if line.startswith(b"MSH"):
            if lines:
                yield _message(lines, begins)
            lines, begins = [line], number
        elif lines and not line.startswith(_BATCH):
            lines.append(line)
    if lines:
        yield _message(lines, begins)


def parse_message(content: bytes) -> Hl7Message | None:
    """Return one message without its frame; None if it does not begin with MSH."""
    lines = [line.removeprefix(BOM) for line in _ENDS.split(content)]
    lines = [line for line in lines if line]
    return _message(lines, 1) if lines and lines[0].startswith(b"MSH") else None


def is_hl7(path: Path) -> bool:
    """Return whether a file begins like HL7 v2."""
    with path.open("rb") as file:
        start = file.read(64).removeprefix(BOM).lstrip(b"\x0b\r\n ")
    return start.startswith((b"MSH", *_BATCH)) and not start[3:4].isalnum()


def _split(path: Path) -> Iterator[bytes]:
    """Yield the non-empty lines of a file with any line ends."""
    rest = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            *whole, rest = _ENDS.split(rest + chunk)
            yield from (line.removeprefix(BOM) for line in whole if line)
    if rest:
        yield rest


def _message(lines: list[bytes], begins: int) -> Hl7Message:
    separator = lines[0][3:4] or b"|"
    fields = lines[0].split(separator)
    stated = fields[17].decode("ascii", "replace").strip().upper() if len(fields) > 17 else ""  # noqa: PLR2004 - MSH-18
    found = (name for name in sorted(CHARACTER_SETS, reverse=True) if stated.startswith(name))
    charset = CHARACTER_SETS.get(next(found, ""), "utf-8")
    try:
        text = [line.decode(charset) for line in lines]
    except UnicodeDecodeError:
        charset = "latin-1"
        text = [line.decode(charset) for line in lines]
    if len(text[0]) < len("MSH|"):
        text[0] = "MSH|^~\\&"
    return Hl7Message(tuple(_joined(text, text[0][3])), charset, begins)


def _joined(lines: list[str], field: str) -> list[str]:
    """Append a line that begins no segment to the previous line."""
    joined: list[str] = []
    for line in lines:
        name = _SEGMENT.match(line)
        if joined and (name is None or line[3:4] not in {field, ""}):
            joined[-1] += "\n" + line
        else:
            joined.append(line)
    return joined
