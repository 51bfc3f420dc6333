"""Embeddings beside a calculation of their own: BERT as its paper has it (Devlin et al., 2018), mean of
the last layer's vectors, unit length, all in double precision."""

import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import openai

import checks

TEXTS = [
    *checks.TEXTS,
    "A",
    "Where did we stay in Lisbon, and what did the tram cost?",
    "the same words again and again " * 30,
    "x = f(y) + 3.14; // unwordly-antidisestablishmentarianism!",
]
CLOSE = 1e-4
KINDS = {"F32": np.float32, "F16": np.float16, "I64": np.int64}


class Bert:
    """A model folder: config.json, tokenizer.json, model.safetensors."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
        data = (folder / "model.safetensors").read_bytes()
        begin = 8 + int.from_bytes(data[:8], "little")
        self.weights = {}
        for name, entry in json.loads(data[8:begin]).items():
            if name != "__metadata__":
                first, last = entry["data_offsets"]
                flat = np.frombuffer(data[begin + first : begin + last], KINDS[entry["dtype"]])
                self.weights[name] = flat.reshape(entry["shape"]).astype(np.float64)

    def tokens(self, text: str) -> list[int]:
        """WordPiece of an ASCII text: the longest known piece first."""
        pieces = ["[CLS]"]
        for word in re.findall(r"[a-z0-9]+|[^\sa-z0-9]", text.lower()):
            begin = 0
            while begin < len(word):
                parts = (("##" if begin else "") + word[begin:end] for end in range(len(word), begin, -1))
                piece = next(part for part in parts if part in self.vocabulary)
                pieces.append(piece)
                begin += len(piece.removeprefix("##")) if begin else len(piece)
        return [self.vocabulary[piece] for piece in [*pieces, "[SEP]"]]

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.config["layer_norm_eps"])
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, name: str, x: np.ndarray) -> np.ndarray:
        heads = self.config["num_attention_heads"]
        query, key, value = (
            self.linear(f"{name}.self.{part}", x).reshape(len(x), heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / math.sqrt(query.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = scores / scores.sum(-1, keepdims=True) @ value
        return self.linear(f"{name}.output.dense", mixed.swapaxes(0, 1).reshape(x.shape))

    def vector(self, text: str) -> np.ndarray:
        tokens = self.tokens(text)
        table = lambda kind: self.weights[f"embeddings.{kind}_embeddings.weight"]
        x = table("word")[tokens] + table("position")[: len(tokens)] + table("token_type")[0]
        x = self.norm("embeddings.LayerNorm", x)
        for layer in range(self.config["num_hidden_layers"]):
            name = f"encoder.layer.{layer}"
            x = self.norm(f"{name}.attention.output.LayerNorm", x + self.attention(f"{name}.attention", x))
            inner = self.linear(f"{name}.intermediate.dense", x)
            gelu = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
            x = self.norm(f"{name}.output.LayerNorm", x + self.linear(f"{name}.output.dense", gelu))
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)


def main() -> None:
    bert = Bert(Path(sys.argv.pop()))
    client = openai.OpenAI(base_url=f"{checks.address()}/v1", api_key="none")
    data = client.embeddings.create(model=checks.EMBED, input=TEXTS, encoding_format="float").data
    for text, entry in zip(TEXTS, data, strict=True):
        far = float(np.abs(bert.vector(text) - np.array(entry.embedding)).max())
        checks.check(f"embedding of {text[:20]!r}", far < CLOSE, f"within {CLOSE}", far)
        print(f"ok, {far:.1e} away")


if __name__ == "__main__":
    main()
