"""The engine's kernels on Dawn, WebGPU as Chrome has it (npm's `webgpu`, in Node), on a Vulkan driver of choice.

The engine records tapes (`--record`) of `check` and of 20 steps of training; dawn.mjs repeats every launch that is
unlike the others from what the engine gave it, then each tape as a whole on its own buffers. A tape of two kernels
that are wrong on purpose goes along: a replay that finds them right is no check.
"""

import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

from . import place, runs

HERE = pathlib.Path(__file__).resolve().parent
TAPES = place.DIR / "tapes"
# What a tape holds, and with which arguments of its own it is recorded.
LIMITS = {"": (), "-webgpu": ("--limits", "webgpu")}
# Words of the ring of losses (src/optim/sgd.rs).
RING = 1024
# Of `check`, no more texts of a kernel are repeated: each is compiled by the driver, for a second or more.
MOST = 6


def package():
    """npm's package and its version, or None."""
    about = place.NODE / "node_modules/webgpu/package.json"
    if not shutil.which("node") or not about.exists():
        return None
    return f"Dawn, npm webgpu {json.loads(about.read_text(encoding='utf-8'))['version']}"


def recorded():
    """Records the tapes on the system's driver, unless they are there and newer than the program; what the
    engine's own 20 losses were, by tape."""
    losses, done = TAPES / "losses.json", TAPES / "recorded"
    if done.exists() and done.stat().st_mtime > runs.program().stat().st_mtime:
        return json.loads(losses.read_text(encoding="utf-8"))
    shutil.rmtree(TAPES, ignore_errors=True)
    print("portability: recording tapes", file=sys.stderr)
    engine = [str(runs.program())], {}
    runs.evenkeel(engine, "check", "--json", "--record", TAPES / "check")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        runs.made_images(pathlib.Path(folder), runs.STEPS * 8)
        for name in runs.TRAJECTORY_NAMES:
            for suffix, limits in LIMITS.items():
                tape = f"{name}{suffix}"
                found[tape] = runs.trajectory(name, folder, engine, "--record", TAPES / tape, *limits)["losses"]
    losses.write_text(json.dumps(found), encoding="utf-8")
    done.touch()
    return found


def planted(folder):
    """A tape of launches of wrong kernels, each with what would be right."""
    up, sum_of = [float(i % 7) for i in range(512)], struct.pack("<f", sum(i % 7 for i in range(512)))
    row = [float(i) for i in range(1, 65)]
    pack = lambda values: struct.pack(f"<{len(values)}f", *values)
    cases = [("race", [8, 1, 1], pack(up), sum_of), ("missing_barrier", [1, 1, 1], pack(row), pack(row[::-1]))]
    events, data = [], b""

    def put(content):
        nonlocal data
        data += content
        return len(data) - len(content)

    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, grid, x, y) in enumerate(cases):
        shutil.copy(place.ROOT / "tests" / "planted" / f"{name}.wgsl", folder / f"{number}.wgsl")
        events.append({"shader": number, "entry": "main", "form": f"tests/planted/{name}.wgsl:main",
                       "integers": [False, False], "subgroups": None, "f16": False})
        slices = [{"buffer": 2 * number + i, "start": 0, "words": len(c) // 4} for i, c in enumerate((x, y))]
        args = [{"kind": kind, "slice": s} for kind, s in zip(("read", "write"), slices)]
        events += [{"alloc": s["buffer"], "bytes": max(16, s["words"] * 4)} for s in slices]
        events.append({"launch": number, "grid": grid, "args": args, "before": [put(x), put(bytes(len(y)))],
                       "after": [None, put(y)]})
    (folder / "tape.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events), encoding="utf-8")
    (folder / "data.bin").write_bytes(data)


def replay(environment, *tapes):
    """What dawn.mjs says of each tape, by the tape's name."""
    done = subprocess.run(["node", str(HERE / "dawn.mjs"), str(place.NODE), *map(str, tapes)], capture_output=True,
                          text=True, env={**os.environ, **environment})
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        sys.exit(f"portability: dawn.mjs: exit {done.returncode}: {done.stderr.strip()[-600:]}")
    return lines


def ring(reads, losses):
    """Of the readbacks of the ring of losses the last: Dawn's losses where the engine had `losses`."""
    as_words = [struct.unpack("<f", struct.pack("<f", v))[0] for v in losses]
    rings = [r for r in reads if r["words"] == RING and r["expected"][:len(losses)] == as_words]
    return rings[-1]["values"][:len(losses)] if rings else None


def run(name, driver):
    """Replays every tape over a driver; what was found, in the form of `runs.run`, or None where it is absent."""
    environment = {} if driver == "system" else place.driver(driver)
    if package() is None or environment is None:
        return None
    engine = recorded()
    planted(TAPES / "planted")
    names = ["planted", "check", *engine]
    print(f"portability: {name}: replaying {len(names)} tapes", file=sys.stderr)
    lines = replay(environment, *(f"{TAPES / tape}:{MOST}" if tape == "check" else TAPES / tape for tape in names))
    if lines[0]["event"] == "absent":
        return None
    by_tape = {tape: [e for e in lines if e.get("tape") == str(TAPES / tape)] for tape in names}
    wrong = [f"the replay took {e['form']} for right" for e in by_tape.pop("planted")
             if e["event"] == "launch" and e.get("ok", True)]
    launches = [e for e in lines if e["event"] == "launch" and "ok" in e and e["form"].startswith("kernels/")]
    wrong += [f"{e['form']}: launch of {pathlib.Path(e['tape']).name}/{e['shader']}.wgsl: {e['message']}"
              for e in launches if not e["ok"]]
    wrong += [f"{pathlib.Path(e['tape']).name}: readback {e['read']}: {e['message']}"
              for e in lines if e["event"] == "read" and not e["ok"]]
    trajectories = {}
    for tape, losses in engine.items():
        reads = [e for e in by_tape[tape] if e["event"] == "read"]
        found = ring(reads, losses)
        if found is None and not any("lacks" in e for e in by_tape[tape]):
            wrong.append(f"{tape}: no losses")
        if found:
            base = tape.removesuffix("-webgpu")
            told = runs.beside_pytorch(base, found)
            known = trajectories.get(base)
            trajectories[base] = max(known, told, key=lambda t: t["worst"]) if known else told
    about = lines[0]
    return {
        "name": name, "device": f"{package()}, over {about['name']}", "about": about, "counted": "launches",
        "check": [{"op": "launches", "variant": "replayed", "cases": len(launches), "failed": len(wrong),
                   "worst": "; ".join(wrong[:5]), "kernels_made": sorted({e["form"] for e in launches if e["ok"]})}],
        "step": {"kernels_made": []}, "trajectories": trajectories,
        "skipped": sum(1 for e in lines if e["event"] == "launch" and "lacks" in e),
        "worst_share": max((e["share"] for e in launches if e["ok"]), default=0.0),
    }
