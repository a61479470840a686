"""Writes the tables of docs/zoo.md from the counts and the registry of weights:

python docs/make_zoo.py
"""

import pathlib
import re
import textwrap

from keras_stc.models.complexity import zoo_complexity
from keras_stc.models.zoo import CONSTRUCTORS
from keras_stc.weights import registry

PAGE = pathlib.Path(__file__).with_name("zoo.md")


def page():
    """The text of the page, its tables anew."""
    text = PAGE.read_text(encoding="utf-8")
    for name, make in (("networks", networks), ("weights", weights)):
        begin = f"<!-- {name}, by docs/make_zoo.py -->\n"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{make()}\n\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


def networks():
    sources = list(dict.fromkeys(map(source, zoo_complexity())))
    head = ["`create_model`", "constructor", "clip", "M", "M, 32 frames", 'M, `"stage"`']
    head += ["M, `stc=True`", "GMAC", "GMAC, 32 frames", "source"]
    rows = [[*counts(*entry), f"[{sources.index(source(entry[0])) + 1}]"] for entry in zoo()]
    return f"{table(head, rows)}\n\n{numbered(sources)}"


def weights():
    records = [record for name, _ in zoo() for record in registry.records_of(name)]
    files = {}
    for record in records:
        if record.status == "available":
            files.setdefault((record.repository, record.revision, record.file), []).append(record)
    protocols = list(dict.fromkeys(protocol(first) for first, *_ in files.values()))
    unpublished = ", ".join(f"`{r.arch}`" for r in records if r.status != "available")
    head = ["file", "networks and their `weights=`", "trained", "licence", "top-1", "protocol"]
    rows = [cells(file, group, protocols) for file, group in files.items()]
    missing = f'The tag `"kinetics400"` is not there for {unpublished}.'
    text = textwrap.fill(missing, 120)
    return f"{table(head, rows)}\n\n{numbered(protocols)}\n\n{text}"


def zoo():
    return zoo_complexity().items()


def source(name):
    """Where a network is described, as its docstring says."""
    text = re.search(r"^Source: (.*?)\n\n", CONSTRUCTORS[name].__doc__, flags=re.S | re.M)[1]
    return re.split(r"(?<=\d{4})\. (?!The network)|, whose", " ".join(text.split()))[0].rstrip(".")


def counts(name, entry):
    """The cells of a network."""
    frames, height, width = entry["clip"]
    parameters, macs = entry["parameters"], entry["macs"]
    own = "block-" if f"block-{frames}" in parameters else ""
    return [
        f"`{name}`",
        f"`{entry['constructor']}`",
        f"{frames}×{height}×{width}",
        number(parameters.get(f"{own}{frames}"), 1e6),
        number(parameters.get(f"{own}32"), 1e6),
        number(parameters.get("stage-16"), 1e6),
        number(parameters.get(f"stc-{frames}"), 1e6),
        number(macs.get(f"{own}{frames}"), 1e9),
        number(macs.get(f"{own}32"), 1e9),
    ]


def cells(file, records, protocols):
    """The cells of a file and the records that take it, the network it was trained as first."""
    repository, revision, name = file
    first, metric = records[0], top1(records[0])
    commit = revision[:8] if len(revision) == 40 else revision
    return [
        f"`{name}` of `{repository}`, `{commit}`",
        ", ".join(f'`{record.arch}` `"{record.tag}"`' for record in records),
        first.origin.partition(";")[0].rstrip("."),
        first.license,
        f"{metric.value:.1f}%, {metric.data}",
        f"[{protocols.index(protocol(first)) + 1}]",
    ]


def protocol(record):
    metric = top1(record)
    return f"{metric.protocol}. Stated by {metric.measured_by}"


def top1(record):
    return next(metric for metric in record.metrics if metric.name == "top-1")


def numbered(texts):
    return "\n".join(f"{k}. {text}." for k, text in enumerate(texts, 1))


def number(count, unit):
    return f"{count / unit:.2f}" if count else ""


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
