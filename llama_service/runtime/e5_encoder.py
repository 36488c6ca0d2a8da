"""Text in, vectors out: multilingual-e5-small on onnxruntime, without torch and without transformers."""

import re
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer, models, pre_tokenizers

from llama_service.runtime.e5_file import E5File, Floats, Vocabulary, unpack

DIMENSION = 384
_SPACES = re.compile(" {2,}")
_NEVER_IN_TEXT = "\uffff"  # a noncharacter of Unicode


class E5Encoder:
    """Encodes one text at a time; safe to call from several threads.

    The caller brings the prefixes that the model was trained with, "query: " and "passage: ". Of a text that is longer
    than the model reads (512 tokens), the beginning counts.
    """

    def __init__(self, weights: E5File, graph: Path) -> None:
        vocabulary = weights.vocabulary()
        self._replacements = vocabulary.replacements
        self._begin, self._end = vocabulary.bos, vocabulary.eos
        self._room = weights.shape.positions - 2
        self._tokenizer = _tokenizer(vocabulary)
        self._scales, self._nibbles = weights.blocks("emb.word", weights.shape.hidden)
        hidden = weights.shape.hidden
        # One sentence has one token type, the first of two: its vector joins the positions.
        self._positions = weights.floats("emb.pos").reshape(-1, hidden) + weights.floats("emb.type")[:hidden]
        self._session = _session(graph)

    def tokens(self, text: str) -> list[int]:
        """Return the token ids that the model reads for `text`, at most 512."""
        plain = _SPACES.sub(" ", text.translate(self._replacements))
        ids = self._tokenizer.encode(plain, add_special_tokens=False).ids[: self._room]
        return [self._begin, *ids, self._end]

    def encode(self, text: str) -> tuple[Floats, int]:
        """Return the unit vector of `text`, [384], and how many tokens it took."""
        ids = self.tokens(text)
        embedded = unpack(self._scales[ids], self._nibbles[ids]) + self._positions[: len(ids)]
        (hidden,) = self._session.run(["hidden"], {"embedded": embedded[None]})
        mean: Floats = hidden[0].mean(axis=0)
        return mean / np.linalg.norm(mean), len(ids)


def _tokenizer(vocabulary: Vocabulary) -> Tokenizer:
    special = {vocabulary.bos, vocabulary.eos, vocabulary.pad, vocabulary.unk, len(vocabulary.pieces) - 1}
    # "</s>" in a text is text: the special pieces get names that no text can hold.
    pieces = [
        (_NEVER_IN_TEXT + piece if number in special else piece, score)
        for number, (piece, score) in enumerate(vocabulary.pieces)
    ]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=vocabulary.unk, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    return tokenizer


def _session(graph: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # Several texts at once, one thread for each, is faster than several threads for one text.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Beyond the basic level it fuses Add and LayerNormalization into an operator that is five times slower.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
