"""The walls of the house: imports point one way, no files import each other in a circle, no room has a verb's name."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "sensorium"
FLOORS = [
    ["errors", "files", "features", "console"],
    ["nn"],
    ["generation", "metrics"],
    ["data"],
    ["encoders", "fusion", "heads"],
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


def test_every_room_is_known():
    rooms = {module.split(".")[1] for module in MODULES if "." in module}
    assert rooms <= set(FLOOR)


def test_no_file_is_longer_than_four_hundred_lines():
    long = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    assert not {module: lines for module, lines in long.items() if lines > 400}
