"""Defaults in code and in YAML are the same, and every setting is a form field with help."""

import dataclasses
import importlib

import pytest

from cli.flows import FLOWS
from core import config
from core.contract import to_dict


@pytest.mark.parametrize("flow", FLOWS)
def test_defaults_of_the_form_are_those_of_the_yaml(flow):
    cls = importlib.import_module(f"flows.{flow}.graph").CONFIG
    assert to_dict(cls()) == to_dict(config.resolve(cls, flow, []))


@pytest.mark.parametrize("flow", FLOWS)
def test_form_has_help_for_every_field_and_refuses_unknown_keys(flow):
    from prefect.utilities.callables import parameter_schema

    schema = parameter_schema(importlib.import_module(f"flows.{flow}.flow").FLOW.fn).model_dump_for_openapi()
    settings = schema["definitions"]["Config"]
    assert settings["additionalProperties"] is False
    assert {field.name for field in dataclasses.fields(importlib.import_module(f"flows.{flow}.graph").CONFIG)} == set(
        settings["properties"]
    )
    bare = [
        f"{name}.{field}"
        for name, definition in schema["definitions"].items()
        for field, value in definition.get("properties", {}).items()
        if "description" not in value and "$ref" not in str(value)
    ]
    assert not bare
