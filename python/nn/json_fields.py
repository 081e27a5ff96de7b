"""Typed reading of an object's fields; a missing field or a wrong type is one sentence."""

from __future__ import annotations

from nn import messages
from nn.errors import NNError
from nn.json_strict import Json, describe


class Fields:
    """The fields of `values`; `where` (a path) opens the sentence of an error.

    A method without a default raises field_missing; every method raises field_wrong_type. Null counts as missing
    where there is a default.
    """

    def __init__(self, values: dict[str, Json], where: str) -> None:
        self.values = values
        self.where = where

    def get(self, field: str) -> Json:
        return self.values.get(field)

    def wrong(self, field: str, expected: str) -> NNError:
        found = describe(self.values.get(field))
        return messages.field_wrong_type(where=self.where, field=field, found=found, expected=expected)

    def _present(self, field: str, expected: str) -> Json:
        if field not in self.values:
            raise messages.field_missing(where=self.where, field=field, expected=expected)
        return self.values[field]

    def integer(self, field: str) -> int:
        value = self._present(field, "an integer")
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(field, "an integer")
        return value

    def integer_or(self, field: str, default: int) -> int:
        return default if self.values.get(field) is None else self.integer(field)

    def number(self, field: str) -> float:
        """An integer counts as a number: some writers put `10000` for 10000.0."""
        value = self._present(field, "a number")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(field, "a number")
        return float(value)

    def number_or(self, field: str, default: float) -> float:
        return default if self.values.get(field) is None else self.number(field)

    def boolean(self, field: str) -> bool:
        value = self._present(field, "true or false")
        if not isinstance(value, bool):
            raise self.wrong(field, "true or false")
        return value

    def string(self, field: str) -> str:
        value = self._present(field, "a string")
        if not isinstance(value, str):
            raise self.wrong(field, "a string")
        return value

    def string_or(self, field: str, default: str) -> str:
        return default if self.values.get(field) is None else self.string(field)

    def object(self, field: str) -> dict[str, Json]:
        value = self._present(field, "an object")
        if not isinstance(value, dict):
            raise self.wrong(field, "an object")
        return value

    def object_or_empty(self, field: str) -> dict[str, Json]:
        return {} if self.values.get(field) is None else self.object(field)
