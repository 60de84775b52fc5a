// A library with cuBLASLt's interface for the emulating driver: it looks at layouts and arguments, and computes products.
//
// What the library would not take is an error; so is memory beside an allocation, and an algorithm that was found for another
// product.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };

struct Layout {
    int type;
    uint64_t rows, cols;
    int64_t ld;
    int batches;
    int64_t stride;
};

struct Operation {
    int compute, scale, left, right, epilogue;
    uint64_t bias;
};

struct Preference {
    size_t workspace;
    unsigned reductions;
    unsigned alignment[4];
};

struct Algorithm {
    uint64_t product;
    unsigned alignment[4];
    uint64_t workspace, rest[4];
};
static_assert(sizeof(Algorithm) == 64, "the library's size");

struct Found {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

// A product as it waits in a stream or a graph.
struct Job {
    Operation operation;
    Layout left, right, result;
    uint64_t a, b, c;
};

template <class F>
static F of_driver(const char* name) {
    F found = (F)dlsym(dlopen("libcuda.so", RTLD_NOW), name);
    if (!found) abort();
    return found;
}
static bool inside(uint64_t address, uint64_t bytes) {
    return of_driver<bool (*)(uint64_t, size_t)>("emulation_inside")(address, bytes);
}
static bool has_context() {
    void* context = nullptr;
    of_driver<int (*)(void**)>("cuCtxGetCurrent")(&context);
    return context;
}
static void count(long more) { of_driver<void (*)(long)>("emulation_count")(more); }

static size_t size(int type) { return type == 0 ? 4 : 2; }

static float load(int type, uint64_t base, int64_t i) {
    const char* at = (const char*)base + i * (int64_t)size(type);
    if (type == 0) return *(const float*)at;
    if (type == 2) return (float)*(const _Float16*)at;
    uint32_t bits = (uint32_t) * (const uint16_t*)at << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

static void store(int type, uint64_t base, int64_t i, float x) {
    char* at = (char*)base + i * (int64_t)size(type);
    if (type == 0) *(float*)at = x;
    if (type == 2) *(_Float16*)at = (_Float16)x;
    if (type != 14) return;
    uint32_t bits;
    memcpy(&bits, &x, 4);
    bits = x == x ? bits + 0x7fff + (bits >> 16 & 1) : bits | 1 << 22;
    *(uint16_t*)at = (uint16_t)(bits >> 16);
}

// Bytes from the first element to behind the last one.
static uint64_t extent(const Layout& m) {
    uint64_t last = (m.batches - 1) * m.stride + (int64_t)(m.cols - 1) * m.ld + (int64_t)m.rows;
    return last * size(m.type);
}

// The nearest number with 10 bits of mantissa.
static float rounded(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    bits = (bits + 0x1000) & ~0x1fffu;
    memcpy(&x, &bits, 4);
    return x;
}

static uint64_t depth(const Job& job) { return job.operation.left ? job.left.rows : job.left.cols; }

static void compute(const char* data) {
    const Job& job = *(const Job*)data;
    const Operation& op = job.operation;
    const bool tf32 = op.compute == 77;
    const int type = job.left.type, out = job.result.type;
    for (int p = 0; p < job.result.batches; p++) {
        for (uint64_t j = 0; j < job.result.cols; j++) {
            for (uint64_t i = 0; i < job.result.rows; i++) {
                float sum = 0;
                for (uint64_t k = 0; k < depth(job); k++) {
                    int64_t a = op.left ? k + i * job.left.ld : i + k * job.left.ld;
                    int64_t b = op.right ? j + k * job.right.ld : k + j * job.right.ld;
                    float x = load(type, job.a, p * job.left.stride + a), y = load(type, job.b, p * job.right.stride + b);
                    sum += tf32 ? rounded(x) * rounded(y) : x * y;
                }
                if (op.epilogue == 4) sum += load(out, op.bias, i);
                store(out, job.c, p * job.result.stride + i + j * job.result.ld, sum);
            }
        }
    }
}

static bool is_layout(const Layout& m) {
    bool type = m.type == 0 || m.type == 2 || m.type == 14;
    return type && m.rows && m.cols && m.ld >= (int64_t)m.rows && m.batches > 0 && (m.batches == 1 || m.stride >= 0);
}

// Whether the matrices make a product, of true f32 or of tf32.
static bool agrees(const Job& job) {
    const Operation& op = job.operation;
    const Layout &a = job.left, &b = job.right, &c = job.result;
    bool layouts = is_layout(a) && is_layout(b) && is_layout(c) && a.type == b.type && (a.type == c.type || c.type == 0);
    bool batches = a.batches == c.batches && b.batches == c.batches && (c.batches == 1 || c.stride > 0);
    bool sizes = (op.left ? a.cols : a.rows) == c.rows && (op.right ? b.rows : b.cols) == c.cols &&
                 (op.right ? b.cols : b.rows) == depth(job);
    return layouts && batches && sizes && (op.compute == 68 || (op.compute == 77 && a.type == 0)) && op.scale == 0 && (op.epilogue == 1 || op.epilogue == 4);
}

static uint64_t sum(const Job& job) {
    Job plain = job;
    plain.operation.bias = plain.a = plain.b = plain.c = 0;
    uint64_t sum = 0xcbf29ce484222325;
    for (size_t i = 0; i < sizeof plain; i++) sum = (sum ^ ((const unsigned char*)&plain)[i]) * 0x100000001b3;
    return sum;
}

static Job job(const Operation* op, const Layout* a, const Layout* b, const Layout* c) {
    Job job;
    memset((void*)&job, 0, sizeof job);
    memcpy((void*)&job.operation, op, sizeof *op);
    memcpy((void*)&job.left, a, sizeof *a);
    memcpy((void*)&job.right, b, sizeof *b);
    memcpy((void*)&job.result, c, sizeof *c);
    return job;
}

template <class T>
static int make(T** out, T first) {
    *out = (T*)calloc(1, sizeof(T));
    **out = first;
    count(1);
    return SUCCESS;
}

static int end(void* object) {
    free(object);
    count(-1);
    return SUCCESS;
}

template <class T>
static int put(T* to, const void* value, size_t bytes) {
    if (bytes != sizeof(T)) return INVALID_VALUE;
    memcpy(to, value, bytes);
    return SUCCESS;
}

extern "C" {

size_t cublasLtGetVersion() { return 130000; }

int cublasLtCreate(long** handle) { return has_context() ? make(handle, 1L) : INVALID_VALUE; }
int cublasLtDestroy(long* handle) { return end(handle); }

int cublasLtMatrixLayoutCreate(Layout** out, int type, uint64_t rows, uint64_t cols, int64_t ld) {
    Layout m;
    memset((void*)&m, 0, sizeof m);
    m.type = type, m.rows = rows, m.cols = cols, m.ld = ld, m.batches = 1;
    *out = (Layout*)calloc(1, sizeof m);
    memcpy((void*)*out, &m, sizeof m);
    count(1);
    return SUCCESS;
}
int cublasLtMatrixLayoutDestroy(Layout* m) { return end(m); }

int cublasLtMatrixLayoutSetAttribute(Layout* m, int attribute, const void* value, size_t bytes) {
    switch (attribute) {
        case 5: return put(&m->batches, value, bytes);
        case 6: return put(&m->stride, value, bytes);
        default: return INVALID_VALUE;
    }
}

int cublasLtMatmulDescCreate(Operation** out, int compute, int scale) {
    return make(out, Operation{compute, scale, 0, 0, 1, 0});
}
int cublasLtMatmulDescDestroy(Operation* op) { return end(op); }

int cublasLtMatmulDescSetAttribute(Operation* op, int attribute, const void* value, size_t bytes) {
    switch (attribute) {
        case 3: return put(&op->left, value, bytes);
        case 4: return put(&op->right, value, bytes);
        case 7: return put(&op->epilogue, value, bytes);
        case 8: return put(&op->bias, value, bytes);
        default: return INVALID_VALUE;
    }
}

int cublasLtMatmulPreferenceCreate(Preference** out) { return make(out, Preference{0, 7, {256, 256, 256, 256}}); }
int cublasLtMatmulPreferenceDestroy(Preference* wanted) { return end(wanted); }

int cublasLtMatmulPreferenceSetAttribute(Preference* wanted, int attribute, const void* value, size_t bytes) {
    if (attribute == 1) return put(&wanted->workspace, value, bytes);
    if (attribute == 3) return put(&wanted->reductions, value, bytes);
    if (attribute < 5 || attribute > 8) return INVALID_VALUE;
    return put(&wanted->alignment[attribute - 5], value, bytes);
}

// MINDIR_EMULATION_LT=none: the library knows no algorithm.
int cublasLtMatmulAlgoGetHeuristic(long*, Operation* op, Layout* a, Layout* b, Layout* c, Layout* d, Preference* wanted, int most,
                                   Found* found, int* count) {
    *count = 0;
    const char* how = getenv("MINDIR_EMULATION_LT");
    if (how && !strcmp(how, "none")) return NOT_SUPPORTED;
    Job asked = job(op, a, b, c);
    bool in_full = wanted->workspace <= 32 << 20 && wanted->reductions == 2;
    if (!has_context() || c != d || most != 1 || !agrees(asked) || !in_full) return INVALID_VALUE;
    memset((void*)found, 0, sizeof *found);
    found->algorithm.product = sum(asked);
    memcpy(found->algorithm.alignment, wanted->alignment, sizeof wanted->alignment);
    found->algorithm.workspace = found->workspace = wanted->workspace;
    *count = 1;
    return SUCCESS;
}

int cublasLtMatmul(long* handle, Operation* op, const float* alpha, uint64_t a, Layout* left, uint64_t b, Layout* right,
                   const float* beta, uint64_t c, Layout* result, uint64_t d, Layout* same, const Algorithm* algorithm,
                   uint64_t workspace, size_t bytes, void* stream) {
    Job asked = job(op, left, right, result);
    asked.a = a, asked.b = b, asked.c = c;
    bool arguments = handle && *handle == 1 && *alpha == 1 && *beta == 0 && c == d && result == same;
    bool found = algorithm && algorithm->product == sum(asked) && bytes >= algorithm->workspace && inside(workspace, bytes);
    if (!arguments || !found || !agrees(asked)) return INVALID_VALUE;
    const unsigned* least = algorithm->alignment;
    if (a % least[0] || b % least[1] || c % least[2] || d % least[3]) return INVALID_VALUE;
    if (!inside(a, extent(*left)) || !inside(b, extent(*right)) || !inside(c, extent(*result))) return INVALID_VALUE;
    if (op->epilogue == 4 && !inside(op->bias, result->rows * size(result->type))) return INVALID_VALUE;
    // What a product uses besides its operands holds nothing of another one.
    memset((void*)workspace, 0xcd, bytes < 4096 ? bytes : 4096);
    auto enqueue = of_driver<int (*)(void*, void (*)(const char*), const char*, size_t)>("emulation_enqueue");
    return enqueue(stream, compute, (const char*)&asked, sizeof asked) ? INVALID_VALUE : SUCCESS;
}
}
