"""The skip gate itself: a second pytest runs a small file under it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

LISTED = '[[skip]]\ntest = "test_small.py::test_gpu"\nreason = "no GPU*"\nwhy = "a machine without one"\n'
SKIP = "import pytest\ndef test_ok(): pass\ndef test_gpu(): pytest.skip('no GPU here')\n"


@dataclass(frozen=True)
class Case:
    tests: str = SKIP
    allowed: str = ""
    ci: bool = True
    code: int = 1
    says: str = "test_small.py::test_gpu: no GPU here"
    workers: int = 0


CASES = {
    "an unlisted skip fails in CI and is named": Case(),
    "an unlisted skip in a worker of two": Case(workers=2),
    "a skipped module in a worker of two": Case(
        tests="import pytest\npytest.importorskip('no_such_module')\ndef test_a(): pass\n",
        says="no_such_module",
        workers=2,
    ),
    "the same skip only tells elsewhere": Case(ci=False, code=0, says="CI would fail"),
    "a listed skip passes": Case(allowed=LISTED, code=0, says="1 passed, 1 skipped"),
    "the reason is part of the row": Case(allowed=LISTED.replace("no GPU*", "no disk*")),
    "a skipped module is a skip too": Case(
        tests="import pytest\npytest.importorskip('no_such_module')\ndef test_a(): pass\n", says="no_such_module"
    ),
    "skipif is a skip too": Case(
        tests="import pytest\n@pytest.mark.skipif(True, reason='never')\ndef test_gpu(): pass\n",
        says="test_small.py::test_gpu: never",
    ),
    "xfail is no skip": Case(
        tests="import pytest\n@pytest.mark.xfail(reason='known')\ndef test_x(): assert False\n",
        code=0,
        says="1 xfailed",
    ),
    "a row for nothing is stale and does not fail": Case(
        tests="def test_ok(): pass\n", allowed=LISTED, code=0, says="stale rows of allowed_skips.toml"
    ),
    "a failure stays a failure": Case(tests="def test_bad(): assert False\n", says="1 failed"),
    "a row without its why is refused": Case(
        allowed=LISTED.replace("why", "wy"), code=4, says="[[skip]] 1 has ['reason', 'test', 'wy']"
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_gate(case: Case, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    (pytester.path / "test_small.py").write_text(case.tests)
    (pytester.path / "allowed.toml").write_text(case.allowed)
    monkeypatch.setenv("CI", "true" if case.ci else "")
    done = pytester.runpytest_inprocess(
        "-p",
        "tests.skipgate",
        "-p",
        "no:hypothesispytest",
        "-p",
        "no:pytester",
        "-p",
        "no:faulthandler",
        "--allowed-skips",
        "allowed.toml",
        *(("-n", str(case.workers)) if case.workers else ()),
    )
    said = done.stdout.str() + done.stderr.str()
    assert (done.ret, case.says in said) == (case.code, True), said
