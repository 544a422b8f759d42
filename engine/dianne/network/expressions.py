"""Arithmetic over a network file's parameters: the `${2 * latentDims}` in its values.

The syntax tree is walked; nothing is ever passed to `eval`.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from dianne.errors import suggest

Scalar = int | float | str | bool | None
_SPAN = re.compile(r"\$\{([^{}]*)\}")
_MAX_LENGTH = 500
_MAX_VALUE = 2**63
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_,
}  # fmt: skip
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt,
    ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[..., Any]] = {"min": min, "max": max, "int": int, "float": float}


class ExpressionError(ValueError):
    """An expression cannot be read or computed; the text says why."""


def substitute(value: Any, parameters: Mapping[str, Scalar]) -> Any:
    """`value` with every `${...}` in it computed.

    A text that is one expression becomes its value, of whatever kind; expressions inside a longer text
    are inserted as text. Lists are treated item by item.

    Raises:
        ExpressionError: as `evaluate`.
    """
    if isinstance(value, list):
        return [substitute(item, parameters) for item in value]
    if not isinstance(value, str) or "$" not in value:
        return value
    whole = _SPAN.fullmatch(value.strip())
    if whole:
        return evaluate(whole[1], parameters)
    text = _SPAN.sub(lambda span: str(evaluate(span[1], parameters)), value)
    if "${" in text:
        raise ExpressionError(f"'{value}' has a '${{' that is not closed")
    return text


def evaluate(text: str, parameters: Mapping[str, Scalar]) -> Scalar:
    """The value of one expression: + - * / // % **, comparisons, `a if c else b`, min, max, int, float.

    Args:
        text: what stands between `${` and `}`.
        parameters: the names it may use.

    Raises:
        ExpressionError: bad syntax, an unknown name, a division by zero, a number beyond 2**63.
    """
    if text.strip() in parameters:  # also names that are none in Python, such as 3x3
        return parameters[text.strip()]
    if len(text) > _MAX_LENGTH:
        raise ExpressionError(f"an expression of {len(text):,} characters (at most {_MAX_LENGTH})")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd syntax: what cannot be computed is said below
            tree = ast.parse(text.strip(), mode="eval").body
        value: Scalar = _bounded(_value(tree, parameters), tree)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"'{text}' is no expression") from error
    except ZeroDivisionError as error:
        raise ExpressionError(f"'{text}' divides by zero") from error
    except (TypeError, OverflowError, ValueError) as error:
        if isinstance(error, ExpressionError):
            raise
        raise ExpressionError(f"'{text}' cannot be computed: {error}") from error
    return value


def _value(node: ast.expr, names: Mapping[str, Scalar]) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str | None):
        return node.value
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise ExpressionError(f"unknown parameter '{node.id}'{suggest(node.id, names, 'parameters')}")
        return names[node.id]
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_value(node.operand, names))
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _binary(node, names)
    if isinstance(node, ast.Compare):
        return _compare(node, names)
    if isinstance(node, ast.IfExp):
        return _value(node.body if _value(node.test, names) else node.orelse, names)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id not in _FUNCTIONS:
            known = suggest(node.func.id, _FUNCTIONS, "functions")
            raise ExpressionError(f"unknown function '{node.func.id}'{known}")
        return _FUNCTIONS[node.func.id](*(_value(argument, names) for argument in node.args))
    raise ExpressionError(f"'{ast.unparse(node)}' is not allowed in an expression")


def _binary(node: ast.BinOp, names: Mapping[str, Scalar]) -> Any:
    left, right = _value(node.left, names), _value(node.right, names)
    for side in (left, right):
        if not isinstance(side, int | float):
            raise ExpressionError(f"'{ast.unparse(node)}' needs numbers, found '{side}'")
    if isinstance(node.op, ast.Pow) and abs(right) > 64:
        raise ExpressionError(f"'{ast.unparse(node)}' has an exponent above 64")
    result = _BINARY[type(node.op)](left, right)
    if isinstance(result, complex):
        raise ExpressionError(f"'{ast.unparse(node)}' is no real number")
    return _bounded(result, node)


def _bounded(value: Any, node: ast.expr) -> Any:
    if isinstance(value, int | float) and not abs(value) <= _MAX_VALUE:
        raise ExpressionError(f"'{ast.unparse(node)}' is beyond 2**63")
    return value


def _compare(node: ast.Compare, names: Mapping[str, Scalar]) -> bool:
    left = _value(node.left, names)
    for sign, other in zip(node.ops, node.comparators, strict=True):
        if type(sign) not in _COMPARE:
            raise ExpressionError(f"'{ast.unparse(node)}' is not allowed in an expression")
        right = _value(other, names)
        if not _COMPARE[type(sign)](left, right):
            return False
        left = right
    return True


def unknown_names(value: Any, parameters: Mapping[str, Scalar]) -> list[str]:
    """The names in the expressions of a value that are no parameters, without computing anything."""
    if isinstance(value, list):
        return [name for item in value for name in unknown_names(item, parameters)]
    found = []
    for text in _SPAN.findall(value) if isinstance(value, str) else []:
        if text.strip() in parameters:
            continue
        with warnings.catch_warnings(), suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            warnings.simplefilter("ignore")
            nodes = ast.walk(ast.parse(text.strip(), mode="eval"))
            names = [node.id for node in nodes if isinstance(node, ast.Name)]
            found += [name for name in names if name not in parameters and name not in _FUNCTIONS]
    return found
