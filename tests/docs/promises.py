"""The page of promises and the source of the tests come in; every contradiction between the two goes out, as a sentence.

Tests are parsed, not run or imported: what is marked is found where Docker, a browser or a package is missing, too.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

PROMISE = re.compile(r"^\*\*(P\d+)\.\*\* (.+?)(?=\n- |\n\n|\Z)((?:\n- [^\n]+)*)", re.M | re.S)
TEST = re.compile(r"`(tests/[\w/]+\.py(?:::\w+)+)`")
MEASURED = re.compile(r"Measured: <!-- figure (P\d+) -->.+<!-- end -->")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.M | re.S)
CITED = re.compile(r"\bP(\d+)(?:–P?(\d+))?\b")
WITHDRAWN = "Withdrawn"


@dataclass
class Promise:
    """One promise of the page: its number, its sentence, the tests that it names, the figures below it by their numbers, and
    lines below it that are neither.
    """

    number: str
    sentence: str
    tests: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def is_withdrawn(self) -> bool:
        """Whether it only keeps its number from being used again."""
        return self.sentence.startswith(WITHDRAWN)


def promises(page: str) -> list[Promise]:
    """The promises of a page, in its order."""
    found = []
    for number, sentence, below in PROMISE.findall(page):
        promise = Promise(number, " ".join(sentence.split()))
        for line in filter(None, below.split("\n- ")):
            test, figure = TEST.fullmatch(line), MEASURED.fullmatch(line)
            if test:
                promise.tests.append(test[1])
            elif figure:
                promise.figures.append(figure[1])
            else:
                promise.others.append(line)
        found.append(promise)
    return found


@dataclass
class Marked:
    """The tests of some files: the numbers with which each is marked, by its id, and where a marker stands that is of no use."""

    numbers: dict[str, list[str]] = field(default_factory=dict)
    useless: list[str] = field(default_factory=list)


def marked(sources: Mapping[str, str]) -> Marked:
    """Every test in the files, whose text is given by their path."""
    found = Marked()
    for path, text in sources.items():
        tree = ast.parse(text)
        understood = set()
        for identity, function in _tests(tree, path):
            found.numbers[identity] = []
            for decorator in function.decorator_list:
                numbers = _numbers(decorator)
                if numbers is not None:
                    found.numbers[identity] += numbers
                    understood.add(id(decorator.func))  # type: ignore[attr-defined]  # _numbers saw that it is a call
        for node in ast.walk(tree):
            if _is_marker(node) and id(node) not in understood:
                found.useless.append(f"{path}, line {node.lineno}")  # type: ignore[attr-defined]
    return found


def _tests(tree: ast.Module, path: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """The test functions of a file and of its classes, by their ids."""
    groups = [(path, tree.body)] + [
        (f"{path}::{node.name}", node.body) for node in tree.body if isinstance(node, ast.ClassDef)
    ]
    for prefix, body in groups:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield f"{prefix}::{node.name}", node


def _is_marker(node: ast.AST) -> bool:
    """Whether it is `pytest.mark.promise`."""
    return isinstance(node, ast.Attribute) and ast.unparse(node) == "pytest.mark.promise"


def _numbers(decorator: ast.expr) -> list[str] | None:
    """The numbers of `@pytest.mark.promise("P1", ...)`; None for another decorator, or one that does not state them plainly."""
    if not isinstance(decorator, ast.Call) or not _is_marker(decorator.func) or decorator.keywords or not decorator.args:
        return None
    numbers = [argument.value if isinstance(argument, ast.Constant) else None for argument in decorator.args]
    return [str(number) for number in numbers] if all(isinstance(number, str) for number in numbers) else None


def faults(page: str, tests: Marked, figures: Mapping[str, Callable[[], str]]) -> list[str]:
    """What is wrong between the promises of a page, the tests that guard them and the figures that they gave."""
    made = promises(page)
    by_number = defaultdict(list)
    for promise in made:
        by_number[promise.number].append(promise)
    wrong = [
        f"{place}: a marker that decorates no test, or names its promises otherwise than by strings"
        for place in tests.useless
    ]
    wrong += [f"{number} is used {len(same)} times" for number, same in by_number.items() if len(same) > 1]
    last = max((int(promise.number[1:]) for promise in made), default=0)
    wrong += [
        f"P{n} is missing: a number that was used stays, as withdrawn" for n in range(1, last) if f"P{n}" not in by_number
    ]
    for promise in made:
        wrong += [f"{promise.number} {fault}" for fault in _faults(promise, tests, figures)]
    for identity, numbers in tests.numbers.items():
        wrong += [f"{identity} is marked with {n} twice" for n in sorted(set(numbers)) if numbers.count(n) > 1]
        for number in dict.fromkeys(numbers):
            if number not in by_number:
                wrong.append(f"{identity} guards {number}, which the page lacks")
            elif not any(identity in promise.tests for promise in by_number[number]):
                wrong.append(f"{identity} guards {number}, which does not name it")
    placed = [number for promise in made for number in promise.figures]
    return wrong + [f"{number} has a figure, which the page lacks" for number in figures if number not in placed]


def _faults(promise: Promise, tests: Marked, figures: Mapping[str, Callable[[], str]]) -> Iterator[str]:
    """What is wrong with one promise."""
    if not promise.tests and not promise.is_withdrawn:
        yield "names no test"
    if not _is_one_sentence(promise.sentence) and not promise.is_withdrawn:
        yield "is not one sentence"
    for line in promise.others:
        yield f"has a line that is neither a test nor a figure: {line}"
    for test in promise.tests:
        if promise.tests.count(test) > 1:
            yield f"names {test} twice"
        if test not in tests.numbers:
            yield f"names {test}, which does not exist"
        elif promise.number not in tests.numbers[test]:
            yield f"names {test}, which is not marked with it"
    for number in promise.figures:
        if number != promise.number:
            yield f"shows the figure of {number}"
        elif number not in figures:
            yield "shows a figure that nothing writes"
        else:
            try:
                figures[number]()
            except (KeyError, OSError) as error:
                yield f"shows a figure whose source is missing: {error}"


def _is_one_sentence(text: str) -> bool:
    """Whether text ends with a full stop and has no other; what is code does not count."""
    plain = re.sub(r"`[^`]*`", "x", text)
    return plain.endswith(".") and not re.search(r"[.!?] ", plain)


def cited(text: str) -> list[str]:
    """The numbers of promises that a page refers to outside of code, ranges like P1–P3 included."""
    found = []
    for first, last in CITED.findall(CODE.sub("", text)):
        found += [f"P{number}" for number in range(int(first), int(last or first) + 1)]
    return found
