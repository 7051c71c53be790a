"""Opens what `triage score` needs, and scores studies in processes of their own.

Each process opens the encoder once. A study that ends its process, e.g. for lack of memory, is
reported with the exit status, and another process goes on with the next study.
"""

import hashlib
import os
import signal
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from triage import __version__
from triage.config import Settings
from triage.domain.errors import CommandFailed
from triage.domain.finding import FindingSet
from triage.imaging.rules import load_rules
from triage.model.bundle import Bundle
from triage.model.encoder import OnnxEncoder
from triage.model.questions import Questions
from triage.pipeline.model_input import LoadedModel
from triage.pipeline.score_studies import (
    FolderStudy,
    ScoreRow,
    StudyScorer,
    describe_failure,
    explain_study,
)
from triage.runtime.findings import load_file_findings
from triage.runtime.model import DEMO_BUNDLE, DEMO_FINDINGS, open_model
from triage.runtime.settings import load_settings
from triage.telemetry import logs

SHOWN = 12  #: characters of a digest

SPAWN = get_context("spawn")  # ONNX Runtime does not survive a fork


@dataclass(frozen=True)
class Scoring:
    """A model without its encoder, so that it can be sent to other processes."""

    bundle: Bundle
    findings: FindingSet
    questions: Questions
    settings: Settings

    @property
    def finding_ids(self) -> tuple[str, ...]:
        """The ids of the findings, in the order of their file."""
        return tuple(finding.id for finding in self.findings.findings)

    @property
    def views(self) -> tuple[str, ...]:
        """The view slots of the bundle."""
        return tuple(slot.view for slot in self.bundle.manifest.layout)

    @property
    def made_with(self) -> str:
        """Return what the scores depend on besides the images, as text."""
        parts = [
            f"triage {__version__}",
            f"bundle {self.bundle.digest[:SHOWN]}",
            f"findings {self.findings.digest[:SHOWN]}",
        ]
        if fits := "".join(sorted(question.fitted for question in self.questions.values())):
            parts.append(f"fits {_digest(fits.encode())}")
        if site := "".join(map(repr, self.findings.calibrations.values())):
            parts.append(f"thresholds of the site {_digest(site.encode())}")
        if (rules := self.settings.series_rules) is not None:
            parts.append(f"series rules {_digest(rules.read_bytes())}")
        if self.settings.model.mark_unfamiliar:
            parts.append("unfamiliar studies marked")
        return ", ".join(parts)

    def open_scorer(self, threads: int) -> StudyScorer:
        """Open the encoder with so many threads; 0: one for each core."""
        chosen = self.settings.model
        encoder = OnnxEncoder(self.bundle, chosen.provider, threads, chosen.fallback)
        model = LoadedModel(
            self.bundle, encoder, self.findings, self.questions, chosen.mark_unfamiliar
        )
        return StudyScorer(model, load_rules(self.settings.series_rules), read_file)


def choose_model(settings: Settings, bundle: Path | None, findings: Path | None) -> Settings:
    """Return settings with the bundle and the findings to score with.

    None: those of the settings. Without any settings the bundle is the demo bundle, with the
    findings that it was calibrated for.
    """
    defaults = load_settings(None, {})
    chosen = bundle or (DEMO_BUNDLE if settings == defaults else settings.model.bundle)
    is_demo = chosen.resolve() == DEMO_BUNDLE.resolve()
    if findings is None and is_demo and settings.findings == defaults.findings:
        findings = DEMO_FINDINGS
    model = settings.model.model_copy(update={"bundle": chosen})
    return settings.model_copy(update={"model": model, "findings": findings or settings.findings})


def open_scoring(settings: Settings, *, by_file: bool = False) -> Scoring:
    """Open and try the model of the settings; raise ConfigurationError if it does not work.

    `by_file`: use the findings file although the ledger of the site has findings.
    """
    load_rules(settings.series_rules)
    findings = load_file_findings(settings.findings) if by_file else None
    model = open_model(settings, cache=None, findings=findings)
    return Scoring(model.bundle, model.findings, model.questions, settings)


def choose_workers(settings: Settings) -> int:
    """Return how many processes score by default: one for each core, or one on a GPU."""
    if settings.model.provider == "cuda":
        return 1
    has_affinity = hasattr(os, "sched_getaffinity")  # not on every system
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1


def read_file(path: str) -> bytes:
    """Return the content of a file."""
    return Path(path).read_bytes()


def score_in_processes(
    scoring: Scoring, studies: Sequence[FolderStudy], workers: int
) -> Generator[tuple[ScoreRow, ...], None, None]:
    """Yield the rows of each study as they are ready; closing the generator ends the processes.

    Raises:
        CommandFailed: A process does not start.
    """
    waiting = deque(studies)
    count = min(workers, len(studies))
    threads = scoring.settings.model.threads or (1 if count > 1 else 0)
    running = [_ScoringProcess(scoring, threads) for _ in range(count)]
    try:
        while running:
            for process in _wait_for_answers(running):
                rows = process.receive()
                if rows:
                    yield rows
                if process.has_ended:
                    running.remove(process)
                    if waiting:
                        running.append(_ScoringProcess(scoring, threads))
                elif waiting:
                    process.send(waiting.popleft())
                else:
                    running.remove(process)
                    process.end()
    finally:
        for process in running:
            process.end()


def _wait_for_answers(running: Sequence["_ScoringProcess"]) -> list["_ScoringProcess"]:
    ready = wait([process.connection for process in running])
    return [process for process in running if process.connection in ready]


@dataclass
class _ScoringProcess:
    """A process that scores one study at a time."""

    scoring: Scoring
    threads: int
    has_ended: bool = False
    connection: Connection = field(init=False)
    _process: BaseProcess = field(init=False)
    _study: FolderStudy | None = None  #: the study that it scores

    def __post_init__(self) -> None:
        self.connection, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(
            target=_serve, args=(theirs, self.scoring, self.threads), daemon=True
        )
        # An interrupt is for the command alone, which ends this process; the mask is inherited.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def send(self, study: FolderStudy) -> None:
        """Give it a study."""
        self._study = study
        with suppress(BrokenPipeError):  # it has ended: `receive` explains it
            self.connection.send(study)

    def receive(self) -> tuple[ScoreRow, ...]:
        """Return the rows of its study; none if it has just started."""
        study, self._study = self._study, None
        try:
            rows: tuple[ScoreRow, ...] = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            self.has_ended = True
            return self._explain_end(study)
        return rows

    def _explain_end(self, study: FolderStudy | None) -> tuple[ScoreRow, ...]:
        status = f"a process that ended with status {self._process.exitcode}"
        if study is None:
            raise CommandFailed(
                f"{status} before it scored a study: see its error above; if there is none, memory "
                "may be too small for so many --workers"
            )
        return (explain_study(study, describe_failure(status), read_file),)

    def end(self) -> None:
        """End the process, also while it scores."""
        self._process.terminate()
        self._process.join()
        self.connection.close()


def _serve(connection: Connection, scoring: Scoring, threads: int) -> None:
    """Score the studies that a connection brings, until the process is ended."""
    logs.configure(scoring.settings.log)
    scorer = scoring.open_scorer(threads)
    with suppress(EOFError, BrokenPipeError):  # the command was killed
        connection.send(())
        while True:
            connection.send(scorer.score(connection.recv()))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:SHOWN]
