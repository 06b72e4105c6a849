import httpx
from support.servers import Serving


def test_smoke(server: Serving) -> None:
    answer = httpx.post(f"{server.url}/inference", json={"driver_ids": [1001, 1002]})
    assert answer.json() == {"prediction": 1001, "error": None}
