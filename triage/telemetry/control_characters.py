"""Replace the characters that a terminal obeys instead of showing them.

Names, descriptions and AE titles come from the network. An escape sequence (ECMA-48) among them can
rename the window, move the cursor over earlier lines, or write into the clipboard, and a
bidirectional control (Unicode Annex 9) shows a line in another order than it is.
"""

#: Line feeds and tabs stay.
_CONTROLS = [*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0)]
_BIDIRECTIONAL = [0x061C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F)]
_BIDIRECTIONAL += range(0x2066, 0x206A)
_REPLACEMENTS = dict.fromkeys([*_CONTROLS, *_BIDIRECTIONAL], "?")


def replace_control_characters(text: str) -> str:
    """Return a text with each control character but line feed and tab replaced by `?`."""
    return text.translate(_REPLACEMENTS)
