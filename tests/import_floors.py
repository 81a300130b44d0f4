"""Which package may import which: the floors of ARCHITECTURE.md, judged on the source text of one module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

PACKAGES = ("config", "kernels", "connectors", "monitor")
OURS = (*PACKAGES, "bench", "tests")
SIMULATOR = "connectors.simulator"

_MAY_IMPORT = {
    "config": {"config"},
    "kernels": {"kernels"},
    "connectors": {"connectors"},
    "monitor": set(PACKAGES),
    "bench": {*PACKAGES, "bench"},
    "tests": set(OURS),
}
# Pure language support: nothing here reads a clock, a file, a socket or the environment.
_KERNEL_STDLIB = {
    "__future__",
    "abc",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "itertools",
    "math",
    "operator",
    "types",
    "typing",
}
_KERNEL_THIRD_PARTY = {"numpy", "numba"}
# The cache policy has to name the CPU, find a writable directory and tell when there is none.
_KERNEL_JIT = {"hashlib", "llvmlite", "logging", "os", "pathlib", "platform", "sys", "tempfile", "warnings"}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, by its full name."""

    target: str
    line: int
    in_function: bool


def imports(module: str, source: str, *, is_package: bool = False) -> Iterator[Import]:
    """Every module that the source of `module` imports, relative, lazy and by-name imports included."""
    package = module if is_package else module.rpartition(".")[0]
    yield from _walk(ast.parse(source), package, in_function=False)


def _walk(node: ast.AST, package: str, *, in_function: bool) -> Iterator[Import]:
    for target in _targets(node, package):
        yield Import(target, getattr(node, "lineno", 0), in_function)
    inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, package, in_function=inside)


def _targets(node: ast.AST, package: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = _absolute(node, package)
        # `from connectors import simulator` names a module, `from connectors.model import Order` does not:
        # both are given as base.name, which every rule below reads as "something under base".
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and _callee(node.func) in {"import_module", "__import__"} and node.args:
        name = node.args[0]
        return [name.value] if isinstance(name, ast.Constant) and isinstance(name.value, str) else []
    return []


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")
    base = parents[: len(parents) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def _callee(func: ast.expr) -> str:
    if isinstance(func, ast.Attribute):
        return func.attr
    return func.id if isinstance(func, ast.Name) else ""


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What the module imports against the floors, one sentence each; `module` is its dotted name."""
    found = []
    for item in imports(module, source, is_package=is_package):
        reason = _broken_rule(module, item)
        if reason:
            found.append(f"{module}, line {item.line}: imports {item.target}: {reason}")
    return found


def _broken_rule(module: str, item: Import) -> str | None:
    own, target = module.partition(".")[0], item.target.partition(".")[0]
    if _under(module, SIMULATOR) and target in OURS and not _under(item.target, SIMULATOR):
        return "the simulator is an independent witness and imports nothing else of ours"
    if _under(item.target, SIMULATOR) and not _may_import_simulator(module, in_function=item.in_function):
        return "only monitor.demo, a function of monitor.cli, bench and tests may import the simulator"
    if target in OURS:
        allowed = target in _MAY_IMPORT[own]
        return None if allowed else f"{own} may import only {', '.join(sorted(_MAY_IMPORT[own]))} of ours"
    if own == "kernels" and not _kernel_may_import(module, target):
        return "kernels may import only numpy, numba and the parts of the standard library that do no I/O and read no clock"
    return None


def _under(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _may_import_simulator(module: str, *, in_function: bool) -> bool:
    if module == "monitor.cli":
        return in_function
    return module == "monitor.demo" or any(_under(module, package) for package in (SIMULATOR, "bench", "tests"))


def _kernel_may_import(module: str, target: str) -> bool:
    if target in _KERNEL_STDLIB or target in _KERNEL_THIRD_PARTY:
        return True
    return module == "kernels._jit" and target in _KERNEL_JIT
