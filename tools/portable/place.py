"""Where things are, and `tools/portability --setup`: what the compilers and drivers need goes to
target/portability, besides Debian's own packages, which apt installs."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DIR = ROOT / "target" / "portability"
RESULTS = DIR / "results"
NODE = DIR / "node"
WEBGPU = "0.6.2"
COMPUSHADY = "0.17.5"
DXC = DIR / "dxc" / "libdxcompiler_x86_64.so.3.7"
FXC_DLL = NODE / "node_modules/webgpu/dist/win32-x64/d3dcompiler_47.dll"
WINE = {"WINEPREFIX": str(DIR / "wine"), "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=;d3dcompiler_47=n"}
LIBRARIES = "usr/lib/x86_64-linux-gnu"
# Debian's Rust with the standard library's source.
RUST = DIR / "rust"
RUST_SOURCE = RUST / "usr/lib/rustlib/src/rust/library"
MESA25 = DIR / "mesa25" / LIBRARIES / "libvulkan_lvp.so"
SWIFTSHADER = DIR / "swiftshader" / "usr/lib/chromium/libvk_swiftshader.so"
CHROMIUM = pathlib.Path("/usr/lib/chromium/libvk_swiftshader.so")
BACKPORTS = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main"


def run(*command, **options):
    print("portability:", " ".join(str(c) for c in command), file=sys.stderr)
    subprocess.run([str(c) for c in command], check=True, **options)


def apt(*packages):
    root = [] if os.geteuid() == 0 else ["sudo"]
    run(*root, "apt-get", "update", "-q")
    run(*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-q", "-y",
        "--no-install-recommends", *packages)


def tint():
    if not shutil.which("npm"):
        apt("nodejs", "npm")
    NODE.mkdir(parents=True, exist_ok=True)
    (NODE / "package.json").write_text('{"private": true}\n', encoding="utf-8")
    run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", f"webgpu@{WEBGPU}", cwd=NODE)


def spirv_val():
    if not shutil.which("spirv-val"):
        apt("spirv-tools")


def dxc():
    folder = DXC.parent
    folder.mkdir(parents=True, exist_ok=True)
    run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder,
        f"compushady=={COMPUSHADY}")
    inside = f"compushady-{COMPUSHADY}/compushady/backends/{DXC.name}"
    run("tar", "-xzf", folder / f"compushady-{COMPUSHADY}.tar.gz", "-C", folder, "--strip-components=3", inside)


def metal():
    if not shutil.which("clang++"):
        apt("clang")


def fxc():
    if not (shutil.which("wine") and shutil.which("x86_64-w64-mingw32-gcc")):
        apt("wine", "wine64", "gcc-mingw-w64-x86-64")
    if not FXC_DLL.exists():
        tint()


def download(folder, options, *packages):
    """Debian packages, unpacked under target/portability beside the system's own."""
    debs = DIR / "debs" / folder
    debs.mkdir(parents=True, exist_ok=True)
    run("apt-get", *options, "download", *packages, cwd=debs)
    for deb in debs.glob("*.deb"):
        run("dpkg-deb", "-x", deb, DIR / folder)


def mesa25():
    """From bookworm-backports, which the system's sources need not have."""
    lists = DIR / "debs" / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    sources = DIR / "debs" / "backports.list"
    sources.write_text(BACKPORTS + "\n", encoding="utf-8")
    options = ["-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=/dev/null",
               "-o", f"Dir::State::lists={lists}"]
    run("apt-get", *options, "update", "-q")
    download("mesa25", options, "mesa-vulkan-drivers", "libdrm2")


def swiftshader():
    """In one of Debian's two packages of the browser, by its version."""
    if not CHROMIUM.exists():
        download("swiftshader", [], "chromium", "chromium-common")
        if not SWIFTSHADER.exists():
            sys.exit(f"portability: {SWIFTSHADER.name} is in none of Debian's packages of Chromium here")


def dx12():
    """Debian's `rustc-web` (for its browsers) is the new Rust there; its libraries have their version in their names."""
    if not (shutil.which("wine") and shutil.which("x86_64-w64-mingw32-gcc") and shutil.which("Xvfb")):
        apt("wine", "wine64", "gcc-mingw-w64-x86-64", "xvfb")
    about = subprocess.run(["apt-cache", "show", "--no-all-versions", "rustc-web"], capture_output=True, text=True).stdout
    version = re.search(r"^Version: (\d+\.\d+)", about, re.M)
    if not version:
        sys.exit("portability: no package rustc-web here; with rustup, `rustup target add x86_64-pc-windows-gnu` does as well")
    library = f"libstd-rust-web-{version[1]}"
    depends = subprocess.run(["apt-cache", "depends", library], capture_output=True, text=True).stdout
    llvm = re.findall(r"Depends: (libllvm\S+)", depends)
    download("rust", [], "rustc-web", library, "libstd-rust-web-dev", "rust-web-src", *llvm)
    for needed, name in ((FXC_DLL, tint), (MESA25, mesa25)):
        if not needed.exists():
            name()


def dawn():
    tint()
    if not MESA25.exists():
        mesa25()


SETUP = {"tint": tint, "spirv-val": spirv_val, "dxc": dxc, "metal": metal, "fxc": fxc, "mesa25": mesa25,
         "swiftshader": swiftshader, "dawn": dawn, "dx12": dx12}


@contextlib.contextmanager
def alone(name):
    """Holds target/portability/NAME for this process; another that has it is an error."""
    DIR.mkdir(parents=True, exist_ok=True)
    with open(DIR / f"{name}.lock", "w") as lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            pass  # Windows has no such locks.
        except OSError:
            sys.exit(f"portability: another run of this command works in {DIR / name}")
        yield


def driver(name):
    """The environment that makes Vulkan's loader use the driver `name`, or None where it is absent."""
    library = {"mesa25": [MESA25], "swiftshader": [SWIFTSHADER, CHROMIUM]}[name]
    found = next((path for path in library if path.exists()), None)
    if found is None:
        return None
    icd = DIR / f"{name}.json"
    icd.write_text(json.dumps({"file_format_version": "1.0.0",
                               "ICD": {"library_path": str(found), "api_version": "1.1.0"}}) + "\n")
    environment = {"VK_ICD_FILENAMES": str(icd), "VK_DRIVER_FILES": str(icd)}
    if name == "mesa25":
        environment["LD_LIBRARY_PATH"] = str(DIR / "mesa25" / LIBRARIES)
    return environment
