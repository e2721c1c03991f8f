"""Figures drawn from the dataset of results, as SVG and PNG. The same results give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import matplotlib as mpl
import matplotlib.dates
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from transforms.reporting.fonts import families
from transforms.reporting.layout import NO_RESULT, Facts, Page, Row

INK, SOFT, HAIR, SHADE = "#15181e", "#545a66", "#d9dce2", "#eef1f5"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
LINES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))
SYMBOLS = {"triangle": "^", "diamond": "D", "cross": "x", "circle": "o", "square": "s", "star": "*"}
STYLE = {
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@dataclass(frozen=True)
class Drawn:
    """A figure in both forms."""

    svg: str
    png: bytes


@dataclass(frozen=True)
class _Group:
    id: str
    label: str
    size: str
    colour: str
    line: Any


def drawn(page: Page, facts: Facts) -> Drawn:
    """The figure of a page. Raises FontMissingError where a text has characters that no font has."""
    if page.figure is None:
        raise ValueError(f"{page.output_id} is no figure")
    parts = (facts.label, page.output_id, f"cut-off {facts.cut_off}", f"snapshot {facts.snapshot_id}")
    caption = "   ".join(one for one in parts if one)
    gate = [
        one for rows in page.gate.values() for row in rows for one in (row.get("outcome"), row.get("decision")) if one
    ]
    texts = [
        caption,
        *map(str, gate),
        *_texts(page.figure),
        *(str(row[name]) for row in page.results for name in _SHOWN if row[name]),
    ]
    settings: Any = {**STYLE, "font.family": families(texts), "svg.hashsalt": page.output_id}
    with mpl.rc_context():
        # What a person has set for figures of their own changes nothing here.
        mpl.rcdefaults()
        mpl.rcParams.update(settings)
        figure = DRAWINGS[page.figure["kind"]](page)
        if not any(row["analysis_order"] and row["n_records"] for row in page.results):
            figure.text(0.5, 0.5, NO_RESULT, ha="center", va="center", fontsize=11, color=SOFT)
        figure.text(0.995, 0.004, caption, ha="right", va="bottom", fontsize=6.5, color=SOFT)
        svg = io.StringIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=200, metadata={"Software": None})
    return Drawn(svg.getvalue(), png.getvalue())


_SHOWN = ("group_label", "level_1_label", "level_2_label", "text")


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for one in content.values():
            yield from _texts(one)
    elif isinstance(content, list | tuple):
        for one in content:
            yield from _texts(one)


def _groups(page: Page, total: bool = True) -> list[_Group]:
    """The groups of a figure; the total is drawn in ink, and not at all where groups stand for all subjects."""
    rows = [row for row in page.results if row["analysis_order"] == 0]
    rows.sort(key=lambda one: one["group_order"])
    several = len(rows) > 1
    found = []
    for number, row in enumerate(rows):
        whole = row["group_id"] == page.total or not several
        if whole and several and not total:
            continue
        colour = INK if whole else COLOURS[number % len(COLOURS)]
        found.append(_Group(row["group_id"], row["group_label"], row["text"], colour, LINES[number % len(LINES)]))
    return found


def _records(page: Page, analysis: str) -> dict[tuple[str, int], dict[str, Row]]:
    """The results of an analysis: for each group and place, its statistics by name."""
    found: dict[tuple[str, int], dict[str, Row]] = {}
    for row in page.results:
        if row["analysis_id"] == analysis:
            found.setdefault((row["group_id"], row["row_order"]), {})[row["statistic"]] = row
    return found


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(rect=(0, 0.02, 1, 0.98))  # type: ignore[union-attr, call-arg]
    return figure


def _legend(figure: Figure, columns: int, size: float) -> None:
    """A legend above all panels, of what is drawn in any of them; none where nothing is."""
    if any(axes.get_legend_handles_labels()[0] for axes in figure.axes):
        figure.legend(loc="outside upper center", ncols=columns, fontsize=size)


def _axis(axes: Axes, which: str, about: Mapping[str, Any]) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_label_text(about["label"])
    if not about["marks"] and not about["limits"] and axis.get_scale() == "linear":
        axis.set_major_locator(mpl.ticker.MaxNLocator("auto", integer=True))
    if about["marks"]:
        axis.set_ticks(about["marks"], [f"{one:g}" for one in about["marks"]])
        axis.set_minor_locator(mpl.ticker.NullLocator())
    if about["limits"]:
        (axes.set_xlim if which == "x" else axes.set_ylim)(*about["limits"])


def _short(names: Sequence[str]) -> dict[str, str]:
    """Subject identifiers without what all of them begin with."""
    parts = [name.rpartition("-") for name in names]
    same = len({one[0] for one in parts}) == 1
    return {name: one[2] if same else name for name, one in zip(names, parts, strict=True)}


def _survival(page: Page) -> Figure:
    about = page.figure or {}
    groups = _groups(page)
    figure = _figure(9.6, 4.6 + 0.22 * len(groups))
    upper, lower = figure.subplots(2, 1, height_ratios=[4.6, 0.35 + 0.24 * len(groups)], sharex=True)
    records = _records(page, about["curve"])
    for number, group in enumerate(groups):
        own = [one for (name, _), one in sorted(records.items()) if name == group.id]
        own.sort(key=lambda one: float(one["survival"]["level_1"] or 0))
        steps = [one for one in own if one["survival"]["value"] is not None]
        times = [_time(one) for one in steps]
        level = [100 * one["survival"]["value"] for one in steps]
        label = f"{group.label} (N={group.size})"
        upper.step(times, level, where="post", color=group.colour, linestyle=group.line, linewidth=1.6, label=label)
        band = [(_time(one), one["ci_low"]["value"], one["ci_high"]["value"]) for one in steps]
        known = [one for one in band if one[1] is not None and one[2] is not None]
        if group.colour == INK and known:
            low, high = [100 * one[1] for one in known], [100 * one[2] for one in known]
            upper.fill_between([one[0] for one in known], low, high, step="post", color=INK, alpha=0.08, linewidth=0)
        ticks = [(_time(one), 100 * one["survival"]["value"]) for one in steps if (one["censored"]["value"] or 0) > 0]
        upper.plot([one[0] for one in ticks], [one[1] for one in ticks], "|", color=group.colour, markersize=8)
        at = {_time(one): one["at_risk"]["text"] for one in own if one["at_risk"]["level_1_label"] == "at risk"}
        for time, text in (at or dict.fromkeys(about["x"]["marks"], "0")).items():
            lower.text(time, number, text, ha="center", va="center", color=group.colour, fontsize=8.5)
    _axis(upper, "x", about["x"])
    _axis(upper, "y", about["y"])
    upper.legend(loc="lower left", fontsize=8.5)
    upper.tick_params(labelbottom=True)
    lower.set_ylim(len(groups) - 0.4, -0.7)
    lower.set_yticks(range(len(groups)), [one.label for one in groups])
    lower.tick_params(length=0, labelbottom=False)
    lower.set_title("Number at risk", loc="left", fontsize=9)
    for side in lower.spines.values():
        side.set_visible(False)
    return figure


def _time(record: Mapping[str, Row]) -> float:
    row = record["survival"]
    return float(next(row[f"level_{number}"] for number in (4, 3, 2, 1) if row[f"level_{number}_variable"]))


def _profiles(page: Page) -> Figure:
    about = page.figure or {}
    groups = _groups(page, total=False)
    figure = _figure(10.2, 4.6)
    panels = figure.subplots(1, len(groups), sharey=True, sharex=True, squeeze=False)[0]
    records, means = _records(page, about["records"]), _records(page, about["mean"])
    for panel, group in zip(panels, groups, strict=True):
        subjects: dict[str, list[tuple[float, float]]] = {}
        for (name, _), one in sorted(records.items()):
            x, y = one[about["x_variable"]]["value"], one[about["y_variable"]]["value"]
            if name == group.id and x is not None and y is not None:
                subjects.setdefault(one[about["y_variable"]]["level_1"], []).append((x, y))
        for points in subjects.values():
            points.sort()
            panel.plot([x for x, _ in points], [y for _, y in points], color=group.colour, alpha=0.4, linewidth=0.8)
            panel.plot([x for x, _ in points], [y for _, y in points], ".", color=group.colour, alpha=0.4, markersize=3)
        line = []
        for (name, _), one in sorted(means.items()):
            row = one["mean"]
            level = row[f"level_{max(n for n in (1, 2, 3, 4) if row[f'level_{n}_variable'])}"]
            if name == group.id and row["value"] is not None and level in about["mean_at"]:
                line.append((about["mean_at"][level], row["value"]))
        line.sort()
        panel.plot(
            [x for x, _ in line], [y for _, y in line], "o-", color=INK, linewidth=2, markersize=4.5, label="Mean"
        )
        panel.set_title(f"{group.label} (N={group.size})", fontsize=9.5)
        _axis(panel, "x", about["x"])
        _axis(panel, "y", {**about["y"], "label": about["y"]["label"] if panel is panels[0] else ""})
        panel.grid(axis="y", color=HAIR, linewidth=0.6)
    panels[-1].legend(loc="upper right", fontsize=8.5)
    return figure


def _swimmer(page: Page) -> Figure:
    about = page.figure or {}
    groups = _groups(page, total=False)
    lanes: list[tuple[_Group, str, float, bool]] = []
    records = _records(page, about["lanes"])
    for group in groups:
        for (name, _), one in sorted(records.items()):
            row = one[about["end"]]
            if name == group.id and row["value"] is not None:
                goes_on = about["ongoing"] and one[about["ongoing"]["variable"]]["text"] == about["ongoing"]["value"]
                lanes.append((group, row["level_1"], row["value"], bool(goes_on)))
    short = _short([one[1] for one in lanes]) if lanes else {}
    figure = _figure(10.2, 1.9 + 0.19 * max(len(lanes), 6))
    axes = figure.subplots()
    if about["window"]:
        axes.axvspan(*about["window"], color=SHADE, zorder=0, label=about["window_label"] or None)
    place = {subject: number for number, (_, subject, _, _) in enumerate(lanes)}
    told = set[str]()
    for number, (group, _, end, goes_on) in enumerate(lanes):
        label = None if group.id in told else f"{group.label} (N={group.size})"
        told.add(group.id)
        axes.barh(number, end, height=0.55, color=group.colour, alpha=0.35, linewidth=0, label=label, zorder=1)
        if goes_on:
            axes.plot(end, number, ">", color=group.colour, markersize=5, zorder=2)
    for mark in about["marks"]:
        points = []
        for one in _records(page, mark["analysis"]).values():
            row = one[mark["day"]]
            if row["value"] is not None and row["level_1"] in place:
                points.append((row["value"], place[row["level_1"]] - mark["lift"]))
        filled: dict[str, Any] = (
            {} if mark["symbol"] == "cross" else {"markerfacecolor": _filling(mark["symbol"]), "markeredgewidth": 0.7}
        )
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            SYMBOLS[mark["symbol"]],
            color=INK,
            markersize=_size(mark["symbol"]),
            linestyle="none",
            label=mark["label"],
            zorder=3,
            **filled,
        )
    axes.set_yticks(range(len(lanes)), [short[one[1]] for one in lanes], fontsize=7.5)
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.01)
    axes.set_xlim(left=-0.012 * max((end for _, _, end, _ in lanes), default=1))
    _axis(axes, "x", about["x"])
    _legend(figure, 4, 8)
    return figure


def _filling(symbol: str) -> str:
    return {"circle": "white", "square": "white", "star": "#f0e442"}.get(symbol, INK)


def _size(symbol: str) -> float:
    return {"star": 8.0, "cross": 6.0, "triangle": 4.5}.get(symbol, 4.2)


def _peaks(page: Page) -> Figure:
    about = page.figure or {}
    groups = _groups(page, total=False)
    figure = _figure(7.4, 5.6)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    across, upwards = (_peak_of(page, about[name]) for name in ("x_analysis", "y_analysis"))
    short = _short(sorted({subject for _, subject in across})) if across else {}
    axes.axvline(about["x_limit"], color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.axhline(about["y_limit"], color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    named: list[tuple[float, float, str]] = []
    for number, group in enumerate(groups):
        points = [(x, upwards[key], key[1]) for key, x in across.items() if key[0] == group.id and key in upwards]
        axes.plot(
            [x for x, _, _ in points],
            [y for _, y, _ in points],
            "osD^v"[number % 5],
            color=group.colour,
            markersize=5,
            alpha=0.85,
            linestyle="none",
            label=f"{group.label} (N={group.size})",
        )
        named += [(x, y, short[s]) for x, y, s in points if x >= about["x_limit"] or y >= about["y_limit"]]
    for number, (x, y, text) in enumerate(sorted(named)):
        offset = (5, 4) if number % 2 == 0 else (5, -9)
        axes.annotate(text, (x, y), xytext=offset, textcoords="offset points", fontsize=7.5)
    _axis(axes, "x", about["x"])
    _axis(axes, "y", about["y"])
    _legend(figure, max(len(groups), 1), 8.5)
    return figure


def _peak_of(page: Page, analysis: str) -> dict[tuple[str, str], float]:
    """The largest value of each subject in an analysis, by group and subject."""
    found: dict[tuple[str, str], float] = {}
    for (group, _), one in _records(page, analysis).items():
        row = one["value"]
        subject = next(row[f"level_{n}"] for n in (4, 3, 2, 1) if row[f"level_{n}_variable"])
        found[group, subject] = max(found.get((group, subject), 0.0), row["value"])
    return found


def _shift(page: Page) -> Figure:
    about = page.figure or {}
    groups = _groups(page, total=False)
    records = _records(page, about["records"])
    panels = list(
        dict.fromkeys(one[about["panel"]]["text"] for _, one in sorted(records.items(), key=lambda x: x[0][1]))
    )
    columns = min(3, max(len(panels), 1))
    lines = -(-max(len(panels), 1) // columns)
    figure = _figure(9.6, 0.9 + 2.9 * lines)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for place, (axes, panel) in enumerate(zip(grid, panels, strict=False)):
        values: list[float] = []
        for number, group in enumerate(groups):
            points = [
                (one[about["x_variable"]]["value"], one[about["y_variable"]]["value"])
                for (name, _), one in records.items()
                if name == group.id and one[about["panel"]]["text"] == panel
            ]
            known = [(x, y) for x, y in points if x is not None and y is not None]
            values += [one for point in known for one in point]
            label = f"{group.label} (N={group.size})" if place == 0 else None
            axes.plot(
                [x for x, _ in known], [y for _, y in known], "osD^v"[number % 5],
                color=group.colour, markersize=3.6, alpha=0.8, linestyle="none", label=label,
            )  # fmt: skip
        if values:
            low, high = min(values), max(values)
            margin = (high - low) * 0.06 or 1
            limits = (low - margin, high + margin)
            axes.plot(limits, limits, color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
            axes.set_xlim(*limits)
            axes.set_ylim(*limits)
            axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
            axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
        axes.set_title(panel, fontsize=9)
        axes.set_xlabel(about["x"]["label"])
        axes.set_ylabel(about["y"]["label"] if place % columns == 0 else "")
    _legend(figure, max(len(groups), 1), 8.5)
    return figure


def _timeline(page: Page) -> Figure:
    """Lanes of dosed subjects by calendar, cohort below cohort, with the watch of each and the board's decisions.

    Subjects of a cohort stand in the order of their first doses; one whose first dose has no date has no bar.
    """
    about = page.figure or {}
    lanes = [
        (group, row)
        for group in _groups(page, total=False)
        for row in sorted(page.gate["gate_subjects"], key=lambda one: (one["first_dose"] or date.max, one["usubjid"]))
        if row["cohort"] == group.id and row["dosed"] == "Y"
    ]
    short = _short([row["usubjid"] for _, row in lanes]) if lanes else {}
    figure = _figure(10.2, 1.9 + 0.19 * max(len(lanes), 6))
    axes = figure.subplots()
    place = {row["usubjid"]: number for number, (_, row) in enumerate(lanes)}
    told = set[str]()
    for number, (group, row) in enumerate(lanes):
        if row["first_dose"] is None:
            continue
        label = None if group.id in told else f"{group.label} (N={group.size})"
        told.add(group.id)
        # The watch ends with its last day.
        days = ((row["observed_until"] or row["first_dose"]) - row["first_dose"]).days + 1
        axes.barh(number, days, left=_day_number(row["first_dose"]), height=0.62, color=group.colour, alpha=0.35,
                  linewidth=0, label=label, zorder=1)  # fmt: skip
    doses = [
        (_day_number(date.fromisoformat(one[about["day"]]["text"][:10])), place[one[about["day"]]["level_1"]])
        for _, one in sorted(_records(page, about["doses"]).items())
        if one[about["day"]]["text"] and one[about["day"]]["level_1"] in place
    ]
    axes.plot(*_across(doses), "^", color=INK, markersize=4, linestyle="none", label="Infusion", zorder=3)
    decided: dict[str, list[tuple[float, float]]] = {}
    for _, row in lanes:
        if row["decided_on"] is not None:
            decided.setdefault(row["decision"], []).append((_day_number(row["decided_on"]), place[row["usubjid"]]))
    for number, (outcome, points) in enumerate(sorted(decided.items())):
        axes.plot(*_across(points), "Dsxo"[number % 4], markersize=3.8, color=INK, markerfacecolor="white",
                  linestyle="none", label=f"Decision on the subject: {outcome}", zorder=3)  # fmt: skip
    boards: dict[str, list[Row]] = {}
    for row in page.gate["gate_decisions"]:
        if row["scope"] == "COHORT" and row["meeting_dt"] is not None:
            boards.setdefault(row["cohort"], []).append(row)
    axes.use_sticky_edges = False
    axes.margins(x=0.03)
    first, last = axes.get_xlim()
    label = "Decision on the dose group"
    for cohort, rows in sorted(boards.items()):
        own = [number for number, (group, _) in enumerate(lanes) if group.id == cohort] or [0]
        for step, row in enumerate(sorted(rows, key=lambda one: one["meeting_dt"])):
            at = _day_number(row["meeting_dt"])
            axes.plot([at, at], [own[0] - 0.5, own[-1] + 0.5], color=INK, linewidth=1.1, zorder=2, label=label)
            label = ""
            # Beside the line, inside the axes, and below the text of an earlier decision.
            late = at > first + 0.8 * (last - first)
            axes.annotate(f"{row['outcome']} {row['meeting_dt'].isoformat()}", (at, own[0] - 0.35 + step),
                          xytext=(-4 if late else 4, 0), textcoords="offset points", fontsize=8, va="top",
                          ha="right" if late else "left")  # fmt: skip
    for number in range(1, len(lanes)):
        if lanes[number][0] != lanes[number - 1][0]:
            axes.axhline(number - 0.5, color=HAIR, linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(lanes)), [short[row["usubjid"]] for _, row in lanes], fontsize=7.5)
    axes.set_ylim(max(len(lanes), 1) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    if lanes:
        axes.xaxis_date()
        formatter = mpl.dates.ConciseDateFormatter(axes.xaxis.get_major_locator())  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(formatter)
    else:
        axes.set_xticks([])
    axes.set_xlabel(about["x"]["label"])
    _legend(figure, 3, 8)
    return figure


def _day_number(day: date) -> float:
    return float(mpl.dates.date2num(day))  # type: ignore[no-untyped-call]


def _across(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


DRAWINGS: Mapping[str, Callable[[Page], Figure]] = {
    "survival": _survival,
    "profiles": _profiles,
    "swimmer": _swimmer,
    "peaks": _peaks,
    "shift": _shift,
    "timeline": _timeline,
}
