from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import load
from config.secrets import Resolved, Secret
from config.settings import Settings
from connectors.aster.settings import AgentKey
from connectors.aster.signing import AgentSigner, Nonces, VenueClock
from connectors.clock import ManualClock, SystemClock
from monitor.recording import ops
from monitor.recording.configuration import settings_of, stand_in, without_secrets
from monitor.recording.ops import Op
from monitor.recording.recorder import Recorder
from monitor.recording.redaction import MOST_TOKENS, Redactor
from monitor.recording.turns import CountingLoop
from monitor.replay.source import open_run
from tests.monitor.recording.made_ops import frame

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


@pytest.mark.parametrize(
    "data",
    [
        rb'{"access_token":"abc\/DEFgone"}',
        rb'{"refresh_token":"\u0061bcDEFgone"}',
        rb'{"refresh_token":"a\"bcDEFgone"}',
        b'{"id_token":"DEFgone"}',
        b"error: signature=0xDEFgone of a request",
        b"403 https://host/fapi?access_token=DEFgone&x=1",
        b"listenKey=DEFgone",
        b"apiKey='DEFgone'",
        rb'{"text":"they said {\"access_token\":\"DEFgone\"}"}',
        b'{"listenKey":"DEF"}',
    ],
)
def test_a_token_is_gone_however_it_is_written(data: bytes) -> None:
    clean = Redactor({}).clean(data)
    assert b"DEF" not in clean
    assert b"redacted" in clean
    if data.startswith(b"{"):
        assert orjson.loads(clean).keys() == orjson.loads(data).keys()


def test_a_token_that_was_escaped_is_found_plain_too() -> None:
    redactor = Redactor({})
    redactor.clean(rb'{"access_token":"abc\/DEFgone"}')
    for form in (b"abc/DEFgone", rb"abc\/DEFgone", b"abc%2FDEFgone", b"abc%2fDEFgone"):
        assert redactor.clean(b"Bearer " + form) == b"Bearer redacted00000001"


def test_signatures_do_not_push_tokens_out() -> None:
    redactor = Redactor({})
    redactor.clean(b'{"access_token":"tokentokentoken"}')
    for number in range(3 * MOST_TOKENS):
        redactor.clean(b"signature=0xabcdef%d" % number)
    assert b"tokentoken" not in redactor.clean(b"tokentokentoken")


@pytest.mark.parametrize("before", [b"", b"i", b"id", b"id:", b"id:x"])
def test_a_configured_secret_is_gone_from_base64(before: bytes) -> None:
    secret = "wJalrXUtnFEMI/K7MDENG+bPx=="
    clean = Redactor({secret: "stand-in"}).clean(base64.b64encode(before + secret.encode() + b"!"))
    assert b"stand-in" in clean
    assert len(clean) < 20


def test_a_configured_secret_is_gone_in_the_other_escapes() -> None:
    secret = "wJalrXUtnFEMI/K7MDENG+bPx=="
    redactor = Redactor({secret: "stand-in"})
    forms = [
        b"wJalrXUtnFEMI%2fK7MDENG%2bbPx%3d%3d",
        b"wJalrXUtnFEMI/K7MDENG%2BbPx%3D%3D",
        rb"wJalrXUtnFEMI\/K7MDENG+bPx==",
        rb"wJalrXUtnFEMI\u002fK7MDENG+bPx==",
        rb"wJalrXUtnFEMI\u002FK7MDENG\u002BbPx\u003D\u003D",
    ]
    assert [redactor.clean(form) for form in forms] == [b"stand-in"] * len(forms)


def test_a_stand_in_stays_where_a_token_would_be_looked_for() -> None:
    # a replay asks with the stand-in, and must find the answer
    redactor = Redactor({"a-configured-secret": "x"})
    assert redactor.clean(b'{"client_secret":"a-configured-secret"}') == b'{"client_secret":"x"}'


def test_a_short_secret_is_not_searched_for() -> None:
    assert Redactor({"1": "x", "venue": "y"}).clean(b'{"venue":1}') == b'{"venue":1}'


@pytest.mark.parametrize("secret", ["1", "h", "venue", "secret", "warning", "accounts", "hyperliquid"])
def test_a_secret_that_is_a_word_of_the_configuration_leaves_it_whole(
    secret: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        f'[receivers.h]\ntype = "webhook"\nurl_env = "U"\nsecret_env = "S"\n[[accounts]]\nid = "main"\nvenue = "hyperliquid"\n'
        f'address = "0x{"1" * 40}"\n'
    )
    settings = load(path, environ={"U": "https://hooks.example.com/y", "S": secret}, quiet=True)
    recorder = Recorder(tmp_path / "run", settings)
    writer = recorder._writer
    writer.put(frame(1))
    writer.drain()
    writer.close()
    run = open_run(tmp_path / "run")
    again = settings_of(run.configuration)
    assert [account.id for account in again.accounts] == ["main"]
    assert again.receivers["h"].secrets["secret"].reveal() != secret
    assert ("[receivers.h] secret has fewer than 6 characters" in caplog.text) == (len(secret) < 6)


def test_a_secret_that_was_pasted_elsewhere_is_gone_from_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        f'[receivers.h]\ntype = "webhook"\nurl_env = "U"\n[[accounts]]\nid = "main"\nvenue = "hyperliquid"\n'
        f'address = "0x{"1" * 40}"\ntags = ["pasted-secret-0123"]\n'
    )
    settings = load(path, environ={"U": "https://hooks.example.com/y"}, quiet=True)
    settings.receivers["h"]._resolved["url"] = Resolved(Secret("pasted-secret-0123"), "environment U")
    assert "pasted-secret" not in str(without_secrets(settings).document)


def with_hooks(tmp_path: Path, **secrets: str) -> Settings:
    """Webhooks of these names with these secrets."""
    path = tmp_path / "hooks.toml"
    hooks = "".join(f'[receivers.{name}]\ntype = "webhook"\nurl_env = "U"\nsecret_env = "{name}"\n' for name in secrets)
    path.write_text(f'{hooks}[[accounts]]\nid = "main"\nvenue = "hyperliquid"\naddress = "0x{"1" * 40}"\n')
    return load(path, environ={"U": "https://hooks.example.com/y", **secrets}, quiet=True)


def test_a_secret_keeps_its_stand_in_when_the_configuration_becomes_another(tmp_path: Path) -> None:
    first = without_secrets(with_hooks(tmp_path, a="secret-of-a-0001", b="secret-of-b-0002"))
    later = without_secrets(with_hooks(tmp_path, c="secret-of-c-0003", b="secret-of-b-0002"), first.stand_ins)
    receivers = settings_of(later.document).receivers
    assert receivers["b"].secrets["secret"].reveal() == first.stand_ins["secret-of-b-0002"]
    assert receivers["c"].secrets["secret"].reveal() == later.stand_ins["secret-of-c-0003"]
    assert later.stand_ins.items() >= first.stand_ins.items()
    assert len(set(later.stand_ins.values())) == len(later.stand_ins) == 4


def test_a_redactor_looks_for_the_secrets_of_another_configuration_too() -> None:
    redactor = Redactor({"secret-of-a-0001": "xxxxxxx1"})
    token = redactor.clean(b'{"access_token":"tokentokentoken"}')
    redactor.configure({"secret-of-a-0001": "xxxxxxx1", "secret-of-b-0002": "xxxxxxx2"})
    assert redactor.clean(b"secret-of-a-0001 secret-of-b-0002") == b"xxxxxxx1 xxxxxxx2"
    assert redactor.clean(b'{"access_token":"tokentokentoken"}') == token, "a token keeps what stands for it"


def test_what_a_later_configuration_keeps_secret_is_taken_out_from_then_on(tmp_path: Path) -> None:
    first, later = (with_hooks(tmp_path, **{name: f"secret-of-{name}-000{name}"}) for name in "ab")
    recorder = Recorder(tmp_path / "run", first)

    async def run() -> None:
        recorder.begin(SystemClock())
        await recorder.reloaded(later)
        recorder._writer.put(Op(ops.FRAME, "recv 0", False, 9, 9, 9, None, b"secret-of-a-000a secret-of-b-000b"))

    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        runner.run(run())
    recorder.close()
    begin, reloaded, frame_op, _ = open_run(tmp_path / "run").read()
    assert (reloaded.kind, reloaded.is_sync) == (ops.RELOADED, False)
    assert reloaded.turn > begin.turn
    receivers = settings_of(reloaded.extra).receivers
    assert list(receivers) == ["b"]
    assert b"secret" not in frame_op.payload
    assert receivers["b"].secrets["secret"].reveal().encode() == frame_op.payload.split()[1]
    assert "secret-of" not in str(reloaded.extra)
