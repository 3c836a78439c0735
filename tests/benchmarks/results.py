"""Results of a benchmark as files: a Markdown table, all figures as CSV, a plot as SVG."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path

from tests.benchmarks.contenders import Cost

FOLDER = Path(__file__).parent / "results"
Costs = Mapping[tuple[str, str], list[Cost]]
_COLORS = ("#0b6e4f", "#2f9e77", "#8fd3b6", "#b8860b", "#e3c26f", "#3b5b92", "#93abd6", "#a34a4a", "#777777")
_BAR, _LABEL, _WIDTH = 11, 250, 620


def write(name: str, title: str, costs: Costs) -> None:
    """`results/<name>.md`, `.csv` and `.svg`, and the table on the terminal."""
    FOLDER.mkdir(exist_ok=True)
    text = markdown(title, costs)
    (FOLDER / f"{name}.md").write_text(text)
    (FOLDER / f"{name}.svg").write_text(plot(title, costs))
    with (FOLDER / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["question", "contender", "run", "wall_s", "cpu_s", "peak_mib", "largest_process_mib"]
        )
        for (question, contender), runs in costs.items():
            for number, cost in enumerate(runs, 1):
                row = [f"{cost.wall:.4f}", f"{cost.cpu:.4f}", cost.peak, cost.largest]
                writer.writerow([question, contender, number, *row])
    print(text)


def markdown(title: str, costs: Costs) -> str:
    """Three tables: CPU-seconds, wall seconds, MiB. Medians with the lowest and highest run."""
    tables: list[tuple[str, Callable[[Cost], float], str]] = [
        ("CPU-seconds of all processes", lambda cost: cost.cpu, "{:.2f}"),
        ("Wall seconds", lambda cost: cost.wall, "{:.2f}"),
        ("Peak MiB of all processes", lambda cost: cost.peak, "{:.0f}"),
        ("Peak MiB of the largest process", lambda cost: cost.largest, "{:.0f}"),
    ]
    lines = [title, "", "Medians; in brackets the lowest and the highest run where there are several."]
    for heading, figure, form in tables:
        lines += ["", f"## {heading}", "", "| question | " + " | ".join(contenders(costs)) + " |"]
        lines.append("|---" * (len(contenders(costs)) + 1) + "|")
        for question in questions(costs):
            cells = [_cell([figure(c) for c in costs[question, each]], form) for each in contenders(costs)]
            lines.append(f"| {question} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def contenders(costs: Costs) -> list[str]:
    return list(dict.fromkeys(contender for _, contender in sorted(costs, key=_first_seen(costs))))


def questions(costs: Costs) -> list[str]:
    return list(dict.fromkeys(question for question, _ in costs))


def median(costs: Costs, question: str, contender: str, figure: Callable[[Cost], float]) -> float:
    return statistics.median(figure(cost) for cost in costs[question, contender])


def plot(title: str, costs: Costs) -> str:
    """Bars of CPU-seconds, each question to its own scale: lengths compare within a question."""
    names, rows, top = contenders(costs), [], 60
    for question in questions(costs):
        values = [median(costs, question, each, lambda cost: cost.cpu) for each in names]
        rows.append(f'<text x="10" y="{top}" font-weight="bold">{escape(question)}</text>')
        for place, (each, value) in enumerate(zip(names, values, strict=True)):
            y, width = top + 6 + place * (_BAR + 2), value / max(values) * (_WIDTH - 60)
            rows.append(f'<text x="{_LABEL - 6}" y="{y + 9}" text-anchor="end">{escape(each)}</text>')
            color = _COLORS[place % len(_COLORS)]
            rows.append(f'<rect x="{_LABEL}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{color}"/>')
            rows.append(f'<text x="{_LABEL + width + 4:.1f}" y="{y + 9}">{value:.2f}</text>')
        top += len(names) * (_BAR + 2) + 34
    size = f'width="{_LABEL + _WIDTH}" height="{top}"'
    head = '<text x="10" y="20" font-weight="bold">CPU-seconds, medians</text>'
    head += f'<text x="10" y="36">{escape(title)}</text>'
    style = 'font-family="sans-serif" font-size="10"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>'
        f'<rect width="100%" height="100%" fill="white"/>{head}{"".join(rows)}</svg>\n'
    )


def _first_seen(costs: Costs) -> Callable[[tuple[str, str]], int]:
    order = {each: place for place, each in enumerate(costs)}
    return lambda key: order[key]


def _cell(values: list[float], form: str) -> str:
    middle = form.format(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({form.format(min(values))}-{form.format(max(values))})"
