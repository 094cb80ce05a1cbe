"""docs/portability.md: kernel × compiler and kernel × implementation, from what the layers and runs found."""

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


def counts(kernels, layers, results, found):
    """What was compiled and what was run, in numbers."""
    lines = []
    for layer in layers:
        have = results[layer.name]
        if have is None:
            lines.append(f"| {layer.title} | absent: needs {layer.missing} | | |")
            continue
        asked = [k for k in kernels if not layer.refuses(k)]
        failed = len(asked) - sum(have.get(k["id"], {}).get("ok", False) for k in asked)
        times = [r["seconds"] for r in have.values() if layer.slow and "seconds" in r]
        slowest = f", slowest {max(times):.1f} s of processor time" if times else ""
        lines.append(f"| {layer.title} | {layer.version()} | {len(asked)} | {failed}{slowest} |")
    return lines


def pairs(kernels, layers, results):
    """(kernel, compiler) pairs in which a compiler other than naga took the kernel."""
    return sum(have.get(k["id"], {}).get("ok", False)
               for layer in layers if layer.name != "naga" and (have := results[layer.name]) is not None
               for k in kernels if not layer.refuses(k))


def page(kernels, layers, results, found):
    """The part of the page that is written by machine."""
    compiled = pairs(kernels, layers, results)
    ran = sum(len(runs.kernels(f)) for f in found)
    forms = {k["form"] for k in kernels}
    out = [f"{len(kernels)} texts (a kernel with its constants) of {len(forms)} kernels (a file, its entry point,",
           "the files it includes, the features it needs).", "",
           f"- {compiled} (text, compiler) pairs passed a compiler or validator other than naga;",
           f"- {ran} (kernel, implementation) pairs ran, in `check` and in a training step.", "",
           "| compiler | version | texts | failed |", "|---|---|---|---|", *counts(kernels, layers, results, found), ""]
    if found:
        out += ["| implementation | device | cases of `check` | failed | kernels run | 20 losses against PyTorch's, worst |",
                "|---|---|---|---|---|---|"]
        for f in found:
            worst = max(t["worst"] for t in f["trajectories"].values())
            out.append(f"| {f['name']} | {f['device']} | {sum(c['cases'] for c in f['check'])} | "
                       f"{sum(c['failed'] for c in f['check'])} | {len(runs.kernels(f))} | {worst:.1e} |")
        if len(found) > 1:
            out += ["", f"The 20 losses on these {len(found)} implementations are within {runs.apart(found):.1e} of each "
                    "other", "(relative), for BN, NBN and NBN with logit rectification."]
        out.append("")
    out += ["In the table: of a kernel's texts, how many passed each compiler; of the kernel with its included files, how",
            "many ran on each implementation. –: no such device gets the kernel. Empty: not run there.", ""]
    titles = [layer.title for layer in layers] + [f["name"] for f in found]
    out += [f"| kernel | texts | {' | '.join(titles)} |", "|---|---" + "|---" * len(titles) + "|"]
    for (name, features), group in rows(kernels):
        cells = [cell(group, layer, results[layer.name]) for layer in layers]
        cells += [run_cell(group, f) for f in found]
        label = f"`{name}` {features}".strip()
        out.append(f"| {label} | {len(group)} | {' | '.join(cells)} |")
    return "\n".join(out) + "\n"


def write(text):
    old = PAGE.read_text(encoding="utf-8")
    before, rest = old.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")
