"""Records as Markdown: the tables of docs/performance.md, and what they leave out."""

from collections.abc import Iterable, Sequence

from .bends import bends, factors, figure
from .session import Record

BASE = "pullback"
MARK = "†"
NONE = "-"
# contenders of a record of tapes that are ours, and what they add to a title
OURS = {
    "pullback": "",
    "a watched constant": ", of a constant",
    "a variable": ", of a variable",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are aligned right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def columns(record: Record) -> list[str]:
    """Return the contenders that have a row somewhere, in the order they ran."""
    seen = dict.fromkeys(n for r in record["workloads"] for n in r["contenders"])
    return [n for n in record["versions"] if n in seen]


def times(record: Record) -> str:
    """Return the table of microseconds a call; the quickest of a row is bold."""
    names = columns(record)
    rows = []
    for entry in record["workloads"]:
        found = {n: row["us"] for n, row in entry["contenders"].items()}
        least = min(found.values())
        cells = []
        for name in names:
            text = figure(found[name]) if name in found else NONE
            cells.append(f"**{text}**" if found.get(name) == least else text)
        rows.append([f"`{entry['name']}`", *cells])
    return table(["workload", *names], rows)


def ratios(record: Record) -> str:
    """Return the table of pullback's time over the others', with intervals."""
    names = [n for n in columns(record) if n != BASE]
    rows = []
    for entry in record["workloads"]:
        cells = []
        for name in names:
            row = entry["contenders"].get(name)
            cells.append(NONE if row is None else cell(row, record["rounds"]))
        rows.append([f"`{entry['name']}`", *cells])
    return table(["workload", *names], rows)


def cell(row: Record, rounds: int) -> str:
    few = MARK if row["rounds"] < rounds else ""
    return f"{figure(row['ratio'])}{few} [{figure(row['low'])}, {figure(row['high'])}]"


def first_calls(record: Record) -> str:
    """Return the table of seconds until the first result; C is compiled beforehand."""
    names = [n for n in columns(record) if n not in ("C", "NumPy")]
    rows = [
        [
            f"`{entry['name']}`",
            *(
                f"{entry['contenders'][n]['first_s']:.3f}"
                if n in entry["contenders"]
                else NONE
                for n in names
            ),
        ]
        for entry in record["workloads"]
    ]
    return table(["workload", *names], rows)


def losses(record: Record) -> str:
    """Return a list of the pairs where pullback is slower, the worst first.

    A pair counts where the whole interval is above 1.
    """
    found = [
        (row["ratio"], entry["name"], name)
        for entry in record["workloads"]
        for name, row in entry["contenders"].items()
        if row.get("low", 0) > 1
    ]
    if not found:
        return "None in this record."
    return "\n".join(
        f"- `{workload}`: {figure(ratio)} times the time of {name}"
        for ratio, workload, name in sorted(found, reverse=True)
    )


def absent(record: Record) -> str:
    """Return a list of what was left out, not built or wrong, and why."""
    out = [f"- {name} is left out: {why}" for name, why in record["left_out"].items()]
    for entry in record.get("workloads", []):
        for what in ("not_built", "wrong"):
            out += [
                f"- `{entry['name']}`, {name}: {why}"
                for name, why in entry[what].items()
            ]
    return "\n".join(out) or "Nothing."


def meanings(record: Record, known: dict[str, str]) -> str:
    """Return what the kinds of workload in a record are."""
    kinds = dict.fromkeys(r["name"].split("_")[0] for r in record["workloads"])
    rows = [[f"`{kind}`", known[kind]] for kind in kinds]
    return table(["kind", "what is computed"], rows).replace("---:", "---")


def machine(record: Record) -> str:
    """Return a sentence on machine, versions and settings."""
    on = record["machine"]
    held = ", ".join(f"{level} {size}" for level, size in on["caches"].items())
    versions = ", ".join(f"{n} {v}" for n, v in record["versions"].items())
    return (
        f"{on['processor']} ({on['architecture']}; {', '.join(on['features'])}), "
        f"{on['cores']} cores, caches {held}; {on['system']}, Python {on['python']}. "
        f"{versions}. {record['rounds']} rounds, {record['clock']} time, "
        f"{record['date']}."
    )


def threads(record: Record) -> str:
    """Return the table of several threads against one."""
    name = f"{BASE} 1 thread"
    rows = []
    for entry in record["workloads"]:
        found = entry["contenders"]
        row = found[name]
        low, high = 1 / row["high"], 1 / row["low"]
        gain = f"{figure(1 / row['ratio'])} [{figure(low)}, {figure(high)}]"
        rows.append(
            [f"`{entry['name']}`", figure(row["us"]), figure(found[BASE]["us"]), gain]
        )
    head = ["workload", "1 thread, µs", f"{record['threads']} threads, µs", "times"]
    return table(head, rows)


def triad(record: Record) -> str:
    """Return the table of what memory gives at three footprints."""
    rows = [
        [f"{row['bytes'] / 1e6:,.1f} MB", f"{row['bytes_per_s'] / 1e9:.1f}"]
        for row in record["triad"]
    ]
    return table(["three arrays together", "GB/s"], rows)


def growth(record: Record) -> str:
    """Return a row for each family: microseconds, and what each decade costs."""
    rows = []
    for family in record["growth"]:
        sizes = family["sizes"]
        cells = [
            f"{figure(r['contenders'][BASE]['us'])} {r['bound'].split()[-1][0]}"
            for r in sizes
        ]
        costs = ", ".join(figure(f) for f in factors(sizes))
        last = sizes[-1]["contenders"].get("C")
        by_hand = NONE if last is None else cell(last, record["rounds"])
        rows.append([f"`{sizes[0]['name']}`", *cells, costs, by_hand])
    head = ["from", "N", "10 N", "100 N", "1,000 N", "a decade costs", "over C, last"]
    return table(head, rows)


def tapes(record: Record) -> str:
    """Return the table of what tapes cost, and what others take for the same."""
    rows = record["rows"]
    others = list(dict.fromkeys(n for r in rows for n in r["took"] if n not in OURS))
    out = []
    for row in rows:
        for name in OURS:
            if name not in row["took"]:
                continue
            mine, ratio = row["took"][name], row["ratio"]
            what = row["what"] + OURS[name]
            cells = [
                f"{figure(ratio[n] / ratio[name])} times" if n in ratio else NONE
                for n in others
            ]
            out.append([what, f"{figure(mine)} {row['unit']}", *cells])
    return table(["what", "pullback", *others], out)


def bent(record: Record) -> str:
    """Return a list of the decades that cost more or less than their family's rule."""
    found: list[str] = []
    for family in record["growth"]:
        found += [f"- {text}" for text in bends(family, record["triad"])]
    return "\n".join(found) or "None."
