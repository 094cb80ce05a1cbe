"""No Metal compiler exists off Apple's systems: clang type-checks naga's MSL as C++ against a stub of
Metal's library, made here. It finds wrong syntax, names, types and argument counts; it knows nothing of
address spaces (`device`, `threadgroup` and so on are empty words) and makes no code.

Vectors are clang's; `float4(…)` is a macro for a function that counts and flattens its arguments.
"""

import concurrent.futures
import os
import re
import subprocess

SCALARS = {"float": "float", "half": "_Float16", "int": "int", "uint": "unsigned", "bool": "int"}
BATCH = 25

HEAD = """#pragma once
#define device
#define threadgroup
#define thread
#define constant const
#define kernel
typedef unsigned int uint;
typedef _Float16 half;
template <class T> struct shape { static constexpr int n = 1; using element = T; };
namespace metal {
using ::uint;
using ::half;
"""

TAIL = ["""
template <class T> struct identity { using type = T; };
template <class T> using same = typename identity<T>::type;
template <class V, class... A> V make(A... a) {
    using E = typename shape<V>::element;
    constexpr int given = (0 + ... + shape<A>::n), n = shape<V>::n;
    static_assert(given == n || given == 1 || given == 0, "a vector of another number of elements");
    E flat[given > n ? given : n] = {}, *p = flat;
    auto put = [&](auto x) {
        if constexpr (shape<decltype(x)>::n == 1) *p++ = (E)x;
        else for (int i = 0; i < shape<decltype(x)>::n; i++) *p++ = (E)x[i];
    };
    (put(a), ...);
    V v;
    for (int i = 0; i < n; i++) v[i] = flat[given == 1 ? 0 : i];
    return v;
}
struct float4x4 {
    float4 c[4];
    float4x4() = default;
    float4x4(float4, float4, float4, float4);
    float4 &operator[](int);
    const float4 &operator[](int) const;
};
float4 operator*(float4x4, float4);
float4 operator*(float4, float4x4);
float4x4 operator*(float4x4, float4x4);
float4x4 operator*(float4x4, float);
float4x4 operator*(float, float4x4);
float4x4 operator+(float4x4, float4x4);
float4x4 operator-(float4x4, float4x4);
float4x4 transpose(float4x4);
template <class T> T min(T, same<T>);
template <class T> T max(T, same<T>);
template <class T> T clamp(T, same<T>, same<T>);
template <class T> T abs(T);
template <class T> T fma(T, same<T>, same<T>);
template <class T> T mix(T, same<T>, same<T>);
template <class T, class B> T select(T, same<T>, B b) {
    static_assert(shape<B>::n == shape<T>::n || shape<B>::n == 1, "select by another number of conditions");
    return T{};
}
template <class T> typename shape<T>::element dot(T, same<T>);
template <class B> bool all(B);
template <class B> bool any(B);
enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4 };
void threadgroup_barrier(mem_flags);
void simdgroup_barrier(mem_flags);
template <class T> T simd_sum(T);
template <class T> T simd_max(T);
template <class T> T simd_min(T);
template <class T> T simd_broadcast(T, unsigned short);
template <class T> T simd_shuffle(T, unsigned short);
template <class T> T simd_shuffle_xor(T, unsigned short);
template <class T> T simd_shuffle_up(T, unsigned short);
template <class T> T simd_shuffle_down(T, unsigned short);
enum memory_order { memory_order_relaxed };
template <class T> struct atomic { T value; };
typedef atomic<uint> atomic_uint;
typedef atomic<int> atomic_int;
template <class T> T atomic_load_explicit(const atomic<T> *, memory_order);
template <class T> void atomic_store_explicit(atomic<T> *, same<T>, memory_order);
template <class T> T pow(T, same<T>);
""", """
enum class access { read, write, read_write };
template <class T, access A> struct texture2d {
    static_assert(sizeof(T) == 4, "textures here hold floats");
    uint get_width(uint = 0) const;
    uint get_height(uint = 0) const;
    float4 read(uint2, uint = 0) const;
};
}
template <class T, class U> T as_type(U x) {
    static_assert(sizeof(T) == sizeof(U), "as_type between sizes");
    T y;
    __builtin_memcpy(&y, &x, sizeof y);
    return y;
}
"""]
FLOATS = ("sin cos tan asin acos atan sinh cosh tanh exp exp2 log log2 sqrt rsqrt ceil floor round rint trunc fract sign "
          "saturate").split()
ATOMICS = "add sub and or xor min max".split()


def stub():
    """The text of the stub."""
    out = [HEAD]
    for name, c in SCALARS.items():
        out += [f"typedef {c} {name}{n} __attribute__((ext_vector_type({n})));" for n in (2, 3, 4)]
        out += [f"typedef {name}{n} packed_{name}{n};" for n in (2, 3, 4)]
    out.append("} // shapes are told outside")
    for name, c in SCALARS.items():
        # bool4 is int4 to clang: comparisons give that.
        out += [f"template <> struct shape<metal::{name}{n}> {{ static constexpr int n = {n}; using element = {c}; }};"
                for n in (2, 3, 4) if name != "bool"]
    out.append("namespace metal {" + TAIL[0])
    out += [f"template <class T> T {name}(T);" for name in FLOATS]
    out += [f"template <class T> T atomic_fetch_{name}_explicit(atomic<T> *, same<T>, memory_order);" for name in ATOMICS]
    out.append(TAIL[1])
    out.append("using namespace metal;")
    for name in SCALARS:
        made = "int" if name == "bool" else name
        out += [f"#define {name}{n}(...) make<{made}{n}>(__VA_ARGS__)" for n in (2, 3, 4)]
    # Metal casts vectors element by element; C++ does not.
    out.append("template <class T, class U> T element_cast(U x) { if constexpr (shape<T>::n == 1) return (T)x; "
               "else return make<T>(x); }\n#define static_cast element_cast")
    return "\n".join(out) + "\n"


def check(jobs, folder):
    """Type-checks kernels, several in one run of clang, each in a namespace; errors are told by kernel."""
    (folder / "simd").mkdir(parents=True, exist_ok=True)
    (folder / "metal_stdlib").write_text(stub(), encoding="utf-8")
    (folder / "simd" / "simd.h").write_text("#pragma once\n")
    batches = [jobs[i:i + BATCH] for i in range(0, len(jobs), BATCH)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [answer for part in pool.map(lambda b: batch(*b), enumerate_with(batches, folder)) for answer in part]


def enumerate_with(batches, folder):
    return [(i, jobs, folder) for i, jobs in enumerate(batches)]


def batch(number, jobs, folder):
    source = folder / f"{number}.cpp"
    with open(source, "w") as out:
        out.write("#include <metal_stdlib>\n")
        for job in jobs:
            with open(job["path"]) as file:
                text = re.sub(r"^#include .*$", "", file.read(), flags=re.M)
            # An alias of a vector is called as the vector is.
            aliases = re.findall(r"^typedef metal::(\w+[234]) (\w+);", text, flags=re.M)
            out.writelines(f"#define {alias}(...) make<{vector}>(__VA_ARGS__)\n" for vector, alias in aliases)
            out.write(f"namespace kernel_{job['id']} {{\n#line 1 \"kernel_{job['id']}\"\n{text}\n}}\n")
            out.writelines(f"#undef {alias}\n" for _, alias in aliases)
    done = subprocess.run(["clang++", "-x", "c++", "-std=c++17", "--target=aarch64-linux-gnu", "-ffreestanding",
                           "-fsyntax-only", "-ferror-limit=0", "-Xclang", "-cl-single-precision-constant", "-I", folder, "-w", source],
                          capture_output=True, text=True)
    wrong = {}
    for line in done.stderr.splitlines():
        at = re.match(r"kernel_(\d+):(\d+):\d+: (?:fatal )?error: (.*)", line)
        if at:
            wrong.setdefault(int(at[1]), []).append(f"line {at[2]}: {at[3]}")
    if done.returncode and not wrong:
        return [{"id": j["id"], "ok": False, "message": done.stderr[-600:]} for j in jobs]
    return [{"id": j["id"], "ok": j["id"] not in wrong, "message": "\n".join(wrong.get(j["id"], [])[:3])}
            for j in jobs]
