"""The factors of a toy face: one table from which sampling, validation and the JSON schema derive.

A set of faces is a dict that maps each factor's name to an array of shape (N,): float64 for a continuous factor,
int64 (an index into ``Factor.categories``) for a categorical one. Left and right are the viewer's.

Random numbers are a hash of (seed, sample, factor name), not a stream: sample i is the same however many are
asked for, and a new factor leaves every other one as it was.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scratchgan.data.dataset import DataError

Factors = dict[str, NDArray[Any]]

SPLITS: Final = ("train", "test", "cell")
TRAIN_IDENTITIES: Final = 1_000
TEST_IDENTITIES: Final = 100

HELD_OUT_CELL: Final = {"hat": "party", "glasses": "sun"}
"""Two accessories that never meet in ``train`` and ``test``, and always do in ``cell``."""


@dataclass(frozen=True)
class Factor:
    """One row of the table.

    ``low`` and ``high`` bound a continuous factor; ``portrait`` is the narrower range that the training set draws
    from. ``categories`` names the values of a categorical one; ``probability`` is that of 1 for a presence bit.
    """

    name: str
    group: str
    meaning: str
    low: float = 0.0
    high: float = 1.0
    default: float = 0.0
    portrait: tuple[float, float] | None = None
    categories: tuple[str, ...] = ()
    probability: float | None = None
    unit: str = ""

    @property
    def kind(self) -> str:
        return "categorical" if self.categories else "continuous"


def _bit(name: str, group: str, meaning: str, probability: float) -> Factor:
    return Factor(name, group, meaning, categories=("no", "yes"), probability=probability)


FACTORS: Final[tuple[Factor, ...]] = (
    Factor("head_width", "identity", "width of the head; 1 is a round one", 0.86, 1.1, 1.0),
    Factor("head_height", "identity", "height of the head", 0.92, 1.06, 1.0),
    Factor("jaw", "identity", "0 a pointed chin, 1 a square jaw", 0.0, 1.0, 0.5),
    Factor("eye_spacing", "identity", "distance of the eyes from the middle", 0.9, 1.1, 1.0),
    Factor("eye_size", "identity", "size of the eyes", 0.82, 1.18, 1.0),
    Factor("eye_shape", "identity", "outline of the eyes", categories=("round", "almond", "droopy")),
    Factor("nose_size", "identity", "size of the nose", 0.75, 1.3, 1.0),
    Factor("nose_type", "identity", "shape of the nose", categories=("button", "long", "hook")),
    Factor("ear_size", "identity", "size of the ears", 0.75, 1.3, 1.0),
    Factor("brow_thickness", "identity", "thickness of the eyebrows", 0.6, 1.6, 1.0),
    Factor(
        "skin_tone",
        "identity",
        "skin, from light to dark",
        categories=("porcelain", "peach", "honey", "caramel", "chestnut", "cocoa"),
    ),
    Factor(
        "hair_style",
        "identity",
        "cut of the hair",
        categories=("buzz", "parted", "fringe", "bob", "long", "curly", "spiky", "bun"),
    ),
    Factor(
        "hair_colour",
        "identity",
        "colour of hair, brows and beard",
        categories=("black", "brown", "ginger", "blonde", "silver", "blue"),
    ),
    _bit("glasses_present", "accessories", "whether glasses are worn", 0.25),
    Factor("glasses", "accessories", "which glasses", categories=("round", "square", "sun")),
    _bit("hat_present", "accessories", "whether a hat is worn", 0.2),
    Factor("hat", "accessories", "which hat", categories=("beanie", "cap", "straw", "party")),
    _bit("beard_present", "accessories", "whether there is a beard", 0.18),
    Factor("beard", "accessories", "which beard", categories=("full", "goatee", "moustache")),
    Factor("yaw", "pose", "turn; positive looks to the right", -35, 35, 0, (-20, 20), unit="degrees"),
    Factor("pitch", "pose", "nod; positive looks down", -20, 20, 0, (-10, 10), unit="degrees"),
    Factor("roll", "pose", "tilt; positive is clockwise", -20, 20, 0, (-8, 8), unit="degrees"),
    Factor("shift_x", "pose", "place of the head in half frames", -0.15, 0.15, 0, (-0.04, 0.04)),
    Factor("shift_y", "pose", "place of the head in half frames, down", -0.15, 0.15, 0, (-0.03, 0.03)),
    Factor("mouth_open", "expression", "0 closed, 1 wide open", 0, 1, 0, (0.0, 0.9)),
    Factor("smile", "expression", "-1 sad, 1 happy", -1, 1, 0.5, (-0.2, 1.0)),
    Factor("eye_open_left", "expression", "0 closed, 1 wide open", 0, 1, 0.9, (0.65, 1.0)),
    Factor("eye_open_right", "expression", "0 closed, 1 wide open", 0, 1, 0.9, (0.65, 1.0)),
    Factor("brow_raise", "expression", "-1 frowning, 1 raised", -1, 1, 0, (-0.25, 1.0)),
    Factor("gaze_x", "expression", "-1 to the left, 1 to the right", -1, 1, 0, (-0.7, 0.7)),
    Factor("gaze_y", "expression", "-1 up, 1 down", -1, 1, 0, (-0.5, 0.5)),
    Factor("palette", "style", "mood of the colours", categories=("classic", "candy", "soft", "dusk")),
    Factor("line_width", "style", "thickness of the outlines", 0, 1, 0.5, (0.25, 0.8)),
    Factor("shading", "style", "strength of the light from the upper left", 0, 1, 0.6, (0.3, 0.9)),
    Factor("texture", "style", "paper grain", 0, 1, 0.0, (0.0, 0.2)),
    Factor(
        "background_a",
        "background",
        "first colour",
        categories=("sky", "sun", "leaf", "rose", "lilac", "apricot", "teal", "paper"),
    ),
    Factor(
        "background_b",
        "background",
        "second colour",
        categories=("sky", "sun", "leaf", "rose", "lilac", "apricot", "teal", "paper"),
    ),
    Factor(
        "pattern",
        "background",
        "how the two colours meet",
        categories=("plain", "gradient", "stripes", "dots", "rings"),
    ),
    _bit("scene_present", "background", "whether a scene replaces the pattern", 0.25),
    Factor("scene", "background", "which scene", categories=("house", "tree", "window", "door", "sky")),
)

TABLE: Final[dict[str, Factor]] = {factor.name: factor for factor in FACTORS}
GROUPS: Final = tuple(dict.fromkeys(factor.group for factor in FACTORS))


def defaults(n: int = 1) -> Factors:
    """Return n equal faces: the middle of every factor, the first of every category, (N,) arrays."""
    return {f.name: np.full(n, f.default, np.int64 if f.categories else np.float64) for f in FACTORS}


def validate(factors: Mapping[str, ArrayLike]) -> Factors:
    """Return every factor as an (N,) array in the table's order; those not given take their default.

    Scalars are repeated to the common length; a category may be given by name or by index.

    Raises:
        DataError: an unknown name, a value out of its range, NaN, or arrays of different lengths; the
            message names the factor, the value and its range.
    """
    for name in factors:
        if name not in TABLE:
            raise DataError(f"toyfaces: no factor is named {name!r}; there are: {', '.join(TABLE)}")
    checked = {name: _check(TABLE[name], value) for name, value in factors.items()}
    lengths = {name: array.shape[0] for name, array in checked.items() if array.ndim}
    n = max(lengths.values(), default=1)
    for name, length in lengths.items():
        if length != n:
            raise DataError(f"toyfaces: factor {name!r} has {length} values but others have {n}")
    full = defaults(n)
    for name, array in checked.items():
        full[name] = np.broadcast_to(array, (n,)).astype(full[name].dtype)
    return full


def _check(factor: Factor, value: ArrayLike) -> NDArray[Any]:
    array = np.asarray(value)
    if array.ndim > 1:
        raise DataError(f"toyfaces: factor {factor.name!r} has shape {array.shape}; give one value a face")
    if factor.categories:
        if array.dtype.kind in "UO":
            array = np.array([_category(factor, item) for item in array.ravel()], np.int64).reshape(array.shape)
        if array.dtype.kind not in "iub" or np.any((array < 0) | (array >= len(factor.categories))):
            raise DataError(
                f"toyfaces: factor {factor.name!r} is {_first_bad(array, 0, len(factor.categories) - 1)} but its "
                f"values are 0 to {len(factor.categories) - 1} ({', '.join(factor.categories)})"
            )
        return array
    if array.dtype.kind not in "iuf":
        raise DataError(f"toyfaces: factor {factor.name!r} is {value!r}, not a number")
    array = array.astype(np.float64)
    if not np.all((array >= factor.low) & (array <= factor.high)):  # written so that NaN fails too
        bad = _first_bad(array, factor.low, factor.high)
        raise DataError(f"toyfaces: factor {factor.name!r} is {bad} but its range is {factor.low:g} to {factor.high:g}")
    return array


def _category(factor: Factor, name: object) -> int:
    if name not in factor.categories:
        raise DataError(
            f"toyfaces: factor {factor.name!r} is {str(name)!r} but its values are {', '.join(factor.categories)}"
        )
    return factor.categories.index(str(name))


def _first_bad(array: NDArray[Any], low: float, high: float) -> Any:
    flat = array.ravel()
    if flat.dtype.kind not in "iufb":
        return flat[0]
    bad = flat[~((flat >= low) & (flat <= high))]
    return (bad if bad.size else flat)[0].item()


def uniform(seed: ArrayLike, index: ArrayLike, key: str) -> NDArray[np.float64]:
    """Return numbers in [0, 1) that depend on (seed, index, key) and on nothing else.

    The mixing function is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
    number generators", OOPSLA 2014), applied once for each of the three.
    """
    state = _mix(np.atleast_1d(np.asarray(seed, np.int64)).astype(np.uint64))
    state = _mix(state ^ np.asarray(index, np.int64).astype(np.uint64))
    state = _mix(state ^ np.uint64(zlib.crc32(key.encode())))
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def draw_factor(factor: Factor, u: NDArray[np.float64], portrait: bool = False) -> NDArray[Any]:
    """Return the values of a factor for uniform numbers u in [0, 1)."""
    if factor.probability is not None:
        return (u < factor.probability).astype(np.int64)
    if factor.categories:
        return (u * len(factor.categories)).astype(np.int64)
    low, high = factor.portrait if portrait and factor.portrait else (factor.low, factor.high)
    return low + u * (high - low)


def identity_factors(identity: ArrayLike) -> Factors:
    """Return the identity factors of the persons with these ids; a person has them in every split and seed."""
    ids = np.atleast_1d(np.asarray(identity, np.int64))
    return {f.name: draw_factor(f, uniform(0, ids, f.name)) for f in FACTORS if f.group == "identity"}


def sample_identities(n: int, seed: int, split: str) -> NDArray[np.int64]:
    """Return the ids of the persons in a sample: 0 to 999 in ``train`` and ``cell``, 1000 to 1099 in ``test``."""
    if split not in SPLITS:
        raise DataError(f"toyfaces: no split is named {split!r}; there are: {', '.join(SPLITS)}")
    first, count = (TRAIN_IDENTITIES, TEST_IDENTITIES) if split == "test" else (0, TRAIN_IDENTITIES)
    return first + (uniform(seed, np.arange(n), f"{split}/identity") * count).astype(np.int64)


def sample_factors(
    n: int, seed: int = 0, split: str = "train", *, portrait: bool = False, correlation: float = 0.0
) -> Factors:
    """Draw n faces independently and uniformly from the table.

    Args:
        n: how many.
        seed: another seed gives other faces of the same persons.
        split: ``train`` (1,000 persons), ``test`` (100 others) or ``cell`` (train persons, each with the two
            accessories of ``HELD_OUT_CELL``, which no other split combines).
        portrait: draw from the narrower portrait ranges, without scenes: the data set for training a GAN.
        correlation: probability that a hat is worn exactly when ``background_a`` is one of the first four
            colours: a spurious correlation to be found out.

    Returns:
        a dict of (n,) arrays in the table's order.
    """
    if n < 0:
        raise DataError(f"toyfaces: n={n} faces cannot be drawn")
    if not 0 <= seed < 2**63:
        raise DataError(f"toyfaces: seed={seed} must be from 0 to 2**63 - 1")
    if not 0.0 <= correlation <= 1.0:
        raise DataError(f"toyfaces: correlation={correlation} is not between 0 and 1")
    index = np.arange(n)
    persons = identity_factors(sample_identities(n, seed, split))
    sample = {
        f.name: persons[f.name]
        if f.group == "identity"
        else draw_factor(f, uniform(seed, index, f"{split}/{f.name}"), portrait)
        for f in FACTORS
    }
    if portrait:
        sample["scene_present"][:] = 0
    coupled = uniform(seed, index, f"{split}/correlation") < correlation
    sample["hat_present"] = np.where(coupled, sample["background_a"] < 4, sample["hat_present"]).astype(np.int64)
    if split == "cell":
        for name, category in HELD_OUT_CELL.items():
            sample[f"{name}_present"][:] = 1
            sample[name][:] = TABLE[name].categories.index(category)
    else:
        sample["glasses_present"][in_held_out_cell(sample)] = 0
    return sample


def in_held_out_cell(factors: Factors) -> NDArray[np.bool_]:
    """Return which faces wear every accessory of ``HELD_OUT_CELL``."""
    inside = np.ones(len(factors["hat"]), bool)
    for name, category in HELD_OUT_CELL.items():
        inside &= (factors[f"{name}_present"] == 1) & (factors[name] == TABLE[name].categories.index(category))
    return inside


def take(factors: Factors, index: Any) -> Factors:
    """Return the faces at an index, a slice or an index array."""
    return {name: array[index] for name, array in factors.items()}


def concatenate(parts: Iterable[Factors]) -> Factors:
    """Join sets of faces end to end."""
    parts = list(parts)
    return {name: np.concatenate([part[name] for part in parts]) for name in TABLE}


def to_vector(factors: Factors) -> NDArray[np.float32]:
    """Return the factor vector of each face, (N, F) float32 in the table's order; categories are their index."""
    return np.stack([factors[name] for name in TABLE], axis=1).astype(np.float32)


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of one face's factors; categories are written by name."""
    properties: dict[str, Any] = {}
    for f in FACTORS:
        entry: dict[str, Any] = {"description": f.meaning + (f" ({f.unit})" if f.unit else "")}
        if f.categories:
            entry |= {"enum": list(f.categories), "default": f.categories[int(f.default)]}
        else:
            entry |= {"type": "number", "minimum": f.low, "maximum": f.high, "default": f.default}
        properties[f.name] = entry
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "factors of one toy face",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def to_json(factors: Factors) -> list[dict[str, Any]]:
    """Return one plain dict a face, as ``schema`` describes it; ``validate`` reads such values back."""
    n = len(factors["yaw"])
    return [
        {f.name: f.categories[int(factors[f.name][i])] if f.categories else float(factors[f.name][i]) for f in FACTORS}
        for i in range(n)
    ]
