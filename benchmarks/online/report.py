"""The tables and the plot."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from measure import markdown_table, spread
from online.drive import Case
from online.goals import Bound, InProcess, Results, compared, goals
from online.world import INT64_IDS

COLOURS = ("#1f5fa8", "#d9822b", "#a9b1b9", "#2f8f5b", "#8a5fb0", "#b04a5a")


def tables(
    head: str, results: Results, ready: Mapping[str, float], in_process: InProcess, bounds: Sequence[Bound]
) -> str:
    """Return the whole page.

    Args:
        head: Its title, and what was measured, where and when.
        results: The loads.
        ready: Memory of each server when it was ready, in MiB.
        in_process: Microseconds by number of ids and part.
        bounds: What is to be reached.
    """
    names = list(ready)
    lines = [head, ""]
    if reached := goals(results, in_process, bounds):
        header = ["ratio", "median (lowest to highest)", "goal", "stretch"]
        lines += ["## Goals", "", *markdown_table(header, [goal.row() for goal in reached]), ""]
    lines += ["## Loads", "", *markdown_table(*_loads(results)), ""]
    lines += ["Ratios, medians of the rounds:", "", *markdown_table(*_ratios(results, names)), ""]
    lines += ["## Resident memory, MiB", "", *markdown_table(*_memory(results, ready)), ""]
    if in_process:
        lines += ["## In process, alone", "", *markdown_table(*_in_process(in_process)), ""]
    return "\n".join(lines)


def _loads(results: Results) -> tuple[list[str], list[list[str]]]:
    header = ["load", "server", "requests/s", "p50 ms", "p99 ms", "server processor ms/request", "client, of a core"]
    rows = []
    for (case, name), loads in sorted(results.items(), key=lambda item: item[0][0].order):
        figures = [spread([getattr(one, figure) for one in loads], digits) for figure, digits in _FIGURES]
        rows.append([case.label, name, *figures, f"{statistics.median(one.client for one in loads):.2f}"])
    return header, rows


_FIGURES = (("rate", 0), ("p50", 2), ("p99", 1), ("cpu", 3))


def _ratios(results: Results, names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    baselines = [name for name in ("plain", "no-op", INT64_IDS) if name in names]
    pairs = [("ours", name) for name in baselines] + [
        (name, "ours") for name in names if name not in {*baselines, "ours"}
    ]
    figures = ("rate", "p50", "p99", "cpu")
    header = ["load"] + [f"{one} / {other}: requests/s, p50, p99, processor" for one, other in pairs]
    rows = []
    for case in sorted({case for case, _ in results}, key=lambda case: case.order):
        cells = []
        for one, other in pairs:
            values = [compared(results, case, other, figure, one) for figure in figures]
            cells.append(", ".join(f"{statistics.median(found):.2f}" for found in values if found))
        rows.append([case.label, *cells])
    return header, rows


def _memory(results: Results, ready: Mapping[str, float]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for name, before in ready.items():
        after = max((one.resident for (_, who), loads in results.items() if who == name for one in loads), default=0)
        rows.append([name, f"{before:.0f}", f"{after:.0f}"])
    return ["server", "when ready", "most after a load"], rows


def _in_process(found: InProcess) -> tuple[list[str], list[list[str]]]:
    parts = list(next(iter(found.values())))
    rows = [[part, *(f"{found[size][part]:,.0f}" for size in found)] for part in parts]
    rows.append(["read / raw read", *(f"{one['read'] / one['raw read']:.2f}" for one in found.values())])
    return ["microseconds, median", *(f"{size:,} ids" for size in found)], rows


@dataclass(frozen=True)
class _Panel:
    """A panel of the plot: one protocol and number of ids."""

    left: int
    top: int
    title: str
    cases: Sequence[Case]


WIDTH, HEIGHT, MARGIN, BAR = 300, 190, 40, 20


def plot(results: Results, names: Sequence[str]) -> str:
    """Return an SVG of requests per second: a panel for each protocol and number of ids, each on a scale of its own."""
    cases = sorted({case for case, _ in results}, key=lambda case: case.order)
    rows, columns = sorted({one.protocol for one in cases}, reverse=True), sorted({one.ids for one in cases})
    width, height = MARGIN + len(columns) * WIDTH, MARGIN + len(rows) * HEIGHT + 20
    label = 'role="img" aria-label="Requests per second by load and server"'
    font = 'font-family="sans-serif" font-size="11"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {font} {label}>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for place, name in enumerate(names):
        left = MARGIN + place * 100
        lines.append(f'<rect x="{left}" y="12" width="11" height="11" fill="{COLOURS[place % len(COLOURS)]}"/>')
        lines.append(f'<text x="{left + 16}" y="22">{escape(name)}</text>')
    for row, protocol in enumerate(rows):
        for column, ids in enumerate(columns):
            shown = [one for one in cases if (one.protocol, one.ids) == (protocol, ids)]
            if shown:
                title = shown[0].label.rpartition(",")[0] + ": requests/s"
                panel = _Panel(MARGIN + column * WIDTH, MARGIN + row * HEIGHT, title, shown)
                lines += _drawn(panel, results, names)
    return "\n".join([*lines, "</svg>", ""])


def _drawn(panel: _Panel, results: Results, names: Sequence[str]) -> Iterator[str]:
    rates = {
        key: statistics.median(one.rate for one in loads) for key, loads in results.items() if key[0] in panel.cases
    }
    most, room = max(rates.values()), HEIGHT - 75
    base = panel.top + 25 + room
    yield f'<text x="{panel.left}" y="{panel.top + 10}" font-weight="bold">{escape(panel.title)}</text>'
    for group, case in enumerate(panel.cases):
        left = panel.left + group * (len(names) * BAR + 24)
        for place, name in enumerate(names):
            rate, x = rates.get((case, name), 0.0), left + place * BAR
            tall = room * rate / most
            colour = COLOURS[place % len(COLOURS)]
            yield f'<rect x="{x}" y="{base - tall:.1f}" width="{BAR - 3}" height="{tall:.1f}" fill="{colour}"/>'
            middle = x + BAR // 2 - 1
            yield f'<text x="{middle}" y="{base - tall - 3:.1f}" font-size="7" text-anchor="middle">{rate:.0f}</text>'
        middle = left + len(names) * BAR // 2
        yield f'<text x="{middle}" y="{base + 14}" text-anchor="middle">{case.label.rpartition(", ")[2]}</text>'
