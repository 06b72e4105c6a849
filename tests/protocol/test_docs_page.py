"""The API's page works in a browser without a network, and leads to nothing elsewhere."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.servers import Serving

PAGES = ["/v2/docs", "/v2/models/driver_ranking/docs", "/v2/models/driver_ranking/versions/1/docs"]
ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon-32x32.png": "image/png"}
# no name but this machine's is resolved, and the browser asks for nothing by itself
OFFLINE = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A headless browser that reaches nothing but this machine."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert chromium, "no chromium: install it with its driver"
    assert driver, "no chromedriver: install it with chromium"
    folder: Path = tmp_path_factory.mktemp("browser")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in (*OFFLINE, f"--user-data-dir={folder}"):
        options.add_argument(argument)
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield opened
    finally:
        opened.quit()


def wait_for(browser: webdriver.Chrome, selector: str) -> Any:
    return WebDriverWait(browser, 20).until(lambda _: browser.find_elements(By.CSS_SELECTOR, selector))[0]


def execute(browser: webdriver.Chrome, operation: str) -> tuple[str, str]:
    """Press what a user would press for an operation, and return the status and the body that are shown."""
    block = f"#operations-default-{operation}"
    wait_for(browser, f"{block} .opblock-summary-control, {block} .opblock-summary").click()
    wait_for(browser, f"{block} .try-out__btn").click()
    wait_for(browser, f"{block} .execute").click()
    status = wait_for(browser, f"{block} .live-responses-table tbody .response-col_status")
    body = wait_for(browser, f"{block} .live-responses-table tbody .highlight-code")
    return status.text.split()[0], body.text


def elsewhere(browser: webdriver.Chrome, server: Serving) -> list[str]:
    """Return what was asked of others."""
    names = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert names
    return [name for name in names if urlsplit(name).netloc != urlsplit(server.url).netloc and name[:5] != "data:"]


@pytest.mark.parametrize("operation", ["inference", "infer"])
def test_try_it_out_without_a_network(browser: webdriver.Chrome, server: Serving, operation: str) -> None:
    browser.get(server.url)
    assert urlsplit(browser.current_url).path == "/v2/docs"
    status, body = execute(browser, operation)
    assert status == "200"
    said = json.loads(body.removeprefix("Download"))
    assert (said.get("prediction") or said["outputs"][0]["data"][0]) == 1001
    assert elsewhere(browser, server) == []
    logged: Any = browser.get_log("browser")  # type: ignore[no-untyped-call] # selenium types it not
    assert [entry for entry in logged if entry["level"] == "SEVERE"] == []


def test_the_page_of_a_model_shows_what_it_takes(browser: webdriver.Chrome, server: Serving) -> None:
    browser.get(server.url + PAGES[1])
    assert "driver_ranking" in wait_for(browser, ".info .title").text
    assert len(browser.find_elements(By.CSS_SELECTOR, ".opblock")) > 10
    assert elsewhere(browser, server) == []


def test_the_root_leads_to_the_page(server: Serving) -> None:
    answer = httpx.get(server.url)
    assert (answer.status_code, answer.headers["location"]) == (307, "/v2/docs")
    assert httpx.head(server.url).status_code == 307


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_nothing_elsewhere(server: Serving, page: str) -> None:
    answer = httpx.get(server.url + page)
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "//" not in re.sub(r"<!DOCTYPE html>", "", answer.text)
    named = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert len(named) >= 4
    for path in named:
        assert httpx.get(server.url + path).status_code == httpx.codes.OK, path


@pytest.mark.parametrize("name", ASSETS)
def test_what_the_pages_consist_of_is_typed_and_kept_by_browsers(server: Serving, name: str) -> None:
    url = f"{server.url}/v2/docs/assets/{name}"
    answer = httpx.get(url)
    assert answer.headers["content-type"].startswith(ASSETS[name])
    assert answer.headers["content-encoding"] == "gzip"
    assert "max-age" in answer.headers["cache-control"]
    assert httpx.get(url, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    plain = httpx.get(url, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == answer.content


@pytest.mark.parametrize("name", ["index.html", "nothing", "..%2F__init__.py", "%2e%2e/%2e%2e/__init__.py", "", "a/b"])
def test_there_is_nothing_else_of_the_package(server: Serving, name: str) -> None:
    answer = httpx.get(f"{server.url}/v2/docs/assets/{name}")
    assert (answer.status_code, set(answer.json())) == (404, {"error"})


@pytest.mark.parametrize("name", ["nobody", "'-alert(1)-'", "%3Cscript%3E"])
def test_there_is_no_page_of_a_model_that_is_not_there(server: Serving, name: str) -> None:
    assert httpx.get(f"{server.url}/v2/models/{name}/docs").status_code == httpx.codes.NOT_FOUND
