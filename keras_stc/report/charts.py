"""Line charts as SVG in a page's own colours, light or dark."""

import math

from keras_stc.report.render import percent, render

WIDTH, HEIGHT = 420, 220
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 12, 34

#: Lines on the y axis, at most, and what they are apart.
TICKS = 5


def line_chart(lines, name, x_name, shares=False, marks=40, markers=()):
    """Lines over one axis.

    Args:
        lines: `{caption: [(x, y), ...]}`; points that are no numbers are left out.
        name: What the chart shows, for those who hear the page.
        x_name: What the x axis is; whole numbers are ticked as they are.
        shares: Whether y is a share: the axis goes from 0 to 100% then.
        marks: Most points of a line that get a dot, which says its figures when pointed at.
        markers: `[(x, caption)]`: places to mark by a vertical line.

    Returns:
        An `<svg>` element and its legend, as markup; empty where there is no point.
    """
    import markupsafe

    lines = {
        caption: [(x, y) for x, y in points if math.isfinite(y)]
        for caption, points in lines.items()
    }
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    xs, ys = zip(*points, strict=True)
    x_low, x_high = min(xs), max(xs)
    y_ticks = [0, 0.25, 0.5, 0.75, 1] if shares else nice_ticks(min(ys), max(ys))
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def x_place(x):
        share = 0.5 if x_high == x_low else (x - x_low) / (x_high - x_low)
        return LEFT + (WIDTH - LEFT - RIGHT) * share

    def y_place(y):
        share = 0.5 if y_high == y_low else (y - y_low) / (y_high - y_low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    def y_text(y):
        return percent(y, 0) if shares else f"{y:g}"

    middle = (x_low + x_high) / 2
    whole = all(float(x).is_integer() for x in (x_low, x_high))
    middle = round(middle) if whole else middle
    drawn = [
        {
            "caption": caption,
            "path": " ".join(f"{x_place(x):.1f},{y_place(y):.1f}" for x, y in line),
            "dots": [
                (x_place(x), y_place(y), f"{caption}, {x_name} {x:g}: {_exact(y, shares)}")
                for x, y in line
            ]
            if len(line) <= marks
            else [],
        }
        for caption, line in lines.items()
        if line
    ]
    text = render(
        "chart.html",
        name=name,
        x_name=x_name,
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        top=TOP,
        bottom=HEIGHT - BOTTOM,
        y_ticks=[(y_place(y), y_text(y)) for y in y_ticks],
        x_ticks=[(x_place(x), _tick(x)) for x in sorted({x_low, middle, x_high})],
        markers=[(x_place(x), caption) for x, caption in markers if x_low <= x <= x_high],
        lines=drawn,
    )
    return markupsafe.Markup(text)


def nice_ticks(low, high, count=TICKS):
    """Round numbers from at most `low` to at least `high`, about `count` of them."""
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    rough = (high - low) / (count - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(step * k, 12) for k in range(first, last + 1)]


def _exact(y, shares):
    return percent(y) if shares else f"{y:.4g}"


def _tick(x):
    return f"{x:.0f}" if float(x).is_integer() or abs(x) >= 100 else f"{x:.1f}"
