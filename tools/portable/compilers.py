"""The shader compilers, each a layer: which of them are on this machine, in which version, and what
each says of the kernels that `translate` wrote.

What passed is kept under target/portability/results by the hash of the text that was compiled and the
compiler's version, so a text that did not change is not compiled again. A layer that is absent has no
results; nothing counts as passed that no compiler saw.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from . import metal, place

HERE = pathlib.Path(__file__).resolve().parent
BATCH = 12


def surviving(command, jobs):
    """Feeds jobs as JSON lines to a program that answers each with a JSON line. The first without an
    answer is the one at which the program died; the rest goes to another. One that dies three times before it has
    answered anything doesn't run at all, and is not asked again."""
    jobs, answers = list(jobs), []
    while todo := jobs[len(answers):]:
        text = "".join(json.dumps(job) + "\n" for job in todo)
        done = subprocess.run([str(c) for c in command], input=text, capture_output=True, text=True)
        got = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        answers += got
        if len(got) < len(todo):
            end = f"the compiler died (exit {done.returncode}): {done.stderr.strip()[-400:]}"
            never = len(answers) >= 2 and all("died" in answer for answer in answers)
            dead = todo if never else todo[len(got):][:1]
            answers += [{"id": job["id"], "ok": False, "died": True, "message": end} for job in dead]
    return answers


def said(command, pattern=r"(.+)"):
    """The first match of `pattern` in what a command prints, or None if it doesn't run."""
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(pattern, done.stdout + done.stderr)
    return found.group(1).strip() if found and done.returncode == 0 else None


class Layer:
    """One compiler. `name` on the command line, `title` in the matrix, `extension` of what it reads."""

    name = title = extension = missing = ""
    slow = False

    def version(self):
        """The compiler and its version, or None where it is absent."""

    def refuses(self, kernel):
        """Why this compiler never gets the kernel, or None."""

    def driver(self):
        """The text that drives the compiler: another text, another result."""
        return ""

    def compile(self, jobs):
        """Answers {id, ok, message, seconds?} for jobs {id, path, entry, profile, features}."""

    def jobs(self, kernels, folder):
        """What there is to compile: {id, path, entry, profile, features, key}."""
        for kernel in kernels:
            path = folder / f"{kernel['id']}.{self.extension}"
            if self.refuses(kernel) or not path.exists():
                continue
            job = {"id": kernel["id"], "path": str(path), "entry": kernel["entry"],
                   "profile": "cs_6_2" if kernel["f16"] else "cs_6_0",
                   "features": [f for f in ("subgroups", "f16") if kernel[f]]}
            rest = f"{job['entry']} {job['profile']} {job['features']}{self.driver()}".encode()
            yield job | {"key": hashlib.sha256(path.read_bytes() + rest).hexdigest()}

    def known(self):
        """What this version of the compiler passed before, by key."""
        store = place.RESULTS / f"{self.name}.json"
        kept = json.loads(store.read_text(encoding="utf-8")) if store.exists() else {}
        return kept.get("results", {}) if kept.get("version") == self.version() else {}

    def kept(self, kernels, folder):
        """The results that are known without compiling, by kernel number."""
        known = self.known()
        return {job["id"]: known[job["key"]] for job in self.jobs(kernels, folder) if job["key"] in known}

    def keep(self, known, version):
        place.RESULTS.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"version": version, "results": known})
        (place.RESULTS / f"{self.name}.json").write_text(text, encoding="utf-8")

    def run(self, kernels, folder):
        """The results by kernel number."""
        version, known, jobs = self.version(), self.known(), list(self.jobs(kernels, folder))
        results = {job["id"]: known[job["key"]] for job in jobs if job["key"] in known}
        keys = {job["id"]: job["key"] for job in jobs}
        todo = [job for job in jobs if job["id"] not in results]
        for answer in self.compile(todo) if todo else []:
            number = answer.pop("id")
            results[number] = answer
            if answer["ok"]:
                known[keys[number]] = answer
            # A slow compiler's results are kept as they come.
            if self.slow:
                self.keep(known, version)
        if todo:
            self.keep(known, version)
        for kernel in kernels:
            if kernel["id"] not in results and not self.refuses(kernel):
                results[kernel["id"]] = {"ok": False, "message": kernel["refused"] or f"{self.title} gave no answer"}
        return results


class Naga(Layer):
    """Every kernel that was written at all has passed naga's validator."""

    name, title, extension = "naga", "naga", "wgsl"

    def version(self):
        lock = (place.ROOT / "Cargo.lock").read_text(encoding="utf-8")
        return "naga " + re.search(r'name = "naga"\nversion = "(.+)"', lock).group(1)

    def run(self, kernels, folder):
        return {k["id"]: {"ok": k["refused"] is None, "message": k["refused"] or ""} for k in kernels}

    kept = run


class Tint(Layer):
    name, title, extension, missing = "tint", "Tint", "wgsl", "npm's package webgpu (Dawn)"

    def version(self):
        package = place.NODE / "node_modules/webgpu/package.json"
        if not shutil.which("node") or not package.exists():
            return None
        about = json.loads(package.read_text(encoding="utf-8"))
        return f"Tint of Dawn, npm webgpu {about['version']}"

    def driver(self):
        return (HERE / "tint.mjs").read_text(encoding="utf-8")

    def compile(self, jobs):
        return surviving(["node", HERE / "tint.mjs", place.NODE], jobs)


class SpirvVal(Layer):
    name, title, extension, missing = "spirv-val", "spirv-val", "spv", "spirv-val (package spirv-tools)"

    def version(self):
        return said(["spirv-val", "--version"], r"(SPIRV-Tools v\S+)")

    def compile(self, jobs):
        def one(job):
            done = subprocess.run(["spirv-val", "--target-env", "vulkan1.1", job["path"]],
                                  capture_output=True, text=True)
            return {"id": job["id"], "ok": done.returncode == 0, "message": done.stdout + done.stderr}

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(one, jobs))


class Dxc(Layer):
    name, title, extension, missing = "dxc", "DXC", "dxc.hlsl", "libdxcompiler (PyPI's compushady carries it)"

    def version(self):
        return f"DXC, {place.DXC.name} of compushady {place.COMPUSHADY}" if place.DXC.exists() else None

    def compile(self, jobs):
        return surviving([sys.executable, HERE / "dxc.py", place.DXC], jobs)


class Fxc(Layer):
    name, title, extension = "fxc", "FXC", "fxc.hlsl"
    missing = "wine, x86_64-w64-mingw32-gcc and npm's webgpu (d3dcompiler_47.dll)"
    slow, longest = True, 2.0

    def version(self):
        if not (shutil.which("wine") and place.FXC_DLL.exists() and shutil.which("x86_64-w64-mingw32-gcc")):
            return None
        return f"FXC, d3dcompiler_47.dll of npm webgpu, under {said(['wine', '--version'])}"

    def driver(self):
        return (HERE / "fxc.c").read_text(encoding="utf-8")

    def refuses(self, kernel):
        needs = [f for f in ("subgroups", "f16") if kernel[f]]
        return f"needs {' and '.join(needs)}, which a device with FXC doesn't offer" if needs else None

    def compile(self, jobs):
        folder = place.DIR / "fxc"
        folder.mkdir(exist_ok=True)
        shutil.copy(place.FXC_DLL, folder)
        subprocess.run(["x86_64-w64-mingw32-gcc", "-O1", "-o", folder / "fxc.exe", HERE / "fxc.c"], check=True)
        for start in range(0, len(jobs), BATCH):
            part = jobs[start:start + BATCH]
            answers = self.fxc(folder, part)
            # Other work slows a compiler down; the least of three times counts.
            for _ in range(2):
                slow = [j for j in part if answers.get(j["id"], {}).get("seconds", 0) > self.longest]
                for number, again in (self.fxc(folder, slow) if slow else {}).items():
                    answers[number]["seconds"] = min(again["seconds"], answers[number]["seconds"])
            for answer in answers.values():
                if answer["ok"] and answer["seconds"] > self.longest:
                    answer |= {"ok": False, "message": f"took {answer['seconds']:.1f} s, over {self.longest} s"}
                yield answer
            print(f"\rfxc {start + len(part)} of {len(jobs)}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)

    def fxc(self, folder, jobs):
        """The answers by kernel number."""
        text = "".join(f"{j['id']} {j['entry']} cs_5_1 {j['path']}\n" for j in jobs)
        done = subprocess.run(["wine", folder / "fxc.exe"], input=text, capture_output=True, text=True,
                              env={**os.environ, **place.WINE}, errors="replace")
        answers, rest = {}, iter(done.stdout.splitlines())
        for line in rest:
            head = re.fullmatch(r"(\d+) ([01]) ([\d.]+) (\d+)", line.strip())
            if not head:
                continue
            good = head[2] == "1"
            message = "" if good else "\n".join(iter(lambda: next(rest, ".").strip(), "."))
            answers[int(head[1])] = {"id": int(head[1]), "ok": good, "message": message, "seconds": float(head[3]) / 1e3}
        return answers


class Metal(Layer):
    """clang over a stub of Metal's library: syntax and types, no address spaces, no code."""

    name, title, extension, missing = "metal", "MSL types", "metal", "clang++"

    def version(self):
        found = said(["clang++", "--version"], r"clang version (\S+)")
        return f"clang {found} with a stub of metal_stdlib" if found else None

    def driver(self):
        return metal.stub()

    def compile(self, jobs):
        return metal.check(jobs, place.DIR / "metal")


ALL = [Naga(), Tint(), SpirvVal(), Dxc(), Metal(), Fxc()]
FAST = ("naga", "tint", "spirv-val")
