"""The house rules that no type checker sees: what is imported, pinned, tracked, and how long things are."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gateway import config

ROOT = Path(__file__).parent.parent
ENVS = ROOT / "deploy" / "envs"
FRAMEWORKS = {"tensorflow", "torch", "mxnet", "paddle", "sklearn", "onnx", "pandas", "scipy", "jax"}
IMPORT_S = 5.0  # of processor time, so that a busy machine does not count; about 0.5 on an idle one
FILE_LINES, FUNCTION_LINES = 600, 120  # a hard stop; 300 and 60 are what we aim at


def run(*command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


def tracked() -> list[Path]:
    """Files that git knows, or, in an unpacked archive, all that are not built here."""
    done = run("git", "ls-files", "-z")
    if done.returncode == 0:
        return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).exists()]
    hidden = {".venv", "__pycache__", ".hypothesis", "dist"}
    return [p for p in ROOT.rglob("*") if p.is_file() and not hidden & set(p.relative_to(ROOT).parts)]


# -- what the gateway process imports ----------------------------------------------------------


def test_the_gateway_process_imports_no_framework() -> None:
    code = (
        "import json, sys, time; t = time.process_time(); import gateway.app; t = time.process_time() - t;"
        "print(json.dumps({'seconds': t, 'modules': sorted({m.split('.')[0] for m in sys.modules})}))"
    )
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not FRAMEWORKS & set(found["modules"])
    assert found["seconds"] < IMPORT_S


def test_the_command_line_starts_without_the_gateway() -> None:
    """`gateway --help` is quick: neither grpc nor onnxruntime is loaded for it."""
    code = "import sys; import gateway.cli; print(sorted({m.split('.')[0] for m in sys.modules}))"
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert not {"grpc", "onnxruntime", *FRAMEWORKS} & set(ast.literal_eval(done.stdout))


def test_no_framework_is_installed_beside_the_gateway() -> None:
    assert [name for name in sorted(FRAMEWORKS) if importlib.util.find_spec(name) is not None] == []


def test_layers() -> None:
    done = run(str(Path(sys.executable).with_name("lint-imports")))
    assert done.returncode == 0, done.stdout


# -- pins --------------------------------------------------------------------------------------


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", (ENVS / f"{name}.txt").read_text(), flags=re.M))


def wanted(name: str) -> set[str]:
    """Packages that NAME.in names itself, those of `-r` included, in normal form."""
    found: set[str] = set()
    for line in (ENVS / f"{name}.in").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("-r "):
            found |= wanted(line.removeprefix("-r ").strip().removesuffix(".in"))
        elif line and not line.startswith("-"):
            found.add(re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", line)[0]).lower())
    return found


NAMES = sorted(path.stem for path in ENVS.glob("*.in"))
VARIANTS = [name for name in (f"{name}-cpu" for name in NAMES) if (ENVS / f"{name}.txt").exists()]


def test_every_environment_has_both_files() -> None:
    assert sorted(path.stem for path in ENVS.glob("*.txt")) == sorted(NAMES + VARIANTS)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_asked_for_is_pinned(name: str) -> None:
    assert wanted(name) <= set(pins(name)), "run `make pins`"


@pytest.mark.parametrize("name", NAMES + VARIANTS)
def test_every_pin_is_exact_and_has_hashes(name: str) -> None:
    text = re.sub(r"\\\n\s*", " ", (ENVS / f"{name}.txt").read_text())
    rows = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert rows
    bad = [row[:60] for row in rows if not re.match(r"[a-z0-9._-]+==\S+ (;[^-]*)?\s*--hash=sha256:[0-9a-f]{64}", row)]
    assert bad == []


AT_WORK_ELSEWHERE = {
    "base": "every conversion of ONNX and MXNet",
    "mxnet": "tests/formats/mxnet/test_judges.py",
    "client-tfs": "tests/protocols/test_official_clients.py",
    "client-ovms": "tests/protocols/test_official_clients.py",
    "client-tensorboard": "tests/formats/savedmodel/test_tensorboard.py",
    "client-schemathesis": "tests/protocols/test_schemathesis.py",
    "fuzz": "make fuzz",
    "writers": "make recognise",
}


def test_every_environment_is_seen_at_work() -> None:
    """A pin file that resolves is no proof that what it pins works together."""
    environments = {name for name in NAMES if "# python:" in (ENVS / f"{name}.in").read_text()}
    at_work = {path.stem.replace("_", "-") for path in (ROOT / "tests/process/pinned").glob("[a-z]*.py")}
    assert environments == at_work | set(AT_WORK_ELSEWHERE), "a module in tests/process/pinned and a row in LEAVES"


def test_every_pin_of_an_environment_has_its_weight() -> None:
    """`gateway doctor --install` says what it will download before it does."""
    environments = [name for name in NAMES if "# python:" in (ENVS / f"{name}.in").read_text()]
    files = environments + [f"{name}-cpu" for name in environments if f"{name}-cpu" in VARIANTS]
    wanted = {f"{name}=={version}" for file in files for name, version in pins(file).items()}
    assert set(json.loads((ENVS / "sizes.json").read_text())) == wanted, "run `make pins`"


def test_what_is_proven_is_what_is_served() -> None:
    """Environment base and the gateway have the same onnxruntime, and what both have is the same."""
    base, gateway = pins("base"), pins("gateway")
    assert {"onnxruntime", "numpy", "protobuf", "ml-dtypes"} <= set(base) & set(gateway)
    assert {name: base[name] for name in base if name in gateway} == {n: v for n, v in gateway.items() if n in base}


def test_tests_run_with_the_pins_that_are_shipped() -> None:
    gateway = pins("gateway")
    assert {name: pins("dev").get(name) for name in gateway} == gateway


def test_pyproject_and_pins_name_the_same_packages() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"^dependencies = \[(.*?)^\]", text, flags=re.M | re.S)
    assert block is not None
    assert set(re.findall(r'"([a-z0-9-]+)', block[1])) == wanted("gateway")


def test_every_dependency_has_its_reason() -> None:
    page = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text()
    assert [name for name in sorted(wanted("gateway") | wanted("base")) if f"**{name}**" not in page] == []


# -- what is tracked ---------------------------------------------------------------------------

SECRETS = {
    "a path of one machine": r"(?<![\w.])/(?:work|root|opt/(?:wheels|pypi))/",
    "an index or a mirror": r"--(?:index-url|extra-index-url|find-links) +\w*:?/|--trusted-host +\w",
    "credentials in an address": r"https?://[^\s/@:\"']+:[^\s/@\"'$<]+@",
}


@pytest.mark.parametrize("pattern", SECRETS.values(), ids=SECRETS.keys())
def test_no_tracked_file_has(pattern: str) -> None:
    found = []
    for path in tracked():
        if path.suffix in (".onnx", ".npy", ".png", ".jpg") or path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            if re.search(pattern, line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_nothing_large_is_tracked() -> None:
    assert [str(path) for path in tracked() if path.stat().st_size > 1_000_000] == []


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "limitations under the License." in text


# -- size --------------------------------------------------------------------------------------

OURS = [p for p in sorted((ROOT / "gateway").rglob("*.py")) if "generated" not in p.parts]


def test_no_file_is_too_long() -> None:
    long = {str(p.relative_to(ROOT)): n for p in OURS if (n := len(p.read_text().splitlines())) > FILE_LINES}
    assert long == {}


def test_no_function_is_too_long() -> None:
    long = {}
    for path in OURS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert long == {}


def test_every_file_says_what_it_is() -> None:
    silent = [p for p in OURS if p.name != "__init__.py" and not ast.get_docstring(ast.parse(p.read_text()))]
    assert [str(p.relative_to(ROOT)) for p in silent] == []


# -- documents ---------------------------------------------------------------------------------

PAGES = [p for p in tracked() if p.suffix == ".md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_hints_lead_to_pages_that_exist() -> None:
    named = {page for path in OURS for page in re.findall(r"docs/[\w/-]+\.md", path.read_text())}
    assert [page for page in sorted(named) if not (ROOT / page).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_of_the_pages_exist(page: Path) -> None:
    """Every `make X` and `gateway X` that a page shows as a command."""
    text = page.read_text()
    shown = "\n".join(re.findall(r"^(?:    |\$ ).*$|`[^`\n]+`", text, flags=re.M))
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"(?:^|[`$ ])make ([a-z][a-z-]*)", shown, flags=re.M)) <= targets
    commands = set(re.findall(r'command\("([a-z]+)"', (ROOT / "gateway" / "cli.py").read_text()))
    assert commands
    assert set(re.findall(r"(?:^[ $]*|`)gateway ([a-z]+)", shown, flags=re.M)) <= commands


def tool(name: str) -> ModuleType:
    """tools/NAME.py as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_formats_page_is_what_registry_and_formats_are() -> None:
    page = tool("formats_page")
    assert page.PAGE.read_text() == page.render(), "run .venv/bin/python tools/formats_page.py"


def test_the_settings_page_is_what_the_settings_are() -> None:
    page = tool("settings_page")
    text = page.PAGE.read_text()
    assert text == page.render(), "run .venv/bin/python tools/settings_page.py"
    assert all(f"`{name}`" in text for name in config.names())
