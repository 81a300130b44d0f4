from __future__ import annotations

from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.aster.settings import AgentKey
from connectors.aster.signing import AgentSigner, Nonces, VenueClock
from connectors.clock import ManualClock
from monitor.recording.configuration import stand_in
from monitor.recording.redaction import MOST_TOKENS, Redactor

KEY = "0x" + "ab12" * 16
HOOK = "https://hooks.example.com/services/T000/B000/XXXX?key=a&b=c"


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "listenKey", "signature", "apiKey", "client_secret"])
def test_a_token_is_replaced_and_what_is_left_still_parses(name: str) -> None:
    redactor = Redactor({})
    body = orjson.dumps({name: "s3cr3t-value/+==", "expires_in": 900})
    clean = redactor.clean(body)
    assert b"s3cr3t" not in clean
    assert orjson.loads(clean).keys() == {name, "expires_in"}


def test_a_token_is_taken_out_wherever_it_comes_again_and_always_by_the_same() -> None:
    redactor = Redactor({})
    first = orjson.loads(redactor.clean(b'{"listenKey": "abcdefghijklmnop"}'))["listenKey"]
    assert redactor.clean(b'{"e":"x","k":"abcdefghijklmnop"}') == f'{{"e":"x","k":"{first}"}}'.encode()
    assert redactor.clean_key("connect wss://host/ws/abcdefghijklmnop") == f"connect wss://host/ws/{first}".encode()


def test_the_word_in_a_streams_path_is_a_token_though_nobody_told_so() -> None:
    redactor = Redactor({})
    word = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"
    assert word.encode() not in redactor.clean_key(f"connect wss://host/ws/{word}")
    assert word.encode() not in redactor.clean(f'{{"stream":"{word}"}}'.encode())
    assert redactor.clean_key("connect wss://host/ws/!markPrice@arr@1s") == b"connect wss://host/ws/!markPrice@arr@1s"


def test_what_is_redacted_is_not_redacted_again() -> None:
    redactor = Redactor({})
    once = redactor.clean(b'{"access_token":"tokentokentoken"}')
    assert redactor.clean(once) == once


def test_old_tokens_are_forgotten() -> None:
    redactor = Redactor({})
    for number in range(3 * MOST_TOKENS):
        redactor.clean(b'{"access_token":"token-%d"}' % number)
    assert len(redactor._tokens) == MOST_TOKENS


@given(st.text(min_size=6, max_size=40).filter(str.isprintable))
def test_a_configured_secret_is_gone_in_every_form_it_may_be_sent_in(secret: str) -> None:
    redactor = Redactor({secret: "stand-in"})
    for form in (secret.encode(), orjson.dumps(secret)[1:-1], quote(secret, safe="").encode()):
        assert form not in redactor.clean(b"before " + form + b" behind") or form in b"before stand-in behind"


def test_keys_are_found_in_either_case_and_without_their_prefix() -> None:
    redactor = Redactor({KEY: stand_in(KEY, 1)})
    for form in (KEY, KEY.upper().replace("0X", "0x"), KEY[2:], KEY[2:].upper()):
        clean = redactor.clean(form.encode())
        assert b"ab12" not in clean.lower()
        assert clean.decode().removeprefix("0x") == stand_in(KEY, 1)[2:]


def test_a_secret_within_another_does_not_break_it_up() -> None:
    redactor = Redactor({"abcdef": "SHORT", "abcdefghi": "LONG"})
    assert redactor.clean(b"abcdefghi abcdef") == b"LONG SHORT"


def test_a_stand_in_has_the_shape_of_its_secret_and_says_nothing_of_it() -> None:
    assert stand_in(KEY, 3) == "0x" + "0" * 63 + "3"
    assert stand_in(HOOK, 2) == "https://redacted.invalid/00000002"
    assert stand_in("xoxb-123-abc", 4).startswith("xoxb-xx")
    assert len({stand_in("aaaaaaaa", number) for number in range(1, 50)}) == 49


def test_an_agent_known_by_its_address_signs_nothing() -> None:
    address = "0x" + "a9e7".ljust(40, "0")
    agent = AgentSigner(AgentKey("0x" + "0" * 63 + "1", address), "0x" + "11" * 20, Nonces(VenueClock(ManualClock())), 1666)
    assert agent.signer == address
    assert agent.sign([("symbol", "X")]).endswith(f"signer={address}&signature=0x")
