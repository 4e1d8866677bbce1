"""What every judge needs: where the gateway is, and what the provider saw."""

import os

import httpx2 as httpx
import pytest

from expected import scenarios


def pytest_generate_tests(metafunc):
    """A judge that asks for a scenario runs once with each scenario of its dialect."""
    if "scenario" in metafunc.fixturenames:
        found = scenarios(metafunc.module.DIALECT)
        metafunc.parametrize("scenario", found, ids=[scenario.name for scenario in found])


@pytest.fixture(scope="session")
def gateway():
    return os.environ["GATEWAY_URL"]


@pytest.fixture(scope="session")
def provider():
    return Provider(os.environ["PROVIDER_URL"])


class Provider:
    """The scripted provider's own account of a case."""

    def __init__(self, url):
        self._url = url

    def requests(self, case):
        """The requests of a case, after none of them was found to break the API's rules."""
        page = httpx.get(f"{self._url}/_case/{case}").json()
        assert page["violations"] == []
        return page["requests"]

    def saw(self, case, scenario):
        """Checks what the tools' results looked like when they reached the model; returns the requests."""
        requests = self.requests(case)
        rounds = sum(len(leg.rounds) for leg in scenario.legs)
        assert [request["round"] for request in requests] == list(range(1, rounds + 1))
        seen = requests[-1]["results"]
        assert len(seen) == len(scenario.results)
        for group, wanted in zip(seen, scenario.results):
            assert len(group) == len(wanted), "one result for each call, in the calls' order"
            for index, (result, expected) in enumerate(zip(group, wanted)):
                check_result(result, expected, index)
        tools = [request["body"]["tools"] for request in requests]
        assert all(block == tools[0] for block in tools), "the tools are a cached prefix: they never change"
        return requests


def check_result(result, expected, index):
    assert result["id"].endswith(f"_{index}")
    assert expected["contains"] in result["text"]
    if result["error"] is not None:
        assert result["error"] == expected.get("error", False), result
    if expected.get("error"):
        assert result["text"].strip(), "an error says what is wrong"
    assert "iVBORw0KGgo" not in result["text"], "no picture travels as text"
    if "image" in expected:
        assert result["images"] == [expected["image"]]
