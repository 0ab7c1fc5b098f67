"""The walls of the house: imports point one way, no files import each other in a circle, no room has a verb's name."""

import ast
import importlib
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "sensorium"
FLOORS = [
    ["errors", "files", "features", "console"],
    ["nn"],
    ["generation", "metrics"],
    ["data"],
    ["encoders", "fusion", "heads"],
    ["experts"],
    ["checkpoint"],
    ["model"],
    ["objectives"],
    ["families"],
    ["training"],
    ["evaluation"],
    ["inference"],
    ["explanation", "indexing", "compression"],
    ["serving"],
    ["config"],
    ["build"],
    ["tasks"],
    ["reports"],
    ["runs"],
    ["comparison", "inspection"],
    ["cli"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = {
    ".".join(("sensorium", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}


def imported(module: str) -> set[str]:
    """The modules of the package that a module's file imports, anywhere in it, for type checkers too."""
    names = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.add(inner if inner in MODULES else node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name in MODULES and name != module}


GRAPH = {module: imported(module) for module in MODULES}


def circles() -> list[list[str]]:
    """The sets of files that import each other in a circle: strongly connected components (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in GRAPH[module]:
            if target not in index:
                visit(target)
            if target in stack:
                low[module] = min(low[module], low[target])
        if low[module] == index[module]:
            component = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            components.append(sorted(component))

    for module in GRAPH:
        if module not in index:
            visit(module)
    return [component for component in components if len(component) > 1]


def test_no_files_import_each_other_in_a_circle():
    assert not circles()


def test_imports_point_one_way():
    assert sum(len(targets) for targets in GRAPH.values()) > 100
    upward = []
    for module, targets in GRAPH.items():
        for target in targets:
            if "." not in module or "." not in target:
                continue
            room, other = module.split(".")[1], target.split(".")[1]
            beside = FLOOR[room] == FLOOR[other] and room not in FLOORS[0]
            if room != other and (FLOOR[other] > FLOOR[room] or beside):
                upward.append(f"{module} imports {target}")
    assert not upward, "\n".join(sorted(upward))


def test_every_name_that_a_benchmark_imports_is_there():
    missing, count = [], 0
    for path in sorted((SOURCE.parents[1] / "benchmarks").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sensorium":
                count += len(node.names)
                module = importlib.import_module(node.module)
                missing += [
                    f"{path.name}: {node.module}.{alias.name}"
                    for alias in node.names
                    if f"{node.module}.{alias.name}" not in MODULES and not hasattr(module, alias.name)
                ]
    assert count > 50 and not missing, missing


def test_every_room_is_known():
    rooms = {module.split(".")[1] for module in MODULES if "." in module}
    assert rooms <= set(FLOOR)


def test_no_file_is_longer_than_four_hundred_lines():
    long = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    assert not {module: lines for module, lines in long.items() if lines > 400}


# Where names of kinds and parts may stand: each kind's own files, and the rooms' dictionaries.
OWN_ROOMS = ("data/targets", "metrics/kinds", "evaluation/columns", "data/media", "data/columns")
ASKED = ("kind", "kinds", "name", "head", "fusion", "family")
# Texts are inputs and columns as well as targets: a comparison that asks one of these decides by no target's kind.
ASKED_OF_INPUTS = ("modality", "inputs_of", "column", "kinds")


def named_parts() -> set[str]:
    """The names of kinds of target, heads, fusions and families."""
    from sensorium.data.targets import TARGETS
    from sensorium.families import FAMILIES
    from sensorium.fusion import FUSIONS
    from sensorium.heads import HEADS

    return {*TARGETS, *HEADS, *FUSIONS, *FAMILIES}


def decisions_by_name(tree: ast.AST, parts: set[str]) -> list[tuple[int, str]]:
    """Comparisons of a kind, a head, a fusion or a family with the name of one: (line, text)."""
    decisions = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        constants = {leaf.value for leaf in ast.walk(node) if isinstance(leaf, ast.Constant)}
        asked = {leaf.attr if isinstance(leaf, ast.Attribute) else leaf.id
                 for leaf in ast.walk(node) if isinstance(leaf, ast.Attribute | ast.Name)}  # fmt: skip
        if asked & set(ASKED_OF_INPUTS):
            constants = constants - {"text"}
        if constants & parts and asked & set(ASKED):
            decisions.append((node.lineno, ast.unparse(node)))
    return decisions


def test_nothing_outside_its_room_decides_by_the_name_of_a_part():
    parts = named_parts()
    assert {"class", "number", "late", "hybrid", "albef"} <= parts
    assert decisions_by_name(ast.parse("if spec.kind in ('class', 'labels'): pass"), parts)
    assert decisions_by_name(ast.parse("if spec.kind == 'text': pass"), parts)
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {text}"
        for path in MODULES.values()
        if path.name != "__init__.py" and not any(room in path.as_posix() for room in OWN_ROOMS)
        for line, text in decisions_by_name(ast.parse(path.read_text(encoding="utf-8")), parts)
    ]
    assert not found, "\n".join(found)
