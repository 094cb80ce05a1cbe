// Microsoft's FXC (d3dcompiler_47.dll) as wgpu calls it, for Windows or Wine.
//   fxc.exe < LIST     lines of "ID ENTRY PROFILE PATH"; for each, one line "ID OK MILLISECONDS BYTES" on
//                      stdout, OK 1 or 0, and the compiler's words for a failure up to a line ".". The
//                      time is the processor's, since other work may have the machine too.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#define D3DCOMPILE_ENABLE_STRICTNESS (1 << 11)

typedef struct Blob Blob;
struct Blob {
    struct {
        HRESULT(WINAPI *query)(Blob *, const void *, void **);
        ULONG(WINAPI *retain)(Blob *);
        ULONG(WINAPI *release)(Blob *);
        void *(WINAPI *start)(Blob *);
        SIZE_T(WINAPI *size)(Blob *);
    } *methods;
};
typedef HRESULT(WINAPI *Compile)(const void *, SIZE_T, const char *, const void *, void *, const char *,
                                 const char *, UINT, UINT, Blob **, Blob **);

static char text[4 << 20];

// Milliseconds of processor time that this process has taken.
static double used(void) {
    FILETIME made, ended, kernel, user;
    GetProcessTimes(GetCurrentProcess(), &made, &ended, &kernel, &user);
    return (kernel.dwLowDateTime + (double)user.dwLowDateTime) / 1e4 +
           (kernel.dwHighDateTime + (double)user.dwHighDateTime) * 4294967296.0 / 1e4;
}

int main(void) {
    HMODULE library = LoadLibraryA("d3dcompiler_47.dll");
    Compile compile = library ? (Compile)(void *)GetProcAddress(library, "D3DCompile") : NULL;
    if (!compile) {
        fprintf(stderr, "d3dcompiler_47.dll does not load: %lu\n", GetLastError());
        return 2;
    }
    char line[2048], id[64], entry[256], profile[64], path[1024];
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "%63s %255s %63s %1023[^\r\n]", id, entry, profile, path) != 4) continue;
        FILE *file = fopen(path, "rb");
        if (!file) {
            printf("%s 0 0 0\ncannot open %s\n.\n", id, path);
            continue;
        }
        size_t size = fread(text, 1, sizeof text, file);
        fclose(file);
        Blob *code = NULL, *words = NULL;
        double before = used();
        HRESULT result = compile(text, size, path, NULL, NULL, entry, profile,
                                 D3DCOMPILE_ENABLE_STRICTNESS, 0, &code, &words);
        double ms = used() - before;
        int good = SUCCEEDED(result) && code;
        printf("%s %d %.1f %lu\n", id, good, ms, code ? (unsigned long)code->methods->size(code) : 0);
        if (!good) {
            if (words) fwrite(words->methods->start(words), 1, words->methods->size(words) - 1, stdout);
            printf("\n.\n");
        }
        fflush(stdout);
        if (code) code->methods->release(code);
        if (words) words->methods->release(words);
    }
    return 0;
}
