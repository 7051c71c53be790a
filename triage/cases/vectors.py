"""Vectors in half precision in a file that every process maps, so that they are in memory once.

Rule: a row is written before anybody is told of it, and never written twice with another vector; a
reader asks for as many rows as it was told of. A removed vector is overwritten with zeros.

Exact cosines come from NumKong, which multiplies halves as they are: 200,000 rows of 512 take 9 ms
on two cores, where numpy widens them first.
"""

import os
from pathlib import Path

import numkong
import numpy as np
from numpy.typing import NDArray

from triage.ports.encoder import Embedding

Halves = NDArray[np.float16]
ITEM = np.dtype(np.float16)


class VectorFile:
    """The vectors of one bundle, (rows, D), L2-normalised."""

    def __init__(self, path: Path, width: int) -> None:
        self._path = path
        self._width = width
        self._mapped: Halves = np.empty((0, width), ITEM)
        path.touch(0o600)

    def write(self, row: int, vector: Embedding) -> None:
        """Keep a vector durably; raise ValueError if it has another width."""
        if vector.shape != (self._width,):
            raise ValueError(f"a vector of {vector.shape} among ones of {self._width}")
        self._put(row, vector.astype(ITEM))

    def erase(self, row: int) -> None:
        """Leave zeros in the place of a vector."""
        self._put(row, np.zeros(self._width, ITEM))

    def erase_but(self, rows: NDArray[np.int64], count: int) -> None:
        """Leave zeros in all of the first `count` rows but these."""
        held = self.first(count)[:, 0] != 0 if count else np.empty(0, bool)
        held[rows] = False
        for row in np.flatnonzero(held):
            self.erase(int(row))

    def holds(self, row: int, vector: Embedding) -> bool:
        """Tell whether a row is this vector, to the precision that it is kept with."""
        return bool(np.array_equal(self.first(row + 1)[row], vector.astype(ITEM)))

    def first(self, rows: int) -> Halves:
        """Return the first rows, (rows, D), as the file has them."""
        mapped = self._mapped  # once: another thread may put a shorter one here
        if len(mapped) < rows:
            mapped = self._mapped = np.memmap(self._path, ITEM, "r", shape=(rows, self._width))
        return mapped[:rows]

    def _put(self, row: int, vector: Halves) -> None:
        file = os.open(self._path, os.O_WRONLY)
        try:
            os.pwrite(file, vector.tobytes(), row * vector.nbytes)
            os.fsync(file)
        finally:
            os.close(file)


def similarities(vectors: Halves, asked: Embedding, threads: int) -> NDArray[np.float64]:
    """Return the cosine of each of the vectors (rows, D) with one, (rows,)."""
    if not len(vectors):
        return np.empty(0)
    query = asked.astype(ITEM)[None]
    cosines = np.empty(len(vectors))
    cosines[:] = numkong.cdist(query, vectors, "dot", threads=threads)
    return cosines
