"""docs/portability.md: kernel × compiler and kernel × implementation, from what the layers and runs found.

What was not compiled or run on this machine stays as the page has it, where the kernel has as many texts as then.
"""

import re

from . import place, runs

PAGE = place.ROOT / "docs" / "portability.md"
BEGIN, END = "<!-- tools/portability writes from here -->", "<!-- to here -->"


def rows(kernels):
    """Kernels by file, entry point and the features they need."""
    table = {}
    for kernel in kernels:
        features = " ".join(f"+{f}" for f in ("subgroups", "f16", "texels") if kernel[f])
        name = f"{kernel['file'].removeprefix('kernels/')}:{kernel['entry']}"
        table.setdefault((name, features), []).append(kernel)
    return sorted(table.items())


def cell(kernels, layer, results):
    """Passed, or passed of all; – where the compiler never gets the kernel."""
    if results is None:
        return "absent"
    asked = [k for k in kernels if not layer.refuses(k)]
    if not asked:
        return "–"
    passed = sum(results.get(k["id"], {}).get("ok", False) for k in asked)
    return str(passed) if passed == len(asked) else f"**{passed} of {len(asked)}**"


def run_cell(kernels, found):
    forms = {k["form"] for k in kernels}
    ran = len(forms & runs.kernels(found))
    return "" if ran == 0 else str(ran) if ran == len(forms) else f"{ran} of {len(forms)}"


class Page:
    """The tables of the page as it is: rows by their first cell."""

    def __init__(self, text):
        lines = [[c.strip() for c in line.strip("| ").split(" | ")] if line.startswith("|") else []
                 for line in text.replace("|  |", "|   |").replace("|  |", "|   |").splitlines()]
        self.compilers = self.table(lines, "compiler")
        self.implementations = self.table(lines, "implementation")
        self.kernels = self.table(lines, "kernel")

    @staticmethod
    def table(lines, first):
        """{first cell: {title: cell}} of the table whose first title is `first`."""
        start = next((i for i, cells in enumerate(lines) if cells[:1] == [first]), None)
        found = {}
        for cells in lines[start + 2:] if start is not None else []:
            if not cells:
                break
            found[cells[0]] = dict(zip(lines[start], cells))
        return found

    def cell(self, label, texts, title):
        """What the page has for a kernel that still has so many texts."""
        row = self.kernels.get(label, {})
        return row.get(title, "") if row.get("texts") == str(texts) else ""


def line(cells):
    return f"| {' | '.join(str(c) for c in cells)} |"


def counts(kernels, layers, results, old):
    """What was compiled, a row a compiler: its title, version, texts, failures."""
    rows = []
    for layer in layers:
        have = results[layer.name]
        if not have:
            known = old.compilers.get(layer.title)
            rows.append(list(known.values()) if known else [layer.title, f"absent: needs {layer.missing}", "", ""])
            continue
        asked = [k for k in kernels if not layer.refuses(k)]
        failed = len(asked) - sum(have.get(k["id"], {}).get("ok", False) for k in asked)
        times = [r["seconds"] for r in have.values() if layer.slow and "seconds" in r]
        slowest = f", slowest {max(times):.1f} s of processor time" if times else ""
        rows.append([layer.title, layer.version(), len(asked), f"{failed}{slowest}"])
    return rows


def ran(found, old):
    """What was run, a row an implementation."""
    here = {f["name"]: f for f in found}
    rows = []
    for name in runs.ALL:
        f = here.get(name)
        if f is None:
            rows += [list(old.implementations[name].values())] if name in old.implementations else []
            continue
        worst = max(t["worst"] for t in f["trajectories"].values())
        cases = f"{sum(c['cases'] for c in f['check'])}{' ' + f['counted'] if 'counted' in f else ''}"
        rows.append([name, f["device"], cases, sum(c["failed"] for c in f["check"]), len(runs.kernels(f)), f"{worst:.1e}"])
    return rows


def pairs(rows):
    """(text, compiler) pairs in which a compiler other than naga took the text."""
    number = lambda cell: int(re.match(r"\d*", str(cell))[0] or 0)
    return sum(number(row[2]) - number(row[3]) for row in rows if row[0] != "naga")


def page(kernels, layers, results, found, before):
    """The part of the page that is written by machine; `before` is what it was."""
    old = Page(before)
    compiled, implementations = counts(kernels, layers, results, old), ran(found, old)
    forms = {k["form"] for k in kernels}
    out = [f"{len(kernels)} texts (a kernel with its constants) of {len(forms)} kernels (a file, its entry point,",
           "the files it includes, the features it needs).", "",
           f"- {pairs(compiled)} (text, compiler) pairs passed a compiler or validator other than naga;",
           f"- {sum(int(row[4]) for row in implementations)} (kernel, implementation) pairs ran.", "",
           line(["compiler", "version", "texts", "failed"]), "|---|---|---|---|", *map(line, compiled), ""]
    if implementations:
        out += [line(["implementation", "device", "cases of `check`", "failed", "kernels run",
                      "20 losses against PyTorch's, worst"]), "|---|---|---|---|---|---|", *map(line, implementations), ""]
    if len(found) > 1:
        out += [f"The 20 losses on {', '.join(f['name'] for f in found)} are within {runs.apart(found):.1e} of each other",
                "(relative), for BN, NBN and NBN with logit rectification.", ""]
    out += ["In the table: of a kernel's texts, how many passed each compiler; of the kernel with its included files, how",
            "many ran on each implementation. –: no such device gets the kernel. Empty: not run there.", ""]
    here = {f["name"]: f for f in found}
    titles = [layer.title for layer in layers] + [row[0] for row in implementations]
    out += [line(["kernel", "texts", *titles]), "|---|---" + "|---" * len(titles) + "|"]
    for (name, features), group in rows(kernels):
        label = f"`{name}` {features}".strip()
        kept = lambda title: old.cell(label, len(group), title)
        cells = [cell(group, layer, results[layer.name]) if results[layer.name] else kept(layer.title) for layer in layers]
        cells += [run_cell(group, here[row[0]]) if row[0] in here else kept(row[0]) for row in implementations]
        out.append(line([label, len(group), *cells]))
    return "\n".join(out) + "\n"


def update(kernels, layers, results, found):
    """Writes the page; the (text, compiler) pairs on it."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{page(kernels, layers, results, found, old)}\n{END}{after}", encoding="utf-8")
    return pairs(counts(kernels, layers, results, Page(old)))
