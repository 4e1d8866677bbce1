"""What has no rounds: token counts, model lists and the provider's own errors go through as they are."""

import anthropic
import openai
import pytest

from expected import CALLERS_KEY, new_case, prompt


@pytest.fixture(scope="module")
def claude(gateway):
    return anthropic.Anthropic(base_url=f"{gateway}/anthropic", api_key=CALLERS_KEY, max_retries=0)


@pytest.fixture(scope="module")
def gpt(gateway):
    return openai.OpenAI(base_url=f"{gateway}/openai/v1", api_key=CALLERS_KEY, max_retries=0)


def test_named_provider_answers(claude, gpt, provider):
    """The routes that name a provider lead to it, and a request with one message there gets one."""
    for ask in (lambda case: claude.messages.create(model="plain", max_tokens=9, messages=said(case)),
                lambda case: gpt.chat.completions.create(model="plain", messages=said(case)),
                lambda case: gpt.responses.create(model="plain", input=said(case))):
        case = new_case()
        assert f"_{case}_r1" in ask(case).id
        assert len(provider.requests(case)) == 1


def test_count_tokens(claude):
    few = claude.messages.count_tokens(model="plain", messages=said(new_case()))
    many = claude.messages.count_tokens(model="plain", messages=[{"role": "user", "content": "word " * 1000}])
    assert 0 < few.input_tokens < many.input_tokens


def test_models(claude, gpt):
    assert "plain" in [model.id for model in claude.models.list()]
    assert "plain" in [model.id for model in gpt.models.list()]


@pytest.mark.parametrize("stream", [False, True])
def test_errors_keep_status_and_body(claude, gpt, stream):
    """A streamed request that the provider refuses is an error, never an empty stream."""
    words = "The model `no-such-model` does not exist or you do not have access to it."
    with pytest.raises(anthropic.NotFoundError) as caught:
        claude.messages.create(model="no-such-model", max_tokens=9, messages=said("x"), stream=stream)
    assert caught.value.body["error"] == {"type": "not_found_error", "message": words}
    for ask in (gpt.chat.completions.create, gpt.responses.create):
        named = {"messages": said("x")} if ask == gpt.chat.completions.create else {"input": said("x")}
        with pytest.raises(openai.NotFoundError) as caught:
            ask(model="no-such-model", stream=stream, **named)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
        assert words in str(caught.value)


def said(case):
    return [{"role": "user", "content": prompt(case)}]
