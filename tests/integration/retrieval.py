"""Studies retrieved from an archive by the command `pull`."""

import sys
from pathlib import Path
from typing import Any

import yaml
from pydicom import Dataset

from triage.config import load
from triage.pipeline.retrieve import StudyRetriever
from triage.runtime.retrieval import open_study_retriever


def configured(tmp_path: Path, **archives: Any) -> Path:
    path = tmp_path / "triage.yaml"
    content = {"state_dir": str(tmp_path / "state"), "archives": archives, "log": "json"}
    path.write_text(yaml.safe_dump(content))
    return path


def command(config: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "triage", "--config", str(config), "pull", *map(str, arguments)]


def fetched(folder: Path) -> dict[str, set[str]]:
    return {
        each.name: {path.stem for path in each.glob("*.dcm")}
        for each in folder.iterdir()
        if not each.name.startswith(".")
    }


def names(images: list[Dataset]) -> set[str]:
    return {str(each.SOPInstanceUID) for each in images}


def opened(config: Path) -> StudyRetriever:
    return open_study_retriever(load(config, {}), "pacs")
