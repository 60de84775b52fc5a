"""Draws the table of peers.py as bars: for every network, the time of each engine as a part of ONNX Runtime's.

  chart.py TABLE.md CHART.svg [--threads 1]

Shorter is faster. Bars beyond the edge end in their number.
"""

import argparse
from html import escape

NAMES = {"mindir": "mindir", "ort": "ONNX Runtime", "ov": "OpenVINO", "ms": "MindSpore"}
COLORS = {"mindir": "#d9480f", "ort": "#868e96", "ov": "#4c6ef5", "ms": "#82c91e"}
LEFT, WIDTH, BAR, GAP, TOP = 130, 480, 13, 12, 44
MOST = 2.0


def rows(path, threads):
    """The table's ratios: engines by network, in the table's order of networks."""
    head, found = None, {}
    for line in open(path):
        if not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if head is None:
            head = cells
        elif not cells[0].startswith("-"):
            row = dict(zip(head, cells))
            if row["threads"] == threads:
                ratio = next(value for name, value in row.items() if name.startswith("ratio"))
                found.setdefault(row["model"], {})[row["engine"]] = float(ratio)
    return found


def bars(networks):
    """The elements of the picture, and its height."""
    y = TOP
    for network, ratios in networks.items():
        engines = [engine for engine in NAMES if engine in ratios]
        middle = y + len(engines) * BAR / 2 + 4
        yield f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{escape(network)}</text>'
        for engine in engines:
            ratio = ratios[engine]
            length = min(ratio, MOST) / MOST * WIDTH
            yield f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{COLORS[engine]}"/>'
            inside = ratio > 0.9 * MOST
            x, anchor, color = (LEFT + length - 4, "end", "#fff") if inside else (LEFT + length + 4, "start", "#495057")
            yield f'<text x="{x:.1f}" y="{y + BAR - 4}" text-anchor="{anchor}" font-size="9" fill="{color}">{ratio:.2f}</text>'
            y += BAR
        y += GAP
    yield y


def chart(networks, threads):
    *elements, height = bars(networks)
    engines = [engine for engine in NAMES if any(engine in ratios for ratios in networks.values())]
    legend, x = [], LEFT
    for engine in engines:
        legend.append(f'<rect x="{x}" y="24" width="10" height="10" fill="{COLORS[engine]}"/>')
        legend.append(f'<text x="{x + 14}" y="33">{NAMES[engine]}</text>')
        x += 30 + 7 * len(NAMES[engine])
    one = LEFT + WIDTH / MOST
    word = "thread" if threads == "1" else "threads"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 40}" height="{height}" font-family="sans-serif" font-size="12" fill="#212529">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="15">Time as a part of ONNX Runtime\'s, f32, {threads} {word}: shorter is faster</text>',
        *legend,
        f'<line x1="{one}" y1="{TOP - 4}" x2="{one}" y2="{height - GAP + 2}" stroke="#adb5bd" stroke-dasharray="3 3"/>',
        *elements,
        "</svg>\n",
    ])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("chart")
    parser.add_argument("--threads", default="1")
    args = parser.parse_args()
    networks = rows(args.table, args.threads)
    with open(args.chart, "w") as out:
        out.write(chart(networks, args.threads))


if __name__ == "__main__":
    main()
