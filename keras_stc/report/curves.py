"""Training curves as inline SVG."""

WIDTH, HEIGHT, MARGIN = 720, 220, 40

#: (column of the history, caption, colour).
LINES = (
    ("accuracy", "training clips", "#8a97a8"),
    ("val_accuracy", "validation clips", "#206f58"),
)


def curves_svg(history):
    """Accuracy by epoch.

    Args:
        history: A list with a dictionary for each epoch: `epoch`, `accuracy`, `val_accuracy`.

    Returns:
        An `<svg>` element as text.
    """
    last = max(row["epoch"] for row in history)

    def x(epoch):
        return MARGIN + (WIDTH - 2 * MARGIN) * (epoch - 1) / max(1, last - 1)

    def y(share):
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * share

    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(
            f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y(share):.1f}" y2="{y(share):.1f}" '
            f'stroke="#dde2e9"/><text x="{MARGIN - 6}" y="{y(share) + 4:.1f}" text-anchor="end">'
            f"{share:.0%}</text>"
        )
    for epoch in sorted({1, last}):
        parts.append(
            f'<text x="{x(epoch):.1f}" y="{HEIGHT - MARGIN + 18}" text-anchor="middle">'
            f"epoch {epoch}</text>"
        )
    for i, (column, caption, colour) in enumerate(LINES):
        points = [(x(row["epoch"]), y(row[column])) for row in history if column in row]
        if not points:
            continue
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
            f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - MARGIN - 10 - 18 * i}" text-anchor="end" '
            f'fill="{colour}">{caption}</text>'
        )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Accuracy by epoch" '
        f'style="max-width: 100%; font: 12px system-ui, sans-serif; fill: #5b6675">'
        f"{''.join(parts)}</svg>"
    )
