"""Messages and progress bars of the command line, on stderr."""

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from export.cmrclip import NetworkSizes
from export.convolutional import ConvolutionalSizes
from export.evaluate import EmbeddedPairs, embed
from export.pairs import Pairs
from triage.domain.finding import FindingSet
from triage.model.bundle import Bundle, Threshold
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
    if isinstance(video, ConvolutionalSizes):
        tower = f"convolutions of {', '.join(map(str, video.channels))} channels for each view"
    else:
        tower = f"{video.depth} blocks of width {video.width} with {video.heads} heads"
    return (
        f"{video.frames} frames of {video.image}x{video.image}, {tower};"
        f" text of {text.positions} tokens, {text.depth}"
        f" layers of width {text.width} with {text.heads} heads; embeddings of {sizes.embedding}"
    )


def describe_threshold(found: Threshold) -> list[str]:
    """Return a threshold and its predictive values, one a line; a rule in use is marked."""
    kinds = (
        ("positive", "above", found.rule_in_options, found.rule_in),
        ("negative", "below", found.rule_out_options, found.rule_out),
    )
    return [
        f"{found.threshold}",
        *(
            f"{sign} predictive value {option.predictive_value:.2f} {side} {option.score:.3f}"
            f" ({option.measured_on})" + (", IN USE" if option == used else "")
            for sign, side, options, used in kinds
            for option in options
        ),
    ]


def print_message(line: str) -> None:
    """Print a line to stderr."""
    click.echo(line, err=True)


def embed_with_progress(bundle: Bundle, findings: FindingSet, pairs: Pairs) -> EmbeddedPairs:
    """Embed pairs with a bundle, and show the progress."""
    with progress_bar("embedding") as bar:
        task = bar.add_task("embedding", total=len(pairs), loss="")
        return embed(pairs, OnnxEncoder(bundle, "cpu"), findings, lambda: bar.advance(task))
