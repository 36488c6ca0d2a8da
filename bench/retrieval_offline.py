"""Measure retrieval in process, without a server: split, index, rank, pack; one line of JSON for each set.

    python bench/retrieval_offline.py --sets FOLDER [--only xquad-en] [--cache FILE] [--embeddings URL --key KEY]

FOLDER holds `harness.py` and `datasets.py` (SETS: name to documents and questions with gold spans). Vectors come
from an OpenAI-wire server and are kept in FILE; without either, the lexical half is measured alone.
"""

import argparse
import hashlib
import importlib
import json
import sqlite3
import sys
import time
import urllib.request
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ingestion.documents import Extracted, Passage, clean
from ingestion.split import split
from persistence.lexical import postings, query_weights
from persistence.ranking import (
    BY_SENTENCES,
    WORDS_TELL,
    FilePostings,
    Key,
    LexicalHits,
    Place,
    Ranked,
    by_sentences,
    fuse,
    lexical_hits,
    pack,
)
from persistence.relevance import Relevance, load
from persistence.sentences import sentences

CANDIDATES = 100
BATCH = 64


class Vectors:
    """Embeddings by text, from a cache file first, then from a server."""

    def __init__(self, cache: str, url: str | None, key: str) -> None:
        self.store = sqlite3.connect(cache)
        self.store.execute("create table if not exists v(k text primary key, b blob)")
        self.url, self.key = url, key

    def get(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]] | None:
        """Return one row for each text, or None where one is neither cached nor to be had."""
        names = [hashlib.sha1(text.encode()).hexdigest() for text in texts]
        missing = [
            (name, text)
            for name, text in zip(names, texts, strict=True)
            if self.store.execute("select 1 from v where k=?", (name,)).fetchone() is None
        ]
        if missing and self.url is None:
            return None
        for first in range(0, len(missing), BATCH):
            self._fetch(missing[first : first + BATCH])
        rows = [self.store.execute("select b from v where k=?", (name,)).fetchone()[0] for name in names]
        return np.stack([np.frombuffer(row, np.float32) for row in rows])

    def _fetch(self, batch: Sequence[tuple[str, str]]) -> None:
        body = json.dumps({"model": "multilingual-e5-small", "input": [text for _, text in batch]}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(f"{self.url}/embeddings", data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=600) as answer:
            data = json.loads(answer.read())["data"]
        for (name, _), row in zip(batch, data, strict=True):
            blob = np.asarray(row["embedding"], np.float32).tobytes()
            self.store.execute("insert or replace into v values(?,?)", (name, blob))
        self.store.commit()


class System:
    """The retrieval of the service behind the harness's interface."""

    def __init__(self, chunk: type[Any], vectors: Vectors | None, budget: int, fitted: Relevance) -> None:
        self.chunk, self.source, self.budget, self.fitted = chunk, vectors, budget, fitted

    def index(self, docs: Sequence[Any]) -> None:
        self.docs = docs
        self.passages: list[list[Passage]] = []
        self.postings = []
        for doc in docs:
            found = split(Extracted(doc.text, (), "text/plain"), 2000, 400)
            self.passages.append(found)
            self.postings.append(postings([p.text for p in found]))
        self.keys: list[Key] = [(f, p.position) for f, found in enumerate(self.passages) for p in found]
        texts = ["passage: " + p.text for found in self.passages for p in found]
        raw = self.source.get(texts) if self.source else None
        self.matrix = self.fitted.neutral(raw) if raw is not None else None
        self.parts: dict[Key, np.ndarray[Any, np.dtype[np.float32]]] = {}

    def without(self, file: int, refs: Sequence[tuple[str, int, int]]) -> "System":
        """Return the same system without the passages of a document that these places reach into."""
        rest = copy(self)
        doc = self.docs[file].id
        kept = [p for p in self.passages[file] if not any(d == doc and p.start < e and s < p.end for d, s, e in refs)]
        rest.passages, rest.postings = list(self.passages), list(self.postings)
        rest.passages[file] = [replace(passage, position=at) for at, passage in enumerate(kept)]
        rest.postings[file] = postings([passage.text for passage in kept])
        rest.keys = [(f, p.position) for f, found in enumerate(rest.passages) for p in found]
        if self.matrix is not None:
            row = {key: at for at, key in enumerate(self.keys)}
            was = {(file, at): (file, passage.position) for at, passage in enumerate(kept)}
            rest.matrix = self.matrix[[row[was.get(key, key)] for key in rest.keys]]
        rest.parts = {}
        return rest

    def retrieve(self, query: str, k: int) -> list[Any]:
        ranked = self.rank(query)
        places = {r.key: Place(*self.place(r.key)) for r in ranked}
        if not self.budget:
            return [self.chunk(self.docs[r.key[0]].id, *self.place(r.key), r.score) for r in ranked[:k]]
        spans = pack(ranked, places, self.budget)
        return [self.chunk(self.docs[s.file].id, s.start, s.end, s.score) for s in spans][:k]

    def place(self, key: Key) -> tuple[int, int]:
        """Return where a passage stands in its document."""
        passage = self.passages[key[0]][key[1]]
        return passage.start, passage.end

    def rank(self, query: str) -> list[Ranked]:
        """Return the passages for a question, best first."""
        return self.judge(query, range(len(self.docs)))[0]

    def judge(self, query: str, scope: Sequence[int]) -> tuple[list[Ranked], LexicalHits]:
        """Return the passages of some documents for a question, best first, and where its words stand in them."""
        weights = query_weights(query)
        postings_of = [self.postings[file] for file in scope]
        files = [FilePostings(lengths, {t: index[t] for t in weights if t in index}) for index, lengths in postings_of]
        hits = lexical_hits(files, weights)
        near = {(scope.index(f), p): cosine for (f, p), cosine in self._near(query, set(scope)).items()}
        found = fuse(hits.best(CANDIDATES), near, trust=hits.trust)
        ranked = [Ranked((scope[r.key[0]], r.key[1]), r.score, r.lexical, r.vector) for r in found]
        if hits.trust < WORDS_TELL:
            ranked[:BY_SENTENCES] = self._by_sentences(query, ranked[:BY_SENTENCES])
        return ranked, hits

    def _by_sentences(self, query: str, ranked: Sequence[Ranked]) -> list[Ranked]:
        row = self.vector(query)
        if row is None or self.source is None:
            return list(ranked)
        sought = self.fitted.sought(row.tolist())
        sought /= np.linalg.norm(sought)
        nearest = []
        for item in ranked:
            if item.key not in self.parts:
                found = sentences(self.passages[item.key[0]][item.key[1]].text)
                raw = self.source.get(["passage: " + text for text in found])
                if raw is None:
                    return list(ranked)
                self.parts[item.key] = self.fitted.neutral(raw)
            nearest.append(float((self.parts[item.key] @ sought).max()))
        return by_sentences(ranked, nearest)

    def vector(self, query: str) -> np.ndarray[Any, np.dtype[np.float32]] | None:
        """Return a question's vector."""
        row = self.source.get(["query: " + query]) if self.source else None
        return row[0] if row is not None else None

    def _near(self, query: str, scope: set[int]) -> dict[Key, float]:
        row = self.vector(query)
        if row is None or self.matrix is None:
            return {}
        sought = self.fitted.sought(row.tolist())
        cosine = self.matrix @ (sought / np.linalg.norm(sought))
        inside = [i for i in np.argsort(-cosine) if self.keys[i][0] in scope][:CANDIDATES]
        return {self.keys[i]: float(cosine[i]) for i in inside}


def main() -> None:
    """Measure the sets that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", required=True)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--cache", default=":memory:")
    parser.add_argument("--embeddings")
    parser.add_argument("--key", default="")
    parser.add_argument("--budget", type=int, default=0, help="pack into this many characters; 0: passages")
    args = parser.parse_args()
    sys.path.insert(0, args.sets)
    harness, sets = importlib.import_module("harness"), importlib.import_module("datasets").SETS
    wanted = (
        "n",
        "hit@1",
        "hit@5",
        "MRR@10",
        "cov@5",
        "cov@3000c",
        "cov@6000c",
        "query_ms",
        "index_s_per_MB",
    )
    use_vectors = args.embeddings or args.cache != ":memory:"
    source = Vectors(args.cache, args.embeddings, args.key) if use_vectors else None
    for name in args.only or sets:
        docs, questions = sets[name]()
        for doc in docs:
            doc.text = doc.text if len(clean(doc.text)) != len(doc.text) else clean(doc.text)
        started = time.perf_counter()
        system = System(harness.Chunk, source, args.budget, load())
        figures, _, _ = harness.run(system, docs, questions, k=30)
        shown = {key: round(figures[key], 4) for key in wanted}
        spent = round(time.perf_counter() - started, 1)
        print(json.dumps({"set": name, "vectors": system.matrix is not None, **shown, "seconds": spent}))


if __name__ == "__main__":
    main()
