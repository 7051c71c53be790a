"""Lint of a findings file: what is wrong where, what was expected, and a mended line.

    problem    a problem as a value; its place and its mend
    document   the YAML text with its nodes, and changes of the text
    syntax     what is no YAML
    fields     fields that the models of `entries` refuse, by the type of pydantic's error
    keys       keys and characters that a model does not see: repeated keys, curly quotes, views
    prompts    prompts that measure badly, found by their text alone
    languages  the language of a prompt
    towers     prompts that the vocabulary or the text tower of a bundle does not tell apart
    checks     all rules, and the choice of a mend that was tried

An error means that the file cannot be used; the loader raises exactly these. A warning means that
the file can be used, but a finding would be measured badly.

To add a rule: a code in `problem.Code`, a function in one of the modules, a line in `checks.RULES`,
and a row in the table of ../README.md.
"""
