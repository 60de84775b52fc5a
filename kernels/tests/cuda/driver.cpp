// A library with the interface of CUDA's driver that runs kernels on the processor: images of compiler.cpp, one fiber for each
// thread of a block, one block after the other.
//
// Every call is done when it returns. Memory starts as 0xCD and has guards on both sides, which `cuMemFree` looks at. What a
// real driver would not survive (a barrier that not all threads reach, a write beside an allocation) ends the process. Built with
// -fsanitize=address, allocations end where they end, and so does the process at a read beside one.
//
// MINDIR_EMULATION: order of the threads, forward (default), backward or shuffled.
// MINDIR_EMULATION_BYTES: memory of the device, 4 GiB by default.
// MINDIR_EMULATION_ABSENT: there is no device.
// MINDIR_EMULATION_VERSION: version of CUDA that the driver knows, 13000 by default.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#include <algorithm>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <vector>

struct Index {
    unsigned x, y, z;
};

struct Machine {
    Index thread, block, threads, blocks;
    void (*barrier)(int line);
    void (*warp)(int line);
    unsigned long long* lanes;
};

enum Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    CAPTURE_UNSUPPORTED = 900,
};

static void fail(const char* what) {
    fprintf(stderr, "emulation: %s\n", what);
    abort();
}

// ---- Fibers ----

namespace fibers {

enum State { FRESH, READY, AT_BARRIER, AT_WARP, DONE };

struct Thread {
    State state;
    int line;
    ucontext_t context;
    void* stack;
};

const size_t STACK = 256 << 10;

static ucontext_t scheduler;
static std::vector<Thread> threads;
static std::vector<void*> stacks;
static std::vector<unsigned long long> lanes;
static Machine machine;
static unsigned current;
static void (*body)(void**);
static void** body_args;

// Before and after a switch to another stack, which the sanitizer is to know of.
#ifdef __SANITIZE_ADDRESS__
static const void* main_stack;
static size_t main_size;
static void leave(void** kept, const void* stack, size_t size) { __sanitizer_start_switch_fiber(kept, stack, size); }
static void arrive(void* kept, const void** from, size_t* size) { __sanitizer_finish_switch_fiber(kept, from, size); }
#else
static const void* main_stack;
static size_t main_size;
static void leave(void**, const void*, size_t) {}
static void arrive(void*, const void**, size_t*) {}
#endif

static void wait(State state, int line) {
    Thread& t = threads[current];
    t.state = state, t.line = line;
    void* kept = nullptr;
    leave(&kept, main_stack, main_size);
    swapcontext(&t.context, &scheduler);
    arrive(kept, &main_stack, &main_size);
}

static void at_barrier(int line) { wait(AT_BARRIER, line); }
static void at_warp(int line) { wait(AT_WARP, line); }

static void entry() {
    arrive(nullptr, &main_stack, &main_size);
    body(body_args);
    threads[current].state = DONE;
    leave(nullptr, main_stack, main_size);
    setcontext(&scheduler);
}

static void resume(unsigned i, Index shape) {
    Thread& t = threads[i];
    current = i;
    machine.thread = {i % shape.x, i / shape.x % shape.y, i / (shape.x * shape.y)};
    machine.lanes = &lanes[i / 32 * 128];
    if (t.state == FRESH) {
        if (stacks.empty()) stacks.push_back(malloc(STACK));
        t.stack = stacks.back();
        stacks.pop_back();
        getcontext(&t.context);
        t.context.uc_stack.ss_sp = t.stack;
        t.context.uc_stack.ss_size = STACK;
        t.context.uc_link = nullptr;
        makecontext(&t.context, entry, 0);
    }
    void* kept = nullptr;
    leave(&kept, t.stack, STACK);
    swapcontext(&scheduler, &t.context);
    arrive(kept, nullptr, nullptr);
    if (t.state == DONE) stacks.push_back(t.stack);
}

// Lets the threads from `first` on go, all of which must wait at one place.
static void release(unsigned first, unsigned end, State state) {
    for (unsigned i = first; i < end; i++) {
        if (threads[i].state != state || threads[i].line != threads[first].line) fail("not all threads reach a barrier");
        threads[i].state = READY;
    }
}

static bool any(unsigned first, unsigned end, State state) {
    for (unsigned i = first; i < end; i++) {
        if (threads[i].state == state) return true;
    }
    return false;
}

static void block(Index shape, const std::vector<unsigned>& order) {
    unsigned count = order.size();
    threads.resize(count);
    lanes.assign((count + 31) / 32 * 128, 0xcdcdcdcdcdcdcdcd);
    for (Thread& t : threads) t.state = FRESH;
    for (;;) {
        for (unsigned i : order) {
            if (threads[i].state == FRESH || threads[i].state == READY) resume(i, shape);
        }
        bool warps = false;
        for (unsigned w = 0; w < count; w += 32) {
            unsigned end = w + 32 < count ? w + 32 : count;
            if (any(w, end, AT_WARP)) {
                release(w, end, AT_WARP);
                warps = true;
            }
        }
        if (warps) continue;
        if (!any(0, count, AT_BARRIER)) return;
        release(0, count, AT_BARRIER);
    }
}

}  // namespace fibers

// ---- State ----

static std::recursive_mutex mutex;
#define LOCKED std::lock_guard<std::recursive_mutex> guard(mutex)

struct Module {
    int file;
    void* object;
    void (*bind)(Machine*);
    void (*run)(void**);
    int (*sizes)(unsigned*);
    void (*soil)();
};

struct Node {
    Module* module;
    Index blocks, threads;
    std::vector<std::string> args;
    // What is called with the only argument, if there is no module.
    void (*call)(const char*);
};

struct Graph {
    std::vector<Node> nodes;
};

struct Stream {
    Graph* capturing = nullptr;
};

struct Event {
    double seconds = 0;
};

static bool ready;
static int contexts;
static thread_local void* context;
static int the_context;
static std::map<uint64_t, size_t> memory;
static size_t used;
static long objects;

#ifdef __SANITIZE_ADDRESS__
static const size_t GUARD = 0;
#else
static const size_t GUARD = 256;
#endif

static size_t capacity() {
    const char* bytes = getenv("MINDIR_EMULATION_BYTES");
    return bytes ? strtoull(bytes, nullptr, 10) : (size_t)4 << 30;
}

#define CURRENT \
    if (!context) return INVALID_CONTEXT

static int allocate(uint64_t* address, size_t bytes) {
    CURRENT;
    if (bytes == 0) return INVALID_VALUE;
    if (bytes > capacity() - used) return OUT_OF_MEMORY;
    void* block;
    if (posix_memalign(&block, 256, bytes + 2 * GUARD)) return OUT_OF_MEMORY;
    char* start = (char*)block;
    memset(start, 0xab, GUARD);
    memset(start + GUARD, 0xcd, bytes);
    memset(start + GUARD + bytes, 0xab, GUARD);
    *address = (uint64_t)(start + GUARD);
    memory[*address] = bytes;
    used += bytes;
    return SUCCESS;
}

static int release(uint64_t address) {
    auto found = memory.find(address);
    if (found == memory.end()) return INVALID_VALUE;
    unsigned char* start = (unsigned char*)address - GUARD;
    for (size_t i = 0; i < GUARD; i++) {
        if (start[i] != 0xab || start[GUARD + found->second + i] != 0xab) fail("a write beside an allocation");
    }
    used -= found->second;
    memory.erase(found);
    free(start);
    return SUCCESS;
}

static bool inside(uint64_t address, size_t bytes) {
    auto after = memory.upper_bound(address);
    if (after == memory.begin()) return false;
    --after;
    return address + bytes <= after->first + after->second;
}

static void launch(const Node& node) {
    if (!node.module) return node.call(node.args[0].data());
    std::vector<unsigned> order(node.threads.x * node.threads.y * node.threads.z);
    for (unsigned i = 0; i < order.size(); i++) order[i] = i;
    const char* how = getenv("MINDIR_EMULATION");
    static std::mt19937 random(1);
    bool shuffled = how && !strcmp(how, "shuffled");
    if (how && !strcmp(how, "backward")) std::reverse(order.begin(), order.end());
    std::vector<void*> args;
    for (const std::string& arg : node.args) args.push_back((void*)arg.data());
    Machine& m = fibers::machine;
    m.threads = node.threads, m.blocks = node.blocks;
    m.barrier = fibers::at_barrier, m.warp = fibers::at_warp;
    node.module->bind(&m);
    fibers::body = node.module->run;
    fibers::body_args = args.data();
    for (unsigned z = 0; z < node.blocks.z; z++) {
        for (unsigned y = 0; y < node.blocks.y; y++) {
            for (unsigned x = 0; x < node.blocks.x; x++) {
                if (shuffled) std::shuffle(order.begin(), order.end(), random);
                m.block = {x, y, z};
                node.module->soil();
                fibers::block(node.threads, order);
            }
        }
    }
}

static double now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

// ---- The driver's functions ----

extern "C" {

// What is left: allocations, pinned memory, streams, events, graphs and modules. Not one of the driver's own.
long emulation_left() {
    LOCKED;
    return (long)memory.size() + objects;
}

// For other libraries of the emulation.
bool emulation_inside(uint64_t address, size_t bytes) {
    LOCKED;
    return inside(address, bytes);
}

void emulation_count(long more) {
    LOCKED;
    objects += more;
}

// Calls a function with a copy of `bytes` bytes in the order of a stream.
int emulation_enqueue(Stream* stream, void (*call)(const char*), const char* data, size_t bytes) {
    LOCKED;
    CURRENT;
    Node node{nullptr, {1, 1, 1}, {1, 1, 1}, {std::string(data, bytes)}, call};
    if (stream && stream->capturing) {
        stream->capturing->nodes.push_back(node);
    } else {
        launch(node);
    }
    return SUCCESS;
}

int cuInit(unsigned) {
    ready = true;
    return SUCCESS;
}

int cuDriverGetVersion(int* version) {
    const char* known = getenv("MINDIR_EMULATION_VERSION");
    *version = known ? atoi(known) : 13000;
    return SUCCESS;
}

int cuGetErrorString(int code, const char** text) {
    *text = code == OUT_OF_MEMORY ? "out of memory" : code == SUCCESS ? "no error" : "an error of the emulation";
    return SUCCESS;
}

int cuGetErrorName(int code, const char** text) {
    *text = code == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR";
    return SUCCESS;
}

int cuDeviceGetCount(int* count) {
    if (!ready) return NOT_INITIALIZED;
    *count = getenv("MINDIR_EMULATION_ABSENT") ? 0 : 1;
    return SUCCESS;
}

int cuDeviceGet(int* device, int ordinal) {
    if (!ready) return NOT_INITIALIZED;
    if (ordinal != 0) return INVALID_DEVICE;
    *device = 0;
    return SUCCESS;
}

int cuDeviceGetName(char* name, int length, int) {
    snprintf(name, length, "emulation");
    return SUCCESS;
}

int cuDeviceTotalMem_v2(size_t* bytes, int) {
    *bytes = capacity();
    return SUCCESS;
}

int cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case 1: *value = 1024; break;        // threads of a block
        case 5: *value = 2147483647; break;  // blocks, x
        case 6: *value = 65535; break;       // y
        case 7: *value = 65535; break;       // z
        case 8: *value = 49152; break;       // shared memory of a block
        case 10: *value = 32; break;         // warp size
        case 16: *value = 1; break;          // multiprocessors
        case 75: *value = 9; break;          // compute capability
        case 76: *value = 0; break;
        case 115: *value = 1; break;         // memory pools
        default: return INVALID_VALUE;
    }
    return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void** out, int) {
    contexts++;
    *out = &the_context;
    return SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int) {
    contexts--;
    return SUCCESS;
}

int cuCtxGetCurrent(void** out) {
    *out = context;
    return SUCCESS;
}

int cuCtxSetCurrent(void* to) {
    context = to;
    return SUCCESS;
}

int cuCtxSynchronize() {
    CURRENT;
    return SUCCESS;
}

int cuStreamCreate(Stream** stream, unsigned) {
    LOCKED;
    CURRENT;
    *stream = new Stream;
    objects++;
    return SUCCESS;
}

int cuStreamDestroy_v2(Stream* stream) {
    LOCKED;
    delete stream;
    objects--;
    return SUCCESS;
}

int cuStreamSynchronize(Stream* stream) {
    LOCKED;
    CURRENT;
    return stream && stream->capturing ? CAPTURE_UNSUPPORTED : SUCCESS;
}

int cuMemAllocAsync(uint64_t* address, size_t bytes, Stream* stream) {
    LOCKED;
    if (stream && stream->capturing) return CAPTURE_UNSUPPORTED;
    return allocate(address, bytes);
}

int cuMemFreeAsync(uint64_t address, Stream*) {
    LOCKED;
    CURRENT;
    return release(address);
}

int cuMemGetInfo_v2(size_t* free, size_t* total) {
    LOCKED;
    CURRENT;
    *total = capacity();
    *free = *total - used;
    return SUCCESS;
}

int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, Stream* stream) {
    LOCKED;
    CURRENT;
    if (stream && stream->capturing) return CAPTURE_UNSUPPORTED;
    if (!inside(to, bytes)) return INVALID_VALUE;
    memcpy((void*)to, from, bytes);
    return SUCCESS;
}

int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, Stream* stream) {
    LOCKED;
    CURRENT;
    if (stream && stream->capturing) return CAPTURE_UNSUPPORTED;
    if (!inside(from, bytes)) return INVALID_VALUE;
    memcpy(to, (const void*)from, bytes);
    return SUCCESS;
}

int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, Stream* stream) {
    LOCKED;
    CURRENT;
    if (stream && stream->capturing) return CAPTURE_UNSUPPORTED;
    if (!inside(from, bytes) || !inside(to, bytes)) return INVALID_VALUE;
    memcpy((void*)to, (const void*)from, bytes);
    return SUCCESS;
}

int cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, Stream* stream) {
    LOCKED;
    CURRENT;
    if (stream && stream->capturing) return CAPTURE_UNSUPPORTED;
    if (!inside(to, bytes)) return INVALID_VALUE;
    memset((void*)to, value, bytes);
    return SUCCESS;
}

int cuMemHostAlloc(void** address, size_t bytes, unsigned) {
    LOCKED;
    CURRENT;
    *address = malloc(bytes);
    objects++;
    return *address ? SUCCESS : OUT_OF_MEMORY;
}

int cuMemFreeHost(void* address) {
    LOCKED;
    CURRENT;
    free(address);
    objects--;
    return SUCCESS;
}

int cuModuleLoadData(Module** out, const void* image) {
    LOCKED;
    CURRENT;
    const char* bytes = (const char*)image;
    if (memcmp(bytes, "EMULATED", 8)) return INVALID_IMAGE;
    unsigned long long length;
    memcpy(&length, bytes + 8, 8);
    int file = memfd_create("kernel", 0);
    if (file < 0 || write(file, bytes + 16, length) != (ssize_t)length) fail("an image cannot be stored");
    std::string path = "/proc/self/fd/" + std::to_string(file);
    void* object = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!object) fprintf(stderr, "emulation: %s\n", dlerror());
    if (!object) {
        close(file);
        return INVALID_IMAGE;
    }
    // The file stays open, so that no other object gets its name.
    *out = new Module{file, object, (void (*)(Machine*))dlsym(object, "emulation_bind"),
                      (void (*)(void**))dlsym(object, "emulation_run"), (int (*)(unsigned*))dlsym(object, "emulation_sizes"),
                      (void (*)())dlsym(object, "emulation_soil")};
    objects++;
    return SUCCESS;
}

int cuModuleUnload(Module* module) {
    LOCKED;
    dlclose(module->object);
    close(module->file);
    delete module;
    objects--;
    return SUCCESS;
}

int cuModuleGetFunction(Module** function, Module* module, const char* name) {
    if (strcmp(name, "kernel")) return NOT_FOUND;
    *function = module;
    return SUCCESS;
}

int cuLaunchKernel(Module* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, Stream* stream, void** args, void**) {
    LOCKED;
    CURRENT;
    if (!gx || !gy || !gz || !bx || !by || !bz || shared || gy > 65535 || gz > 65535 || bx * by * bz > 1024) {
        return INVALID_VALUE;
    }
    unsigned sizes[256];
    int count = function->sizes(sizes);
    Node node{function, {gx, gy, gz}, {bx, by, bz}, {}, nullptr};
    for (int i = 0; i < count; i++) node.args.emplace_back((const char*)args[i], sizes[i]);
    if (stream && stream->capturing) {
        stream->capturing->nodes.push_back(node);
    } else {
        launch(node);
    }
    return SUCCESS;
}

int cuStreamBeginCapture_v2(Stream* stream, int) {
    LOCKED;
    CURRENT;
    if (!stream || stream->capturing) return CAPTURE_UNSUPPORTED;
    stream->capturing = new Graph;
    objects++;
    return SUCCESS;
}

int cuStreamEndCapture(Stream* stream, Graph** graph) {
    LOCKED;
    if (!stream->capturing) return INVALID_VALUE;
    *graph = stream->capturing;
    stream->capturing = nullptr;
    return SUCCESS;
}

int cuStreamIsCapturing(Stream* stream, int* status) {
    *status = stream->capturing ? 1 : 0;
    return SUCCESS;
}

int cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, unsigned long long) {
    LOCKED;
    *executable = new Graph(*graph);
    objects++;
    return SUCCESS;
}

int cuGraphUpload(Graph*, Stream*) { return SUCCESS; }

int cuGraphLaunch(Graph* graph, Stream* stream) {
    LOCKED;
    CURRENT;
    if (stream && stream->capturing) return CAPTURE_UNSUPPORTED;
    for (const Node& node : graph->nodes) launch(node);
    return SUCCESS;
}

int cuGraphExecDestroy(Graph* graph) {
    LOCKED;
    delete graph;
    objects--;
    return SUCCESS;
}

int cuGraphDestroy(Graph* graph) { return cuGraphExecDestroy(graph); }

int cuEventCreate(Event** event, unsigned) {
    LOCKED;
    CURRENT;
    *event = new Event;
    objects++;
    return SUCCESS;
}

int cuEventRecord(Event* event, Stream*) {
    LOCKED;
    CURRENT;
    event->seconds = now();
    return SUCCESS;
}

int cuEventSynchronize(Event*) { return SUCCESS; }
int cuEventQuery(Event*) { return SUCCESS; }

int cuEventElapsedTime_v2(float* milliseconds, Event* start, Event* end) {
    *milliseconds = (float)((end->seconds - start->seconds) * 1e3);
    return SUCCESS;
}

int cuEventDestroy_v2(Event* event) {
    LOCKED;
    delete event;
    objects--;
    return SUCCESS;
}
}
