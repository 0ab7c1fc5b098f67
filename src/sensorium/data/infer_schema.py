"""From what the user states and what the values say to a schema; every mistake in either is a sentence."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from sensorium.data.columns.infer import Guess
from sensorium.data.columns.parse import is_missing
from sensorium.data.columns.reading import as_meant
from sensorium.data.finding import Finding
from sensorium.data.infer_column import Inferred, Report, infer_input, infer_target
from sensorium.data.schema import STATED_KINDS, Column, Schema, make_inputs
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.errors import RecordError, UserError, check_known, counted, unknown

Targets = str | list[str] | dict[str, str | None] | None


def infer_schema(
    table: Table,
    target: Targets,
    group: str | None,
    key: str | None,
    columns: dict[str, str],
    source_kinds: Mapping[str, Guess] = MappingProxyType({}),
    inputs: Collection[str] | None = None,
    on_error: Report | None = None,
    strict: bool = False,
) -> Table:
    """`table`, whose own schema is not read, under the one inferred from its cells; its `findings` are what was
    noticed, and cells of inputs that cannot be read are absent in it. `source_kinds` has what the source itself says of
    a column, which replaces a guess; the other arguments are those of `read`.

    on_error: called for what would stop fit (a target that cannot be learned, a group or key with holes, no input), and
    such a column is then ignored. None: the first of these raises UserError. strict: so does every column that is read
    the likelier of several ways, or has cells that cannot be read, all in one sentence. Raises UserError for a
    statement that does not fit the table in any case.
    """
    targets, stated_kinds = stated_roles(table, target, group, key, columns)
    _check_columns_exist(table, inputs or ())
    findings: list[Finding] = []

    def report(finding: Finding) -> None:
        if finding.severity != "error":
            findings.append(finding)
        elif on_error is None:
            raise UserError(finding.sentence)
        else:
            on_error(finding)

    described, specs = [], {}
    for name in table.frame.columns:
        absent = float(is_missing(table.frame[name].to_numpy()).mean())
        if name in targets:
            inferred = infer_target(table, name, targets[name], report)
            specs |= {} if inferred.target is None else {name: inferred.target}
        elif inputs is not None and name not in inputs and stated_kinds.get(name) not in ("group", "key"):
            inferred = Inferred(Guess("ignored", "it is none of the inputs"))
        else:
            source_kind = source_kinds.get(name) if absent < 1 else None
            inferred = infer_input(table, name, stated_kinds.get(name), source_kind, report)
        kind, reason = inferred.guess
        if inferred.reading is not None:
            absent = float(is_missing(as_meant(table.frame[name].to_numpy(), inferred.reading)).mean())
        described.append(Column(name=name, kind=kind, reason=reason, absent=absent, reading=inferred.reading))
    described = one_key(described, stated_kinds)
    schema = Schema(
        columns=described,
        inputs=make_inputs(described),
        targets=[specs[name] for name in targets if name in specs],
        **roles_of(described, stated_kinds),
    )
    readable = table.under(schema).without_unreadable()
    for finding in _unreadable_cells(table, schema, readable.misfits):
        report(finding)
    readable.misfits, readable.findings = [], findings
    if strict:
        _stop_if_unclear(table, findings)
    if not schema.inputs:
        report(_no_inputs(table, schema))
    return readable


def _unreadable_cells(table: Table, schema: Schema, misfits: list[RecordError]) -> Iterable[Finding]:
    """A finding for each input column with cells that cannot be read; an error where they are most of a stated one."""
    for name in dict.fromkeys(misfit.column for misfit in misfits):
        rows = [misfit.row for misfit in misfits if misfit.column == name]
        kind = schema.column(name).kind
        present = int((~is_missing(table.frame[name].to_numpy())).sum())
        first = next(misfit for misfit in misfits if misfit.column == name)
        share = f"{len(rows)} of its {present} cells"
        example = f"{first.value} in row {first.row}"
        if 2 * len(rows) > present:
            fault = f"cannot be read as {kind}: {share} are none, such as {example}; state another kind with"
            sentence = f"Column '{name}' of {table.source} {fault} --column '{name}=KIND'."
            yield Finding("wrong-kind", "error", name, rows, sentence)
        else:
            fault = f"is read as {kind}, and {share} are none, such as {example}, so they are absent; mend them"
            yield Finding("wrong-kind", "warning", name, rows, f"Column '{name}' {fault}.")


def _stop_if_unclear(table: Table, findings: list[Finding]) -> None:
    """Raises UserError that names every column whose kind or cells are not clear."""
    unclear = [finding for finding in findings if finding.kind in ("ambiguous-column", "wrong-kind", "unclear-date")]
    if unclear:
        raise UserError(
            f"{counted(len(unclear), 'column')} of {table.source} cannot be read without a doubt:"
            f" {' '.join(finding.sentence for finding in unclear)}"
        )


def stated_roles(
    table: Table, target: Targets, group: str | None, key: str | None, columns: dict[str, str]
) -> tuple[dict[str, str | None], dict[str, str]]:
    """By column, the stated kinds of the targets (None: to be guessed) and of all other columns."""
    targets = _named_targets(target)
    stated_kinds = {}
    roles = [(name, "group") for name in [group] if name] + [(name, "key") for name in [key] if name]
    for name, kind in [*roles, *columns.items()]:
        if name in targets and kind in TARGETS and targets[name] in (None, kind):
            targets[name] = kind
            continue
        if kind not in STATED_KINDS:
            _raise_for_kind(name, kind)
        if name in targets or stated_kinds.get(name, kind) != kind:
            first_kind = "the target" if name in targets else stated_kinds[name]
            raise UserError(f"Column '{name}' is stated to be both {first_kind} and {kind}; leave one of the two out.")
        stated_kinds[name] = kind
    _check_columns_exist(table, [*targets, *stated_kinds])
    for role in ("group", "key"):
        names = [name for name, kind in stated_kinds.items() if kind == role]
        if len(names) > 1:
            raise UserError(f"Columns '{names[0]}' and '{names[1]}' are both stated to be the {role}; a table has one.")
    return targets, stated_kinds


def _check_columns_exist(table: Table, names: Iterable[str]) -> None:
    for name in names:
        if name not in table.frame.columns:
            raise UserError(f"{table.source}: {unknown('column', name, table.frame.columns)}")


def _named_targets(target: Targets) -> dict[str, str | None]:
    """By name, the stated kind of each target, or None."""
    if target is None:
        return {}
    named = dict(target) if isinstance(target, dict) else dict.fromkeys([target] if isinstance(target, str) else target)
    for kind in named.values():
        if kind is not None:
            check_known(TARGETS, "kind of target", kind)
    return named


def _raise_for_kind(name: str, kind: str) -> None:
    if kind in TARGETS:
        raise UserError(
            f"Column '{name}' is stated to be {kind}, a kind of target, but it is no target; add --target {name}."
        )
    raise unknown(f"kind of column (for '{name}')", kind, STATED_KINDS)


def roles_of(described: list[Column], stated_kinds: dict[str, str]) -> dict[str, str | None]:
    """The names of the columns that are the `group` and the `key`, or None."""
    ignored = {column.name for column in described if column.kind == "ignored"}
    return {
        "group": next((name for name, kind in stated_kinds.items() if kind == "group" and name not in ignored), None),
        "key": next((column.name for column in described if column.kind == "key"), None),
    }


def one_key(columns: list[Column], stated_kinds: dict[str, str]) -> list[Column]:
    """The columns with one key at most: the stated one, or else the first guessed one that no row lacks. The other
    columns that were guessed to be keys are ignored.
    """
    has_key = "key" in stated_kinds.values()
    columns_with_key = []
    for column in columns:
        if column.kind == "key" and column.name not in stated_kinds:
            if has_key or column.absent:
                column = column.model_copy(
                    update={"kind": "ignored", "reason": f"{column.reason}; state text or category to use it"}
                )
            else:
                has_key = True
        columns_with_key.append(column)
    return columns_with_key


def _no_inputs(table: Table, schema: Schema) -> Finding:
    ignored = "; ".join(
        f"'{column.name}': {column.reason}" for column in schema.columns if column.kind in ("ignored", "key")
    )
    reasons = f" ({ignored})" if ignored else ""
    sentence = (
        f"{table.source} has no column left to learn from{reasons}; add one, or state its kind with --column NAME=KIND."
    )
    return Finding("no-inputs", "error", "", [], sentence)
