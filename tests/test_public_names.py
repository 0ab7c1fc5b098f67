"""What `import sensorium` gives: a function for every verb, loaded when it is first used, with its real parameters."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import sensorium
from sensorium.cli.app import VERBS

SOURCE = Path(sensorium.__file__).parent
HEAVY = ("torch", "transformers", "timm", "pandas", "pyarrow", "sklearn")


def loaded(code: str) -> list[str]:
    """The heavy packages that a new process has loaded after `code`."""
    report = f"import sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    command = [sys.executable, "-c", f"{code}\n{report}"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    return finished.stdout.splitlines()[-1].split()


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["fit", "--help"], ["fit", "--no-such-option"]])
def test_a_command_that_works_on_nothing_loads_nothing_heavy(arguments):
    code = (
        f"import sys; sys.argv = ['sensorium', *{arguments!r}]\n"
        "from sensorium.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass"
    )
    assert loaded(code) == []


def test_importing_the_package_loads_nothing_heavy_and_a_verb_what_it_uses():
    assert loaded("import sensorium; dir(sensorium); sensorium.__version__") == []
    assert "torch" in loaded("import sensorium; sensorium.fit")


def test_every_verb_has_a_function_and_no_room_has_its_name():
    for module in SOURCE.rglob("*.py"):
        parts = module.relative_to(SOURCE.parent).with_suffix("").parts
        if parts[-1] not in ("__init__", "__main__"):
            importlib.import_module(".".join(parts))
    for verb in VERBS:
        assert inspect.isfunction(getattr(sensorium, verb.__name__)), verb.__name__
    for name in sensorium.__all__:
        assert callable(getattr(sensorium, name)), name
        assert name in dir(sensorium)
    rooms = {path.stem for path in SOURCE.iterdir()}
    assert not rooms & set(sensorium.__all__)
    with pytest.raises(AttributeError, match="no attribute 'refit'"):
        _ = sensorium.refit


def test_the_parameters_of_a_function_are_those_of_its_verb():
    renamed = {"setting": "settings", "column": "columns", "encoder": "encoders", "table": "records"}
    for name in ("fit", "pretrain", "compare"):
        verb = next(verb for verb in VERBS if verb.__name__ == name)
        options = {renamed.get(option, option) for option in inspect.signature(verb).parameters} - {"as_json"}
        parameters = inspect.signature(getattr(sensorium, name)).parameters
        assert options <= set(parameters), name
        assert {"quiet", "resume", "overwrite"} <= set(parameters)


def test_the_package_says_that_it_is_typed():
    assert (SOURCE / "py.typed").exists()
