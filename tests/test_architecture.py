"""The walls of the house: imports point one way, and no room grows too long."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "sensorium"
FLOORS = [
    ["features", "errors", "files"],
    ["nn"],
    ["data", "encoders", "fusion", "heads"],
    ["model"],
    ["objectives"],
    ["families"],
    ["metrics"],
    ["training"],
    ["evaluation"],
    ["explain", "compress", "search", "serve"],
    ["recipe"],
    ["cli"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def imports() -> list[tuple[str, str, str]]:
    """(file, its room, the room it imports) of every import within the package."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        room = path.relative_to(SOURCE).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            found += [(str(path), room, name.split(".")[1]) for name in names if name.startswith("sensorium.")]
    return found


def test_imports_point_one_way():
    found = imports()
    assert len(found) > 100
    wrong = []
    for path, room, other in found:
        if room == other or room == "__init__":
            continue
        same_floor = FLOOR[room] == FLOOR[other] and room not in FLOORS[0]
        if FLOOR[other] > FLOOR[room] or same_floor:
            wrong.append(f"{path}: {room} imports {other}")
    assert not wrong, "\n".join(wrong)


def test_every_room_is_known():
    rooms = {
        path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
    }
    assert rooms - {"__init__"} <= set(FLOOR)


def test_no_file_is_longer_than_four_hundred_lines():
    long = {str(path): len(path.read_text().splitlines()) for path in SOURCE.rglob("*.py")}
    assert not {path: lines for path, lines in long.items() if lines > 400}
