"""Records, files and texts that stand in a table more than once, exactly or nearly, and with other labels."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sensorium.data.columns.parse import is_missing, numbers, to_label
from sensorium.data.schema import MEDIA, InputSpec
from sensorium.data.table import Table
from sensorium.inspection import near, sounds, texts
from sensorium.inspection.contents import Contents
from sensorium.inspection.finding import Finding, listed, plural

# How far apart copies may be, see near.near_pairs; the stricter where many are within the first by nature.
_APART = {"image": (0.35, 0.1), "audio": (0.6, 0.25)}
_OVERLAPS = (0.6, 0.8)  # Jaccard's index from which texts count as near; the stricter as above
_MOST_WAVES = 20_000  # pairs of sounds that are decoded again to compare them
_REUSED = 0.3  # share of the records from which a repeated value is how a column is, not a copy
_CROWD = 3  # members of a usual group: copies come in pairs, but likeness joins many
_FEWEST_WORDS, _LONG = 3, 12  # words; two long texts are not the same by chance
_FEW, _SHORT_REUSED = 6, 0.05  # records, and their share, that may repeat a short text and still be copies
_NAMES = {"image": "picture", "audio": "sound", "video": "film", "series": "series", "points": "set of points"}


class Same(NamedTuple):
    """Which records have the same, or nearly the same, in one column: a code for each, int64 [N], -1 where absent."""

    column: str
    what: str
    exact: np.ndarray
    near: np.ndarray | None


def copy_findings(
    table: Table, contents: dict[str, Contents], held_out: np.ndarray | None
) -> tuple[list[Finding], list[Same]]:
    """Copies in every media and text column, whole records that repeat, and the same input with other targets."""
    same = [_same_files(table, spec, contents[spec.name]) for spec in table.schema.inputs if spec.modality in MEDIA]
    same += [one for spec in table.schema.inputs if spec.modality == "text" for one in [_same_texts(table, spec.name)]]
    whole, told = _whole_records(table, same, held_out)
    found = told + _contradictions(table, same, whole)
    for one in same:
        found += _of_column(table, one, held_out, whole)
    return found, same


def _same_files(table: Table, spec: InputSpec, seen: Contents) -> Same:
    exact, what = np.where(seen.ids == 0, -1, pd.factorize(seen.ids)[0]), _NAMES[spec.modality]
    if seen.small is None:
        return Same(spec.name, what, exact, None)
    distinct, first = np.unique(exact[seen.having], return_index=True)
    usable = ~seen.blank[seen.having[first]]
    distinct, first = distinct[usable], first[usable]
    for most in _APART[spec.modality]:
        pairs = near.near_pairs(seen.small[first], most)
        if spec.modality == "audio" and 0 < len(pairs) <= _MOST_WAVES:
            pairs = pairs[sounds.same_waves(table, spec, seen.having[first[pairs]])]
        if not _crowded(pairs, len(first)):
            return Same(spec.name, what, exact, _merged(exact, distinct, pairs))
    return Same(spec.name, what, exact, None)


def _crowded(pairs: np.ndarray, count: int) -> bool:
    """Whether the pairs, int64 [pairs, 2] of `count` things, join so many that they are alike by nature, not copied."""
    joined = np.bincount(near.clusters(pairs, count)) if len(pairs) else np.zeros(0, dtype=np.int64)
    joined = joined[joined > 1]
    return bool(joined.sum() > _REUSED * count and joined.mean() > _CROWD) if len(joined) else False


def _merged(exact: np.ndarray, distinct: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Codes [N] in which the contents that `pairs` (positions in `distinct` codes) join are the same."""
    code = near.clusters(distinct[pairs].reshape(-1, 2), int(exact.max(initial=0)) + 1)
    return np.where(exact < 0, -1, code[exact])


def _same_texts(table: Table, name: str) -> Same:
    values = table.frame[name].to_numpy()
    gone = is_missing(values)
    exact = np.where(gone, -1, pd.factorize(np.where(gone, "", values))[0])
    normal = np.array(
        [None if lack else texts.normal(str(one)) for one, lack in zip(values, gone, strict=True)], object
    )
    codes, distinct = pd.factorize(normal)
    words = np.array([len(one.split()) for one in distinct])
    kept = (codes >= 0) & _taken(words >= _FEWEST_WORDS, codes)
    exact = np.where(kept, exact, -1)
    if not kept.any() or _usual(codes[kept], words):
        return Same(name, "text", np.full(len(values), -1), None)
    for least in _OVERLAPS:
        pairs = texts.near_pairs(list(distinct), least)
        joined = near.clusters(pairs, len(distinct))
        if not _usual(joined[codes[kept]], words) and not _crowded(pairs, len(distinct)):
            return Same(name, "text", exact, np.where(kept, joined[codes], -1))
    return Same(name, "text", exact, np.where(kept, codes, -1))


def _taken(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The value of each code, and False for -1."""
    return np.append(values, False)[codes]


def _usual(codes: np.ndarray, words: np.ndarray) -> bool:
    """Whether the texts of codes [M] repeat so often that it is their nature, as with short remarks."""
    repeated = int(_repeated(codes).sum())
    if np.median(words) >= _LONG:
        return repeated > _REUSED * len(codes)
    return repeated > max(_FEW, _SHORT_REUSED * len(codes))


def _repeated(codes: np.ndarray) -> np.ndarray:
    """bool [M]: whose code another has too."""
    if not len(codes):
        return np.zeros(0, dtype=bool)
    return np.bincount(codes)[codes] > 1


def _whole_records(table: Table, same: list[Same], held_out: np.ndarray | None) -> tuple[np.ndarray, list[Finding]]:
    """(codes [N] of the records by all their inputs, -1 where that says little; what is found)."""
    names = [name for spec in table.schema.inputs for name in spec.columns]
    exact = {one.column: one.exact for one in same if one.what != "text"}
    parts = [exact[name] if name in exact else _codes(table.frame[name].to_numpy()) for name in names]
    if not parts:
        return np.full(len(table), -1), []
    coded = pd.DataFrame(dict(enumerate(parts))).groupby(list(range(len(parts))), sort=False).ngroup().to_numpy()
    some = np.logical_or.reduce([part >= 0 for part in parts])
    coded = np.where(some, coded, -1)
    repeated = (coded >= 0) & _taken_repeated(coded)
    if repeated.sum() > _REUSED * len(table) and not _expects_none(parts):
        return np.full(len(table), -1), []  # few columns of few values repeat by nature
    if not repeated.any():
        return coded, []
    targets = [_codes(table.frame[target.name].to_numpy()) for target in table.schema.targets]
    full = pd.DataFrame(dict(enumerate([coded, *targets])))
    full = full.groupby(list(full.columns), sort=False).ngroup().to_numpy()
    again = repeated & _taken_repeated(np.where(repeated, full, -1))
    if not again.any():
        return coded, []
    return coded, [_told(table, "", "record", np.where(again, full, -1), held_out, "duplicate-record", "equal to")]


def _expects_none(parts: list[np.ndarray]) -> bool:
    """Whether some column has so many values that equal records cannot be chance."""
    return any(len(np.unique(part)) > 0.4 * len(part) for part in parts)


def _taken_repeated(codes: np.ndarray) -> np.ndarray:
    """bool [N]: whose code, not -1, another has too."""
    known = codes >= 0
    result = np.zeros(len(codes), dtype=bool)
    result[known] = _repeated(codes[known])
    return result


def _codes(values: np.ndarray) -> np.ndarray:
    """int64 [N]: equal cells have the same code; -1 where absent."""
    gone = is_missing(values)
    parsed = numbers(values)
    if not (np.isnan(parsed) & ~gone).any():
        return pd.factorize(parsed)[0]
    named = [None if lack else _spelled(value) for value, lack in zip(values, gone, strict=True)]
    return pd.factorize(np.array(named, dtype=object))[0]


def _spelled(value: object) -> str:
    try:
        return to_label(value)
    except ValueError:
        return str(value)


def _contradictions(table: Table, same: list[Same], whole: np.ndarray) -> list[Finding]:
    """The same input with different targets: whole records first, then single files and texts."""
    found, said = [], np.zeros(len(table), dtype=bool)
    sides = [("", "record", whole)]
    for one in same:
        sides.append((one.column, one.what, one.exact))
    for target in table.schema.targets:
        if target.kind == "answer":
            continue  # of one picture much is asked, and who is asked twice may answer otherwise
        labels = _codes(table.frame[target.name].to_numpy())
        for column, what, codes in sides:
            known = (codes >= 0) & (labels >= 0)
            if not known.any() or (column and _repeated(codes[known]).mean() > _REUSED):
                continue
            frame = pd.DataFrame({"code": codes[known], "label": labels[known]})
            several = frame.groupby("code")["label"].transform("nunique").to_numpy() > 1
            rows = np.flatnonzero(known)[several]
            if not len(rows) or (column and said[rows].all()):
                continue
            said[rows] = True
            found.append(_contradiction(table, column, what, target.name, rows))
    return found


def _contradiction(table: Table, column: str, what: str, target: str, positions: np.ndarray) -> Finding:
    rows = [int(row) for row in table.rows[positions]]
    which = f"the same {what} in '{column}'" if column else "the same inputs throughout"
    said = (
        f"{listed(rows).capitalize()} have {which} but different values of '{target}', so one of them must be wrong;"
        " mend the label, or delete the record."
    )
    return Finding("contradictory-target", "warning", column, rows, said)


def _of_column(table: Table, same: Same, held_out: np.ndarray | None, whole: np.ndarray) -> list[Finding]:
    """Exact copies in a column that are no copies of whole records, and near copies that are no exact ones."""
    found = []
    known = same.exact >= 0
    if not known.any() or _repeated(same.exact[known]).mean() > _REUSED:
        return []
    told = _taken_repeated(whole)
    exact = _taken_repeated(same.exact)
    if (exact & ~told).any():
        codes = np.where(exact, same.exact, -1)
        found.append(_told(table, same.column, same.what, codes, held_out, "duplicate", "the same as"))
    if same.near is not None:
        groups = pd.DataFrame({"near": same.near, "exact": same.exact})
        several = groups.groupby("near")["exact"].transform("nunique").to_numpy() > 1
        codes = np.where((same.near >= 0) & several, same.near, -1)
        if (codes >= 0).any():
            found.append(_told(table, same.column, same.what, codes, held_out, "near-duplicate", "nearly the same as"))
    return found


def _told(
    table: Table, column: str, what: str, codes: np.ndarray, held_out: np.ndarray | None, kind: str, relation: str
) -> Finding:
    """The finding about records that share a code, int64 [N], -1 for the others."""
    members = pd.Series(np.flatnonzero(codes >= 0)).groupby(codes[codes >= 0]).apply(list).tolist()
    across = [one for one in members if held_out is not None and len(set(held_out[one])) > 1]
    shown = across or members
    positions = sorted(place for one in shown for place in one)
    rows = [int(row) for row in table.rows[positions]]
    first = " and ".join(str(table.rows[place]) for place in shown[0][:2])
    if across:
        one = next(place for place in across[0] if not held_out[place])
        two = next(place for place in across[0] if held_out[place])
        first = f"{table.rows[one]} and, in the test, {table.rows[two]}"
    where = f" of '{column}'" if column else ""
    count = plural(len(shown), "group")
    side = ", with members on both sides of the split, so the score will flatter" if across else ""
    mend = "delete the copies"
    if across and what != "record":
        mend += ", or split by a group that holds them together"
    if len(shown) == 1 and len(shown[0]) == 2:
        begun = f"The {what}s{where} in rows {first} are {relation.removesuffix(' as').removesuffix(' to')}"
    else:
        begun = f"{plural(len(positions), what)}{where} are {relation} another, in {count}, such as rows {first}"
    full = f"{kind}-across-split" if across else kind
    return Finding(
        full, "warning" if across or kind == "duplicate-record" else "note", column, rows, f"{begun}{side}; {mend}."
    )


def blank_findings(table: Table, contents: dict[str, Contents]) -> list[Finding]:
    """Pictures of one colour and sounds without a sound."""
    found = []
    for spec in table.schema.inputs:
        if spec.name in contents and contents[spec.name].blank.any():
            rows = [int(row) for row in table.rows[contents[spec.name].blank]]
            what = "pictures of one colour" if spec.modality == "image" else "silent sounds"
            said = (
                f"Column '{spec.name}' has {what} in {listed(rows)}, which say nothing; bring the right"
                f" {'file' if len(rows) == 1 else 'files'}, or leave the cell empty."
            )
            found.append(Finding("blank-content", "warning", spec.name, rows, said))
    return found
