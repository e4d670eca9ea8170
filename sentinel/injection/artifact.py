"""The trained model as a file: safetensors (no code in it), with version, checksum and what it was trained with in its header.

A file that is cut, changed or of another version is refused with a sentence that says so.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sentinel.injection.arrays import FloatArray
from sentinel.injection.features import FORM
from sentinel.injection.vocabulary import VECTOR_SIZE

FORMAT: Final = "sentinel-injection-4"
"""Changes whenever texts become numbers in another way: weights of another format would score nonsense."""

DEFAULT_PATH: Final = Path(__file__).parent / "artifact" / "prompt-injection.safetensors"


class ArtifactError(ValueError):
    """The model file cannot be used; the text says which file and why."""


class Model(NamedTuple):
    """A trained model. See `training.net` for what the parameters mean."""

    name: str
    """Name and version, as anomalies carry it."""
    class_centres: tuple[FloatArray, ...]
    """(classes, 256) for each level"""
    window_projection: FloatArray
    """(256, hidden)"""
    piece_mixing: FloatArray
    """(hidden, hidden)"""
    form_weights: FloatArray
    """(len(FORM), hidden)"""
    hidden_bias: FloatArray
    output: FloatArray
    """(hidden,)"""
    ngram_weights: FloatArray
    """(BUCKETS,)"""
    bias: float
    categories: list[str]
    category_weights: FloatArray
    """(hidden, len(categories))"""
    category_bias: FloatArray
    calibration: tuple[float, float]
    """(slope, shift): the score is 1 / (1 + exp(-(slope * logit + shift)))."""


def save(model: Model, path: Path, about: dict[str, Any]) -> None:
    """Write the file. N-gram weights are kept as 8-bit steps of their largest value per block, the rest in half precision."""
    steps, scale = _quantised(model.ngram_weights)
    tensors = {
        **{f"class_centres_{level}": centres.astype(np.float16) for level, centres in enumerate(model.class_centres)},
        "window_projection": model.window_projection.astype(np.float16),
        "piece_mixing": model.piece_mixing.astype(np.float16),
        "form_weights": model.form_weights.astype(np.float16),
        "hidden_bias": model.hidden_bias.astype(np.float32),
        "output": model.output.astype(np.float32),
        "category_weights": model.category_weights.astype(np.float16),
        "category_bias": model.category_bias.astype(np.float32),
        "ngram_steps": steps,
        "numbers": np.array([scale, model.bias, *model.calibration], np.float64),
    }
    header = {
        "format": FORMAT,
        "name": model.name,
        "sha256": _digest(tensors),
        "categories": json.dumps(model.categories),
        "about": json.dumps(about, sort_keys=True),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata=header)
    path.chmod(0o644)


def load(path: Path = DEFAULT_PATH) -> Model:
    """Read the file. Raises ArtifactError when it is missing, cut, changed, or of another version."""
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such model file") from None
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path}: not a whole model file ({error})") from None
    if header.get("format") != FORMAT:
        raise ArtifactError(f"{path}: model format {header.get('format', 'unknown')!r}; this release reads {FORMAT!r}")
    if header.get("sha256") != _digest(tensors):
        raise ArtifactError(f"{path}: the checksum does not match its content: the file was changed")
    model = _model(header["name"], json.loads(header["categories"]), tensors)
    hidden = len(model.hidden_bias)
    parts = (model.window_projection, model.piece_mixing, model.form_weights, model.output, model.category_weights)
    shapes = [part.shape for part in parts]
    if shapes != [(VECTOR_SIZE, hidden), (hidden, hidden), (len(FORM), hidden), (hidden,), (hidden, len(model.categories))]:
        raise ArtifactError(f"{path}: the parts of the model do not fit together: {shapes}")
    return model


def about(path: Path = DEFAULT_PATH) -> dict[str, Any]:
    """What the trainer wrote about the model: seed, data, figures."""
    with safe_open(path, framework="numpy") as file:
        result: dict[str, Any] = json.loads((file.metadata() or {}).get("about", "{}"))
    return result


def _model(name: str, categories: list[str], tensors: dict[str, Any]) -> Model:
    scale, bias, slope, shift = tensors["numbers"].tolist()
    ngrams = tensors["ngram_steps"].astype(np.float32) * np.float32(scale)
    return Model(
        name,
        tuple(tensors[key].astype(np.float32) for key in sorted(tensors) if key.startswith("class_centres_")),
        tensors["window_projection"].astype(np.float32),
        tensors["piece_mixing"].astype(np.float32),
        tensors["form_weights"].astype(np.float32),
        tensors["hidden_bias"],
        tensors["output"],
        ngrams,
        bias,
        categories,
        tensors["category_weights"].astype(np.float32),
        tensors["category_bias"],
        (slope, shift),
    )


def _quantised(weights: FloatArray) -> tuple[Any, float]:
    # A few n-grams weigh far more than all others: they are cut at 127 steps, so that the others keep their differences.
    scale = float(np.quantile(np.abs(weights[weights != 0]), 0.9995)) / 127 if weights.any() else 1.0
    return np.clip(np.rint(weights / scale), -127, 127).astype(np.int8), scale


def _digest(tensors: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + str(tensors[name].dtype).encode() + tensors[name].tobytes())
    return digest.hexdigest()
