"""The pages that show the API, from the package that carries Swagger UI: nothing of them comes from elsewhere."""

import asyncio
import base64
import gzip
import hashlib
import html
import json
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from urllib.parse import quote

from fastapi import Request, Response
from starlette.responses import RedirectResponse
from starlette.routing import Route

DOCS = "/v2/docs"
ASSETS = f"{DOCS}/assets"

_DAY = 86_400
_TYPES = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
_SCRIPT = """
window.ui = SwaggerUIBundle({{
  url: '{url}',
  dom_id: '#swagger-ui',
  deepLinking: true,
  tryItOutEnabled: false,
  validatorUrl: null,
}});
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="{assets}/favicon-32x32.png">
<link rel="stylesheet" href="{assets}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript; the description of the API is at <a href="{url}">{url}</a>.</noscript>
<script src="{assets}/swagger-ui-bundle.js"></script>
<script>{script}</script>
</body>
</html>
"""


def docs_page(title: str, url: str) -> Response:
    """Return a page that shows the API of a description.

    Args:
        title: The page's.
        url: The description's path, its parts quoted.
    """
    # in a string of a script: no quote and no end of a script may be in it
    script = _SCRIPT.format(url=json.dumps(url)[1:-1].replace("'", "%27").replace("<", "%3C"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    page = _PAGE.format(title=html.escape(title), url=html.escape(url), assets=ASSETS, script=script)
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return Response(page, headers=headers, media_type="text/html")


def description_path(model_name: str, model_version: str | None) -> str:
    """Return where a model's description is."""
    version = f"/versions/{quote(model_version, safe='')}" if model_version else ""
    return f"/v2/models/{quote(model_name, safe='')}{version}/docs/dataplane.json"


def docs_routes() -> list[Route]:
    """Return the routes of what the pages consist of, and of ``/``, which leads to them."""
    return [Route("/", _root), Route(f"{ASSETS}/{{name}}", _asset)]


async def _root(_: Request) -> Response:
    return RedirectResponse(DOCS)


@dataclass(frozen=True)
class _Asset:
    content: bytes
    gzipped: bytes
    tag: str


@cache
def _loaded(name: str) -> _Asset:
    # imported here, as few ever look
    from swagger_ui_bundle import swagger_ui_path

    content = (swagger_ui_path / name).read_bytes()
    return _Asset(content, gzip.compress(content, mtime=0), f'"{hashlib.sha256(content).hexdigest()[:32]}"')


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _TYPES:
        return Response('{"error":"Not Found."}', HTTPStatus.NOT_FOUND, media_type="application/json")
    asset = await asyncio.to_thread(_loaded, name)
    headers = {
        "ETag": asset.tag,
        "Cache-Control": f"public, max-age={_DAY}",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if asset.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    content = asset.content
    if "gzip" in request.headers.get("accept-encoding", ""):
        content, headers["Content-Encoding"] = asset.gzipped, "gzip"
    headers["Content-Type"] = _TYPES[name]
    return Response(content, headers=headers)
