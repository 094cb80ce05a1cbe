"""Microsoft's DXC from its Linux library, called through ctypes as wgpu calls the DLL.

  dxc.py LIBRARY      lines of JSON on stdin, {"id", "path", "entry", "profile"};
                      one line each on stdout, {"id", "ok", "message", "seconds"}

A process of its own, so that a crash of the compiler is a failure of one kernel and not of the run.
"""

import ctypes
import json
import sys
import time
import uuid

# Libraries before 1.7.2212 have the two virtual destructors of Linux's ABI after IUnknown's three methods.
DESTRUCTORS = 2
COMPILER = "73e22d93-e6ce-47f3-b5bf-f0664f39c1b0"
COMPILER3 = "228b4687-5a6a-4730-900c-9702b2203f54"
RESULT = "58346cda-dde7-4497-9461-6f87af5e0659"
UTF8 = 65001


class Source(ctypes.Structure):
    _fields_ = [("text", ctypes.c_void_p), ("size", ctypes.c_size_t), ("encoding", ctypes.c_uint)]


def guid(text):
    return (ctypes.c_ubyte * 16).from_buffer_copy(uuid.UUID(text).bytes_le)


def method(thing, index, *types, result=ctypes.c_int32):
    """Method `index` of a COM object."""
    table = ctypes.cast(ctypes.cast(thing, ctypes.POINTER(ctypes.c_void_p))[0], ctypes.POINTER(ctypes.c_void_p))
    address = table[index if index < 3 else index + DESTRUCTORS]
    function = ctypes.CFUNCTYPE(result, ctypes.c_void_p, *types)(address)
    return lambda *args: function(thing, *args)


def release(*things):
    for thing in things:
        if thing:
            method(thing, 2, result=ctypes.c_uint32)()


def content(blob):
    if not blob:
        return b""
    start, size = method(blob, 3, result=ctypes.c_void_p)(), method(blob, 4, result=ctypes.c_size_t)()
    return ctypes.string_at(start, size) if start else b""


def compile_hlsl(compiler, text, entry, profile):
    """Whether it compiled, and the compiler's words."""
    words = ["-E", entry, "-T", profile, "-HV", "2018", "-no-warnings", "-Ges"]
    if profile == "cs_6_2":
        words.append("-enable-16bit-types")
    args = (ctypes.c_wchar_p * len(words))(*words)
    source = Source(ctypes.cast(ctypes.c_char_p(text), ctypes.c_void_p), len(text), UTF8)
    pointer, kind, result = ctypes.c_void_p, guid(RESULT), ctypes.c_void_p()
    call = method(compiler, 3, pointer, pointer, ctypes.c_uint32, pointer, pointer, pointer)
    code = call(ctypes.addressof(source), ctypes.addressof(args), len(words), None,
                ctypes.addressof(kind), ctypes.addressof(result))
    if code:
        return False, f"IDxcCompiler3::Compile: {code & 0xFFFFFFFF:#x}"
    status, errors, output = ctypes.c_int32(), pointer(), pointer()
    method(result.value, 3, pointer)(ctypes.addressof(status))
    method(result.value, 5, pointer)(ctypes.addressof(errors))
    method(result.value, 4, pointer)(ctypes.addressof(output))
    message, made = content(errors.value).decode(errors="replace"), content(output.value)
    release(errors.value, output.value, result.value)
    ok = status.value == 0 and made[:4] == b"DXBC"
    return ok, message if not ok else ""


def main():
    create = ctypes.CDLL(sys.argv[1]).DxcCreateInstance
    compiler, kind, what = ctypes.c_void_p(), guid(COMPILER), guid(COMPILER3)
    code = create(kind, what, ctypes.byref(compiler))
    if code:
        sys.exit(f"DxcCreateInstance: {code & 0xFFFFFFFF:#x}")
    for line in sys.stdin:
        job = json.loads(line)
        with open(job["path"], "rb") as file:
            text = file.read()
        start = time.process_time()
        ok, message = compile_hlsl(compiler.value, text, job["entry"], job["profile"])
        seconds = round(time.process_time() - start, 4)
        print(json.dumps({"id": job["id"], "ok": ok, "message": message, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
