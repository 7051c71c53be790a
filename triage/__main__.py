"""The command line. No logic here: each command composes, calls one thing and prints."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from functools import partial
from getpass import getuser
from pathlib import Path
from typing import TextIO

import click

from receivers import stow, tls
from triage import __version__, demo, logs, terminal
from triage import series as audit
from triage.assess import read_summary
from triage.bootstrap import (
    CACHE,
    Services,
    SystemClock,
    existing_ledger,
    open_destinations,
    open_fittings,
    open_ledger,
    open_model,
    open_past,
    open_web,
    state_folder,
)
from triage.broker.embedded import EmbeddedRedis
from triage.broker.queue import ASSESS, DELIVER
from triage.cases.looks import KINDS as LOOKS_AT_CASES
from triage.cases.looks import Looks
from triage.cases.search import as_json as cases_as_json
from triage.cases.search import read_search
from triage.commands.findings import findings
from triage.commands.index import index
from triage.commands.token import token
from triage.config import USER, Settings, child_environment, load, require_peers, shown
from triage.domain.errors import (
    ConfigurationError,
    DeliveryFailed,
    LedgerUnavailable,
    TriageError,
)
from triage.domain.instance import Source
from triage.domain.study import Event, State
from triage.imaging.rules import load_rules
from triage.lock import sole_receiver
from triage.model.bundle import open_bundle
from triage.phantom.archive import write_archive, write_study
from triage.phantom.heart import Pathology, draw
from triage.phantom.sheet import pathology_hearts, write_sheet
from triage.phantom.signal import LOOKS
from triage.receive import receive as receive_until_ended
from triage.send import Peer, dicom_files
from triage.send import send as send_files
from triage.store.ledger import SqlLedger
from triage.supervisor import Part, end_with, supervise
from triage.web.passwords import hashed
from triage.web.server import serve as answer_until_ended
from triage.worker import build_app
from triage.worker import work as work_until_ended

OWNER_ONLY = 0o077
USAGE = 2
PASSWORD_LEAST = 12  #: characters
DEMO_SEED = 5  #: a heart with several findings


class Commands(click.Group):
    """A group whose errors are sentences, not traces."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; an error that was raised on purpose ends with its message."""
        try:
            return super().invoke(ctx)
        except TriageError as error:
            terminal.complain(f"error: {error}")
            sys.exit(USAGE)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="triage")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings of this site, a YAML file. [default: $TRIAGE_CONFIG; deploy/triage.yaml "
    "explains every field]",
)
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """DICOM triage worker for cardiac MRI. Research use only: it assists, it never decides.

    A PACS sends a study over C-STORE; a Structured Report comes back with one flag per configured
    finding, saying why, and what was not looked at.

    \b
    First steps:
      triage demo                          see the whole way with a test PACS
      triage --config triage.yaml check    are settings, prompts, model and PACS all right?
      triage --config triage.yaml serve    run everything
      triage --config triage.yaml status   what became of the studies?
    """
    os.umask(OWNER_ONLY)
    ctx.obj = config


main.add_command(findings)
main.add_command(index)
main.add_command(token)


@contextmanager
def _broker(settings: Settings) -> Iterator[tuple[str, EmbeddedRedis | None]]:
    """Yield the configured Redis, or a private one that ends with the block."""
    if settings.redis_url is not None:
        yield settings.redis_url, None
        return
    with EmbeddedRedis(settings.state_dir) as private:
        yield private.url, private


parent_option = click.option("--parent", type=int, hidden=True, help="End with this process.")


def _started(config: Path | None, parent: int | None) -> Settings:
    """Return the settings of a service that starts now."""
    settings = load(config)
    require_peers(settings)
    logs.configure(settings.log)
    if parent is not None:
        end_with(parent)
    return settings


def _check_receiver(settings: Settings) -> None:
    """Raise ConfigurationError where the certificate of a TLS port cannot be used."""
    if settings.receiver.tls is not None:
        tls.context(settings.receiver.tls)
    if settings.receiver.stow is not None:
        stow.context_of(settings.receiver.stow)


@main.command()
@click.pass_obj
def serve(config: Path | None) -> None:
    """Run everything in one process group: Redis, receiver, workers, and the page if it has users.

    Ends with Ctrl-C or SIGTERM, after the work in hand. A part that dies is started again.
    """
    settings = _started(config, None)
    # What is wrong must show here, not in a restart loop; a library that is down may come back.
    _check_receiver(settings)
    model = open_model(settings, state_folder(settings) / CACHE)
    with suppress(LedgerUnavailable):
        open_past(settings, model.bundle)
    with sole_receiver(state_folder(settings)), _broker(settings) as (redis_url, private):
        environment = child_environment(config, redis_url)
        assess = ("work", "--queue", ASSESS)
        assessors = [
            Part(f"assess-{number}", assess, environment)
            for number in range(settings.worker.assessors)
        ]
        receiver = Part("receive", ("receive",), environment)
        deliverer = Part("deliver", ("work", "--queue", DELIVER), environment)
        parts = [receiver, *assessors, deliverer]
        if settings.web.users:
            parts.append(Part("web", ("web",), environment))
        if model.identity.trained:
            parts.append(Part("index", ("index", "--spool"), environment, once=True))
        supervise(parts, private)


@main.command()
@parent_option
@click.pass_obj
def receive(config: Path | None, parent: int | None) -> None:
    """Receive studies, over C-STORE or as the settings say, and hand complete ones to workers."""
    settings = _started(config, parent)
    supervised = nullcontext() if parent else sole_receiver(state_folder(settings))
    with supervised, _broker(settings) as (redis_url, _private):
        receive_until_ended(Services(settings, redis_url))


@main.command()
@click.option(
    "--queue",
    type=click.Choice([ASSESS, DELIVER, "both"]),
    default="both",
    show_default=True,
    help="What to work on. Deliveries have workers of their own in `triage serve`, so that a long "
    "assessment holds none up.",
)
@parent_option
@click.pass_obj
def work(config: Path | None, queue: str, parent: int | None) -> None:
    """Assess studies and deliver reports, one task at a time. Start several for more."""
    settings = _started(config, parent)
    queues = [ASSESS, DELIVER] if queue == "both" else [queue]
    with _broker(settings) as (redis_url, _private):
        services = Services(settings, redis_url)
        assessor = services.assessor() if ASSESS in queues else None
        deliverer = services.deliverer() if DELIVER in queues else None
        work_until_ended(build_app(redis_url, assessor, deliverer), queues)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to send to.")
@click.option("--port", type=int, help="[default: receiver.port of the settings]")
@click.option("--called", help="AE title to call. [default: receiver.ae_title of the settings]")
@click.option("--calling", help="AE title to call as. [default: the first of receiver.calling]")
@click.pass_obj
def send(  # noqa: PLR0913, PLR0917 - click reads \b; one argument an option
    config: Path | None,
    folder: Path,
    host: str,
    port: int | None,
    called: str | None,
    calling: str | None,
) -> None:
    """Send every DICOM file below FOLDER over C-STORE, as a PACS would.

    \b
    triage --config triage.yaml send ./study
    triage send ./study --host 10.1.2.3 --port 104 --called ARCHIVE --calling ME
    """
    receiver = load(config).receiver
    ours = calling or next(iter(receiver.titles()), "TRIAGE-SEND")
    peer = Peer(host, port or receiver.port, called or receiver.ae_title, ours)
    _sent(dicom_files(folder), peer)


def _sent(files: list[Path], peer: Peer) -> None:
    with terminal.progress("sending", len(files)) as bar:
        sent = send_files(files, peer, lambda: bar.advance(bar.task_ids[0]))
    failed = [each for each in sent if not each.stored]
    for each in failed[:10]:
        terminal.complain(f"not stored: {each.path}: {each.answer}")
    if failed:
        raise DeliveryFailed(f"{len(failed)} of {len(files)} instances were not stored")
    terminal.say(f"{len(files)} instances stored at {peer.called_ae}")


@main.command()
@click.argument("study_uid", required=False)
@click.option("--state", "states", multiple=True, type=click.Choice([*State]), help="Only these.")
@click.option("--incidents", default=10, show_default=True, help="How many of the newest to show.")
@click.option("--looks", default=0, show_default=True, help="As many looks at past cases.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one object a study.")
@click.pass_obj
def status(  # noqa: PLR0913 - one argument an option
    config: Path | None,
    study_uid: str | None,
    states: tuple[str, ...],
    incidents: int,
    looks: int,
    *,
    as_json: bool,
) -> None:
    """Show what became of the studies, or everything about one STUDY_UID."""
    ledger = existing_ledger(load(config))
    if study_uid is not None:
        _one_study(ledger, study_uid)
        return
    found = ledger.studies(*(State(state) for state in states))
    if as_json:
        click.echo(json.dumps([asdict(study) for study in found], indent=2))
        return
    terminal.studies(found)
    terminal.incidents(ledger.incidents(incidents, but=LOOKS_AT_CASES))
    terminal.incidents(ledger.incidents(looks, of=LOOKS_AT_CASES), "Looks at past cases")


def _one_study(ledger: SqlLedger, study_uid: str) -> None:
    revisions = [study for study in ledger.studies() if study.study_uid == study_uid]
    if not revisions:
        raise ConfigurationError(f"the ledger knows no study {study_uid}")
    terminal.studies(revisions)
    terminal.history(ledger.history(study_uid))
    terminal.deliveries(ledger.deliveries(study_uid, revisions[-1].revision))
    summary = ledger.summary(study_uid, revisions[-1].revision)
    if summary is not None:
        terminal.flags(read_summary(summary))


@main.command()
@click.argument("study_uid", required=False)
@click.option("--all", "all_", is_flag=True, help="Every study that FAILED.")
@click.pass_obj
def replay(config: Path | None, study_uid: str | None, *, all_: bool) -> None:
    """Assess and deliver again: one failed or declined STUDY_UID, or all failed studies.

    What a destination has acknowledged is not sent to it again.
    """
    if (study_uid is None) != all_:
        raise click.UsageError("name a STUDY_UID, or say --all")
    ledger = existing_ledger(load(config))
    states = [State.FAILED] if all_ else [State.FAILED, State.DECLINED]
    failed = [s for s in ledger.studies(*states) if all_ or s.study_uid == study_uid]
    if not failed and not all_:
        raise ConfigurationError(f"no study {study_uid} is FAILED or DECLINED; see `triage status`")
    replayed = [s for s in failed if ledger.move(s, Event.REPLAYED, "asked for by `replay`")]
    terminal.say(f"{len(replayed)} studies are ready again")


@main.command("demo")
@click.option(
    "--study",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder of DICOM files. [default: a synthetic heart, drawn now]",
)
@click.option("--real", is_flag=True, help="The small real study that comes with the project.")
@click.option("--seed", default=DEMO_SEED, show_default=True, help="Which heart is drawn.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep everything here that the test PACS received. [default: ./demo-received]",
)
def demo_command(study: Path | None, *, real: bool, seed: int, out: Path | None) -> None:
    """See the whole way: a test PACS sends a study, the report comes back, flags are shown.

    A synthetic heart meets a small model that was trained on such hearts, and its flags are
    compared with what was drawn. Any other study meets an untrained one: nothing is evaluated.
    Uses free loopback ports and a temporary folder, and ends everything that it started.
    """
    if real and study is not None:
        raise click.UsageError("--real and --study name two studies; give one")
    received = (out or Path("demo-received")).resolve()
    folder = Path(tempfile.mkdtemp(prefix="cmr-triage-demo-"))
    try:
        sent = demo.REAL_STUDY if real else study or _drawn(folder / "heart", seed)
        files, truth = dicom_files(sent), demo.drawn_truth(sent)
        _show(files, truth, folder, received)
    finally:
        shutil.rmtree(folder)


def _drawn(folder: Path, seed: int) -> Path:
    heart = draw(seed)
    terminal.say(f"drawing a heart: {', '.join(heart.pathologies)} (seed {seed}) ...")
    write_study(folder, heart)
    return folder


def _show(
    files: list[Path], truth: Mapping[str, bool] | None, folder: Path, received: Path
) -> None:
    say = terminal.say
    bundle = demo.UNTRAINED if truth is None else demo.DRAWN_HEARTS
    say("starting Redis, receiver, workers and a test PACS on loopback ...")
    with demo.running(folder, received, bundle) as running:
        _sent(files, running.worker)
        ledger = open_ledger(load(running.config, {}), SystemClock())
        with terminal.complaints.status("waiting for the report ..."):
            ended = [demo.wait_for_end(ledger, uid) for uid in demo.study_uids(files)]
        for study in ended:
            summary = ledger.summary(study.study_uid, study.revision)
            if summary is not None:
                terminal.flags(read_summary(summary), truth)
            say(f"\nstudy {study.state}: {study.reason}")
            for each in ledger.deliveries(study.study_uid, study.revision):
                say(f"{each.product.kind}: {received / each.product.sop_instance_uid}.dcm")
        ledger.close()


@main.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write studies below this folder.",
)
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the first study; the next has +1.")
@click.option(
    "--pathology",
    "pathologies",
    multiple=True,
    type=click.Choice([each.name.lower() for each in Pathology]),
    help="Draw these; several join in one heart. [default: by frequency]",
)
@click.option("--look", type=click.Choice([*LOOKS]), help="Scanner and reader. [default: drawn]")
@click.option("--extras", is_flag=True, help="Localizers, maps, perfusion, flow and more as well.")
@click.option("--enhanced", is_flag=True, help="As Enhanced MR, one instance a series.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a contact sheet, a PNG: one heart of each pathology.",
)
def phantom(  # noqa: PLR0913 - one argument an option
    *,
    out: Path | None,
    count: int,
    seed: int,
    pathologies: tuple[str, ...],
    look: str | None,
    extras: bool,
    enhanced: bool,
    sheet: Path | None,
) -> None:
    """Make synthetic hearts: studies as DICOM with reports, or a contact sheet to look at.

    \b
    triage phantom --sheet hearts.png
    triage phantom --out archive --count 20 --extras
    triage phantom --out one --pathology dilated --look ge && triage demo --study one
    """
    if out is None and sheet is None:
        raise click.UsageError("say --out FOLDER for studies, or --sheet FILE for a picture")
    if sheet is not None:
        write_sheet(sheet, pathology_hearts(seed))
        terminal.say(f"wrote {sheet}")
    if out is not None:
        write = partial(
            write_study, look=LOOKS[look] if look else None, extras=extras, enhanced=enhanced
        )
        drawn = tuple(Pathology[name.upper()] for name in pathologies) or None
        with terminal.progress("drawing", count) as bar:
            seeds = range(seed, seed + count)
            write_archive(out, seeds, write, drawn, lambda: bar.advance(bar.task_ids[0]))
        terminal.say(f"wrote {count} studies below {out}")


@main.command()
@click.argument(
    "folder", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every image that is used.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a contact sheet, a PNG: every stack with what it was taken for.",
)
@click.option(
    "--names",
    type=click.File(encoding="utf-8"),
    help="Read bare series descriptions, one a line; write CSV name,sequence,view.",
)
@click.pass_obj
def series(
    config: Path | None,
    folder: Path | None,
    *,
    as_json: bool,
    sheet: Path | None,
    names: TextIO | None,
) -> None:
    """Show what would be chosen from the images below FOLDER, and why. Changes nothing.

    \b
    triage series ./study
    triage series ./study --json --sheet study.png
    triage series --names protocol-names.txt > names.csv
    """
    settings = load(config)
    logs.configure(settings.log)
    rules = load_rules(settings.series_rules)
    if names is not None:
        audit.named((line.rstrip("\r\n") for line in names), rules, sys.stdout)
        return
    if folder is None:
        raise click.UsageError("say FOLDER for images, or --names FILE for bare names")
    views = [slot.view for slot in open_bundle(settings.model.bundle).manifest.layout]
    found = audit.read_folder(folder, views, rules)
    if as_json:
        click.echo(json.dumps(audit.as_json(found), indent=2))
    else:
        for study in found.studies:
            terminal.series(study.study_uid, audit.as_rows(study))
            terminal.say("\n".join(audit.remarks(study)))
        for file, why in found.unreadable.items():
            terminal.say(f"not read: {file}: {why}")
    if sheet is not None:
        audit.write_sheet(sheet, found)
        terminal.complain(f"wrote {sheet}")


@main.command()
@click.argument("words", default="")
@click.option(
    "--like", default="", metavar="STUDY_UID", help="A case that the others are compared with."
)
@click.option(
    "--same-patient",
    flag_value="yes",
    default="",
    help="With --like: treat the patient's own other studies as any other's, not apart.",
)
@click.option("--count", default="10", show_default=True, help="1 to 1000.")
@click.option("--since", default="", metavar="DATE", help="First study date, e.g. 2024-01-31.")
@click.option("--until", default="", metavar="DATE", help="Last study date.")
@click.option("--vendor", default="", help="Part of the manufacturer's name.")
@click.option("--finding", default="", help="Id of a finding that was flagged or confirmed.")
@click.option(
    "--confirmed", flag_value="yes", default="", help="Only where a radiologist confirmed it."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON for programs.")
@click.pass_obj
def search(
    config: Path | None,
    /,
    *,
    as_json: bool,
    **fields: str,
) -> None:
    """Find past cases by WORDS as they stand in reports, by a case that they are like, or by both.

    Every study that was assessed with the bundle in use is a case. A similarity is a cosine, no
    probability; beside a study it is told how many random pairs of cases are less alike.

    \b
    triage search "septal hypertrophy with patchy enhancement" --since 2024-01-01
    triage search --like 1.2.840.113619.2.1 --vendor siemens
    """
    settings = load(config)
    logs.configure(settings.log)
    asked = read_search(fields)
    ledger = existing_ledger(settings)
    model = open_model(settings, cache=None)
    past = open_past(settings, model.bundle)
    if behind := sum(1 for _ in past.library.elsewhere()):
        terminal.complain(
            f"{behind} past cases are not embedded by this bundle yet: `triage serve` does so aside"
            " for those in the spool, `triage index` for others"
        )
    found = Looks(past, ledger).search(model.encoder, asked, getuser())
    if as_json:
        click.echo(json.dumps(cases_as_json(found)))
    else:
        terminal.cases(found)


@main.command()
@click.argument("key")
@click.option(
    "--report", metavar="STUDY_UID", required=True, help="Study of the report it is from."
)
@click.pass_obj
def case(config: Path | None, key: str, report: str) -> None:
    """Tell which study a report means by the KEY of a similar case. That somebody asked is kept.

    \b
    triage case 7QK4-M2XD --report 1.2.840.113619.2.1
    """
    settings = load(config)
    ledger = existing_ledger(settings)
    past = open_past(settings, open_bundle(settings.model.bundle))
    found = Looks(past, ledger).resolve(key, report, getuser())
    terminal.say(f"{found.study_uid} of {found.study_date or 'no known date'}")


@main.command()
@parent_option
@click.pass_obj
def web(config: Path | None, parent: int | None) -> None:
    """Serve the page and the HTTP interface for past cases to the users of the settings.

    A part of `triage serve` where web.users names somebody. Every look is kept, and shown by
    `triage status --looks 100`.
    """
    settings = load(config)
    logs.configure(settings.log)
    if parent is not None:
        end_with(parent)
    ledger = open_ledger(settings, SystemClock()) if parent else existing_ledger(settings)
    answer_until_ended(open_web(settings, ledger), settings.web)


@main.command()
@click.argument("name")
def password(name: str) -> None:
    """Ask for the password of user NAME and print the line for web.users in the settings.

    Asks twice on a terminal; elsewhere the password is the first line of standard input.

    \b
    triage password anna
    """
    if not USER.fullmatch(name):
        raise click.UsageError("NAME has a to z, 0 to 9, . _ and -, and begins with a letter")
    if sys.stdin.isatty():
        said = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        said = sys.stdin.readline().rstrip("\r\n")
    if len(said) < PASSWORD_LEAST:
        raise click.UsageError(f"a password has at least {PASSWORD_LEAST} characters")
    click.echo(f"{name}: {hashed(said)}")


@main.command()
@click.argument("patient_id", default="")
@click.option(
    "--issuer", default="", help="Issuer of Patient ID (0010,0021), where images have it."
)
@click.option("--study", metavar="STUDY_UID", help="The patient of this case, who has no number.")
@click.pass_obj
def forget(config: Path | None, patient_id: str, issuer: str, study: str | None) -> None:
    """Remove a patient from the past cases of every bundle: vectors, texts, keys, and fits.

    What comes of theirs later becomes no case again. Studies, reports and the spool are not
    touched. Where several hosts share a library, say it on each.

    \b
    triage forget 4711
    triage forget --study 1.2.840.113619.2.1
    """
    if bool(patient_id.strip()) == bool(study):
        raise click.UsageError("say PATIENT_ID, or --study STUDY_UID of a case without one")
    settings = load(config)
    ledger = existing_ledger(settings)
    past = open_past(settings, open_bundle(settings.model.bundle))
    patient = past.patient_of(study) if study else past.patient(patient_id, issuer)
    count = past.library.forget(patient)
    if settings.case_library is not None:  # what lay here before the library was shared
        local = settings.model_copy(update={"case_library": None})
        count += open_past(local, open_bundle(settings.model.bundle)).library.forget(patient)
    unfitted = open_fittings(settings).forget(patient)
    ledger.report("patient forgotten", f"{count} case(s) removed", Source("", f"user {getuser()}"))
    terminal.say(f"{count} case(s) removed")
    for finding in unfitted:
        terminal.say(f"{finding} was fitted from one: take it out of the examples, and fit again")


@main.command()
@click.pass_obj
def check(config: Path | None) -> None:
    """Print the resolved settings; validate findings and bundle; C-ECHO the destinations.

    Exits with 2 if anything needs mending. Changes nothing, but makes the tables of a case_library.
    """
    settings = load(config)
    terminal.console.print_json(shown(settings))
    load_rules(settings.series_rules)
    require_peers(settings)
    _check_receiver(settings)
    model = open_model(settings, cache=None)
    manifest = model.bundle.manifest
    trained = "" if manifest.trained else " (UNTRAINED: every flag will be Not Evaluated)"
    say = terminal.say
    say(f"findings: {len(model.findings.findings)} in {settings.findings}")
    say(f"bundle: {manifest.name} {manifest.version}{trained}")
    say(f"runs on: {model.encoder.execution_provider}")
    if settings.case_library is not None:
        say(f"case library: {open_past(settings, model.bundle).library.size()} case(s)")
    silent = 0
    for name, destination in open_destinations(settings).items():
        try:
            say(f"destination {name}: {destination.echo().answer}")
        except DeliveryFailed as error:
            silent += 1
            terminal.complain(f"destination {name}: {error}")
    if silent:
        raise ConfigurationError(f"{silent} destination(s) do not answer")


if __name__ == "__main__":
    main()
