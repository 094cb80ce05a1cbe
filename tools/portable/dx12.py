"""evenkeel.exe on DX12 without Windows: cross-compiled, run by Wine, its HLSL compiled by Microsoft's FXC, D3D12
translated to Vulkan by vkd3d, run by Mesa 25's lavapipe (22.3's gives NaN there).

rustup's x86_64-pc-windows-gnu is used where it is installed; else a Rust compiler with the standard library's
source, as Debian packages it, builds that library too.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys

from . import place

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = place.DIR / "dx12"
TARGET = "x86_64-pc-windows-gnu"
GCC = "x86_64-w64-mingw32-gcc"


def missing():
    """What is not there, or None."""
    compiler = has_target() or place.RUST_SOURCE.exists()
    for there, what in [(compiler, f"a Rust compiler for {TARGET}"), (shutil.which(GCC), GCC), (shutil.which("wine"), "wine"),
                        (shutil.which("Xvfb"), "Xvfb"), (place.MESA25.exists(), "Mesa 25's lavapipe"),
                        (place.FXC_DLL.exists(), "d3dcompiler_47.dll of npm's webgpu")]:
        if not there:
            return what
    return None


def has_target():
    done = subprocess.run(["rustc", "--print", "target-libdir", "--target", TARGET], capture_output=True, text=True)
    return done.returncode == 0 and any(pathlib.Path(done.stdout.strip()).glob("libstd-*.rlib"))


def build():
    """evenkeel.exe, with what it loads beside it."""
    environment = {"CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER": GCC, "CARGO_PROFILE_RELEASE_PANIC": "abort",
                   "CARGO_PROFILE_RELEASE_OPT_LEVEL": "1"}
    cargo = ["cargo", "build", "--release", "--bin", "evenkeel", "--target", TARGET, "--target-dir", place.DIR / "windows-build"]
    if not has_target():
        usr = place.RUST / "usr"
        environment |= {"RUSTC": str(usr / "bin/rustc"), "RUSTC_BOOTSTRAP": "1", "LD_LIBRARY_PATH": str(place.RUST / place.LIBRARIES)}
        # rustup's proxy would put its own compiler first.
        found = subprocess.run(["rustup", "which", "cargo"], capture_output=True, text=True)
        cargo[0] = found.stdout.strip() if found.returncode == 0 else "cargo"
        cargo += ["-Z", "build-std=std,panic_abort"]
    print("portability: building evenkeel.exe, some minutes at first", file=sys.stderr)
    subprocess.run([str(c) for c in cargo], check=True, cwd=place.ROOT, env={**os.environ, **environment})
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file in (place.DIR / "windows-build" / TARGET / "release" / "evenkeel.exe", place.FXC_DLL):
        shutil.copy(file, FOLDER)
    subprocess.run([GCC, "-O1", "-shared", "-o", FOLDER / "bcryptprimitives.dll", HERE / "bcryptprimitives.c", "-ladvapi32"],
                   check=True)


@contextlib.contextmanager
def display():
    """A screen that nobody sees: Wine lists no adapter without one."""
    # The number of the display comes on the pipe once it is there.
    read, write = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "640x480x24"], pass_fds=[write],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as number:
            yield f":{number.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def host():
    """The command that runs evenkeel on DX12, and its environment."""
    build()
    with display() as screen:
        overrides = place.WINE["WINEDLLOVERRIDES"] + ";bcryptprimitives=n"
        environment = {**place.WINE, **place.driver("mesa25"), "WINEDLLOVERRIDES": overrides, "DISPLAY": screen,
                       "WGPU_BACKEND": "dx12",
                       # Else vkd3d keeps a million descriptors for each kernel: 1.4 GB a kernel on lavapipe.
                       "VKD3D_CONFIG": "virtual_heaps"}
        yield ["wine", str(FOLDER / "evenkeel.exe")], environment
