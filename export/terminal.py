"""Messages and progress bars of the command line, on stderr."""

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from export.cmrclip import NetworkSizes
from export.evaluate import EmbeddedPairs, embed
from export.pairs import Pairs
from triage.domain.finding import FindingSet
from triage.model.bundle import Bundle
from triage.model.encoder import OnnxEncoder


def progress_bar(what: str) -> Progress:
    """Return a progress bar on stderr with the field `loss`."""
    return Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def describe_sizes(sizes: NetworkSizes) -> str:
    """Return the sizes of a network as a line of text."""
    video, text = sizes.video, sizes.text
    return (
        f"{video.frames} frames of {video.image}x{video.image}, {video.depth} blocks of width"
        f" {video.width} with {video.heads} heads; text of {text.positions} tokens, {text.depth}"
        f" layers of width {text.width} with {text.heads} heads; embeddings of {sizes.embedding}"
    )


def print_message(line: str) -> None:
    """Print a line to stderr."""
    click.echo(line, err=True)


def embed_with_progress(bundle: Bundle, findings: FindingSet, pairs: Pairs) -> EmbeddedPairs:
    """Embed pairs with a bundle, and show the progress."""
    with progress_bar("embedding") as bar:
        task = bar.add_task("embedding", total=len(pairs), loss="")
        return embed(pairs, OnnxEncoder(bundle, "cpu"), findings, lambda: bar.advance(task))
