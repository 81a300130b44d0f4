"""A reader of the simulated Aster as the tests need one: it signs requests and keeps an account from REST bodies and frames."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from connectors.simulator.aster import AsterVenue, credentials, hmac_signature, sign

RATIOS = {"USDT": 0.9999, "BTC": 0.95, "BNB": 0.95, "ETH": 0.95, "USDC": 0.9999, "USD1": 0.99, "ASTER": 0.80, "JLP": 0.85}


class Signer:
    """Asks the venue in the name of a demo account; nonces follow the venue's clock."""

    def __init__(self, venue: AsterVenue, alias: str) -> None:
        self.venue, self.own = venue, credentials(alias)
        self._last = 0

    def nonce(self) -> int:
        self._last = max(self._last + 1, self.venue.market.now_ms * 1000)
        return self._last

    def message(self, **parameters: Any) -> str:
        pairs = parameters | {"nonce": parameters.get("nonce", self.nonce()), "user": self.own.user, "signer": self.own.signer}
        return urlencode(pairs)

    def signed(self, message: str) -> str:
        return f"{message}&signature={sign(message, self.own.private_key)}"

    def ask(self, path: str, method: str = "GET", **parameters: Any) -> tuple[int, Any]:
        text = self.signed(self.message(**parameters))
        query, body = (text, b"") if method == "GET" else ("", text.encode())
        status, _, answer = self.venue.request(method, f"/fapi/v3/{path}", query, body, {})
        return status, json.loads(answer)

    def get(self, path: str, **parameters: Any) -> Any:
        status, body = self.ask(path, **parameters)
        assert status == 200, body
        return body

    def hmac(self, path: str, *, method: str = "GET", **parameters: Any) -> tuple[int, Any]:
        payload = urlencode({"timestamp": self.venue.market.now_ms} | parameters)
        query = f"{payload}&signature={hmac_signature(payload, self.own.api_secret)}"
        status, _, body = self.venue.request(method, f"/fapi/{path}", query, b"", {"X-MBX-APIKEY": self.own.api_key})
        return status, json.loads(body)

    def listen_key(self) -> str:
        status, body = self.ask("listenKey", "POST")
        assert status == 200, body
        return str(body["listenKey"])


class Reader:
    """Keeps one account by bootstrap and merge, and computes its pools by the documented formulas, on its own."""

    def __init__(self, venue: AsterVenue, alias: str) -> None:
        self.signer = signer = Signer(venue, alias)
        self.user = venue.connect_user(signer.listen_key())
        self.market = venue.connect_market(["!markPrice@arr@1s"])
        self.brackets = {row["symbol"]: row["brackets"] for row in signer.get("leverageBracket")}
        info = json.loads(venue.request("GET", "/fapi/v3/exchangeInfo")[2])
        self.margin_asset = {row["symbol"]: row["marginAsset"] for row in info["symbols"]}
        self.multi = signer.get("multiAssetsMargin")["multiAssetsMargin"]
        self.hedge = signer.get("positionSide/dual")["dualSidePosition"]
        account, risk = signer.get("accountWithJoinMargin"), signer.get("positionRisk")
        self.wallet = {row["asset"]: float(row["crossWalletBalance"]) for row in account["assets"] if row["marginAvailable"]}
        self.rows = {(r["symbol"], r["positionSide"]): _row(r) for r in risk if float(r["positionAmt"])}
        rows = json.loads(venue.request("GET", "/fapi/v3/premiumIndex")[2])
        self.marks = {row["symbol"]: float(row["markPrice"]) for row in rows}
        self.index = {row["symbol"]: float(row["indexPrice"]) for row in rows}
        self.events: list[dict[str, Any]] = []

    def read(self) -> None:
        for text in self.market.drain():
            for row in json.loads(text):
                self.marks[row["s"]], self.index[row["s"]] = float(row["p"]), float(row["i"])
        for text in self.user.drain():
            event = json.loads(text)
            self.events.append(event)
            if event["e"] == "ACCOUNT_UPDATE":
                self.wallet |= {b["a"]: float(b["cw"]) for b in event["a"]["B"]}
                for p in event["a"]["P"]:
                    key = (p["s"], p["ps"])
                    self.rows.pop(key, None)
                    if float(p["pa"]):
                        self.rows[key] = (float(p["pa"]), float(p["ep"]), p["mt"] == "isolated", float(p["iw"]))

    def pools(self, jlp: float) -> dict[str, tuple[float, float]]:
        """Pool -> (equity, maintenance margin); `jlp` is the index of the asset that no symbol quotes."""
        found: dict[str, tuple[float, float]] = {}
        if self.multi:
            found["multi-assets"] = sum(self._value(a, b, jlp) for a, b in self.wallet.items()), 0.0
        else:
            found |= {asset: (self.wallet[asset], 0.0) for asset in ("USDT", "USD1")}
        for (symbol, side), (amount, entry, isolated, own) in self.rows.items():
            name = "multi-assets" if self.multi else self.margin_asset[symbol]
            if isolated:
                name = f"iso:{symbol}" + (f":{side}" if self.hedge else "")
            equity, maintenance = found.get(name, (own, 0.0))
            notional = abs(amount) * self.marks[symbol]
            tier = next(b for b in self.brackets[symbol] if notional <= b["notionalCap"])
            maintenance += notional * tier["maintMarginRatio"] - tier["cum"]
            found[name] = equity + amount * (self.marks[symbol] - entry), maintenance
        return {name: pool for name, pool in found.items() if any(pool)}

    def _value(self, asset: str, balance: float, jlp: float) -> float:
        index = jlp if asset == "JLP" else 1.0 if asset.startswith("USD") else self.index[f"{asset}USDT"]
        return balance * index * (RATIOS[asset] if balance >= 0.0 else 1.0)


def _row(row: dict[str, Any]) -> tuple[float, float, bool, float]:
    return float(row["positionAmt"]), float(row["entryPrice"]), row["marginType"] == "isolated", float(row["isolatedWallet"])
