// Runs the blocks of one launch, one after the other, each with its threads as contexts on stacks of their own.
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cuda.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace {

const size_t PAGE = 4096, STACK = 64 * 1024;
const int MOST = 1024;

enum State { READY, AT_BARRIER, AT_COLLECTIVE, DONE };

struct Thread {
    void* top;  // its stack pointer while it does not run
    State state;
    const char* file;  // where it waits
    int line;
    unsigned mask;
    uint64_t brought;
};

// What went wrong, for the loader to put into words. Kinds: 1 memory, 2 barrier, 3 warp, 4 index
struct Fault {
    int kind;
    int line;
    char file[256];
    char message[512];
    uint64_t address;
    uint64_t program_counter;
    unsigned block[3], thread[3];
};

Thread threads[MOST];
uint64_t gathered[MOST / 32][32];
char* stacks;
void* scheduler;
int current, count;
void (*kernel)(void**);
void** kernel_arguments;
char* dynamic_block;
Fault* fault;
sigjmp_buf out;
bool running;

// Save the callee-saved registers on this stack, go on with another (System V ABI).
extern "C" void switch_stacks(void** from, void* to);
#if defined(__x86_64__)
asm(R"(
.text
.globl switch_stacks
switch_stacks:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
const int SAVED = 6;
#elif defined(__aarch64__)
asm(R"(
.text
.globl switch_stacks
switch_stacks:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");
#else
#error "the emulator switches stacks on x86-64 and AArch64 only"
#endif

void yield() { switch_stacks(&threads[current].top, scheduler); }

void thread_main() {
    kernel(kernel_arguments);
    threads[current].state = DONE;
    yield();
    abort();  // a thread that has ended is not resumed
}

void prepare(int t) {
    Thread& thread = threads[t];
    thread.state = READY;
    char* end = stacks + (t + 1) * STACK;
#if defined(__x86_64__)
    void** top = reinterpret_cast<void**>(end) - 1;  // as after a call: 8 bytes off a multiple of 16
    *top = nullptr;
    *--top = reinterpret_cast<void*>(thread_main);
    for (int i = 0; i < SAVED; i++) *--top = nullptr;
    thread.top = top;
#else
    void** top = reinterpret_cast<void**>(end - 160);
    memset(top, 0, 160);
    top[11] = reinterpret_cast<void*>(thread_main);  // x30, where the switch returns to
    thread.top = top;
#endif
}

void locate(int t) {
    threadIdx.x = t % blockDim.x;
    threadIdx.y = t / blockDim.x % blockDim.y;
    threadIdx.z = t / (blockDim.x * blockDim.y);
}

void note(int kind, const char* file, int line) {
    fault->kind = kind;
    fault->line = line;
    snprintf(fault->file, sizeof fault->file, "%s", file ? file : "");
    const unsigned b[3] = {blockIdx.x, blockIdx.y, blockIdx.z}, t[3] = {threadIdx.x, threadIdx.y, threadIdx.z};
    memcpy(fault->block, b, sizeof b);
    memcpy(fault->thread, t, sizeof t);
}

[[noreturn]] void leave() { siglongjmp(out, 1); }

void on_signal(int number, siginfo_t* info, void* context) {
    (void)number;
    if (!running) _exit(139);
    note(1, "", 0);
    fault->address = reinterpret_cast<uint64_t>(info->si_addr);
#if defined(__x86_64__)
    fault->program_counter = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[16];  // REG_RIP
#elif defined(__aarch64__)
    fault->program_counter = static_cast<ucontext_t*>(context)->uc_mcontext.pc;
#endif
    leave();
}

const char* doing(const Thread& thread, char* text, size_t size) {
    if (thread.state == DONE) snprintf(text, size, "has ended");
    else snprintf(text, size, "waits at %s:%d", thread.file, thread.line);
    return text;
}

// No thread can go on: say which two are in each other's way.
void report_stuck(int kind, int first, int other) {
    locate(first);
    note(kind, threads[first].file, threads[first].line);
    char a[300], b[300];
    snprintf(fault->message, sizeof fault->message, "thread %d %s, but thread %d %s", first,
             doing(threads[first], a, sizeof a), other, doing(threads[other], b, sizeof b));
    leave();
}

bool release_warps() {
    bool any = false;
    for (int warp = 0; warp * 32 < count; warp++) {
        for (int lane = 0; lane < 32 && warp * 32 + lane < count; lane++) {
            Thread& leader = threads[warp * 32 + lane];
            if (leader.state != AT_COLLECTIVE || !(leader.mask >> lane & 1)) continue;
            bool complete = true;
            for (int i = 0; i < 32 && complete; i++) {
                if (!(leader.mask >> i & 1)) continue;
                if (warp * 32 + i >= count) {  // a lane that the block does not have
                    if (leader.mask != 0xffffffffu) report_stuck(3, warp * 32 + lane, warp * 32 + lane);
                    continue;
                }
                const Thread& peer = threads[warp * 32 + i];
                complete = peer.state == AT_COLLECTIVE && peer.mask == leader.mask && peer.line == leader.line;
            }
            if (!complete) continue;
            memset(gathered[warp], 0xff, sizeof gathered[warp]);
            for (int i = 0; i < 32 && warp * 32 + i < count; i++)
                if (leader.mask >> i & 1) {
                    gathered[warp][i] = threads[warp * 32 + i].brought;
                    if (i != lane) threads[warp * 32 + i].state = READY;
                }
            leader.state = READY;
            any = true;
        }
    }
    return any;
}

void run_block(const int* order) {
    for (int t = 0; t < count; t++) prepare(t);
    for (;;) {
        for (int i = 0; i < count; i++) {
            int t = order[i];
            if (threads[t].state != READY) continue;
            current = t;
            locate(t);
            switch_stacks(&scheduler, threads[t].top);
        }
        if (release_warps()) continue;
        int waiting = -1;
        for (int t = 0; t < count && waiting < 0; t++)
            if (threads[t].state == AT_BARRIER) waiting = t;
        for (int t = 0; t < count; t++)
            if (threads[t].state == AT_COLLECTIVE) {
                for (int i = 0; i < 32; i++) {
                    int peer = (t & ~31) + i;
                    if (peer < count && threads[t].mask >> i & 1 &&
                        (threads[peer].state != AT_COLLECTIVE || threads[peer].line != threads[t].line))
                        report_stuck(3, t, peer);
                }
                report_stuck(3, t, t);
            }
        if (waiting < 0) return;  // all have ended
        for (int t = 0; t < count; t++)
            if (threads[t].state != AT_BARRIER || threads[t].line != threads[waiting].line ||
                strcmp(threads[t].file, threads[waiting].file))
                report_stuck(2, waiting, t);
        for (int t = 0; t < count; t++) threads[t].state = READY;
    }
}

uint64_t random_state;
unsigned random_below(unsigned n) {  // xorshift64
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % n;
}

struct Mapping { char* base; size_t length; };

}  // namespace

namespace emulator {
void barrier(const char* file, int line) {
    Thread& thread = threads[current];
    thread.state = AT_BARRIER;
    thread.file = file;
    thread.line = line;
    yield();
}
void* dynamic_shared() { return dynamic_block; }
int lane() { return current & 31; }
const uint64_t* collective(const char* file, int line, unsigned mask, uint64_t mine) {
    Thread& thread = threads[current];
    thread.state = AT_COLLECTIVE;
    thread.file = file;
    thread.line = line;
    thread.mask = mask;
    thread.brought = mine;
    if (!(mask >> lane() & 1)) {
        note(3, file, line);
        snprintf(fault->message, sizeof fault->message, "lane %d is not in its own mask 0x%08x", lane(), mask);
        leave();
    }
    yield();
    return gathered[current / 32];
}
}  // namespace emulator

extern "C" {

// An index of an array in a kernel is out of its bounds: g++ calls this (-fsanitize=bounds), with the place.
struct Place { const char* file; uint32_t line, column; };
void __ubsan_handle_out_of_bounds(Place* place, uint64_t index) {
    note(4, place->file, place->line);
    snprintf(fault->message, sizeof fault->message, "index %lld is outside the array", static_cast<long long>(index));
    leave();
}
void __ubsan_handle_out_of_bounds_abort(Place* place, uint64_t index) { __ubsan_handle_out_of_bounds(place, index); }

// Memory between two pages that cannot be touched. ``at_end``: its last byte lies as close to the page behind it as
// an alignment of ``align`` with remainder ``offset`` allows, else its first byte to the page before it.
void* guarded(size_t bytes, size_t align, size_t offset, int at_end, int fill, void** base, size_t* length) {
    size_t room = (bytes + 2 * align + PAGE - 1) / PAGE * PAGE;
    char* start = static_cast<char*>(
        mmap(nullptr, room + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (start == MAP_FAILED) return nullptr;
    mprotect(start + PAGE, room, PROT_READ | PROT_WRITE);
    memset(start + PAGE, fill, room);
    *base = start;
    *length = room + 2 * PAGE;
    if (!at_end) return start + PAGE + offset;
    size_t place = (room - bytes) / align * align + offset;
    return start + PAGE + (place + bytes > room ? place - align : place);
}
void release(void* base, size_t length) { munmap(base, length); }

// Run one launch. blocks and lanes: 0 in order, 1 in reverse, 2 shuffled by ``seed``. Returns 0, or the kind of fault.
int run(void (*function)(void**), void** arguments, const unsigned* grid, const unsigned* block, size_t shared_bytes,
        char* shared_begin, char* shared_end, int order, uint64_t seed, Fault* report) {
    if (!stacks) {
        stacks = static_cast<char*>(mmap(nullptr, MOST * STACK, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (stacks == MAP_FAILED) return -1;
        for (int t = 0; t < MOST; t++) mprotect(stacks + t * STACK, PAGE, PROT_NONE);
    }
    static char signal_stack[64 * 1024];
    stack_t handler_stack = {}, previous_stack;
    handler_stack.ss_sp = signal_stack;
    handler_stack.ss_size = sizeof signal_stack;
    sigaltstack(&handler_stack, &previous_stack);
    struct sigaction action = {}, previous[3];
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    const int signals[3] = {SIGSEGV, SIGBUS, SIGFPE};
    for (int i = 0; i < 3; i++) sigaction(signals[i], &action, &previous[i]);

    kernel = function;
    kernel_arguments = arguments;
    fault = report;
    fault->kind = 0;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    count = block[0] * block[1] * block[2];
    const long blocks = static_cast<long>(grid[0]) * grid[1] * grid[2];
    random_state = seed | 1;
    int* lanes = static_cast<int*>(malloc(count * sizeof(int)));
    long* places = static_cast<long*>(malloc(blocks * sizeof(long)));
    for (int i = 0; i < count; i++) lanes[i] = order == 1 ? count - 1 - i : i;
    for (long i = 0; i < blocks; i++) places[i] = order == 1 ? blocks - 1 - i : i;
    if (order == 2) {
        for (int i = count - 1; i > 0; i--) {
            int j = random_below(i + 1), kept = lanes[i];
            lanes[i] = lanes[j];
            lanes[j] = kept;
        }
        for (long i = blocks - 1; i > 0; i--) {
            long j = random_below(i + 1), kept = places[i];
            places[i] = places[j];
            places[j] = kept;
        }
    }
    Mapping dynamic = {nullptr, 0};
    dynamic_block = nullptr;
    if (shared_bytes) {
        void* base;
        dynamic_block = static_cast<char*>(guarded(shared_bytes, 16, 0, 1, 0xff, &base, &dynamic.length));
        dynamic.base = static_cast<char*>(base);
    }
    running = true;
    if (sigsetjmp(out, 1) == 0)
        for (long i = 0; i < blocks; i++) {
            blockIdx.x = places[i] % grid[0];
            blockIdx.y = places[i] / grid[0] % grid[1];
            blockIdx.z = places[i] / grid[0] / grid[1];
            if (shared_begin) memset(shared_begin, 0xff, shared_end - shared_begin);  // NaN in every float format
            if (dynamic_block) memset(dynamic_block, 0xff, shared_bytes);
            run_block(lanes);
        }
    running = false;
    for (int i = 0; i < 3; i++) sigaction(signals[i], &previous[i], nullptr);
    sigaltstack(&previous_stack, nullptr);
    if (dynamic.base) munmap(dynamic.base, dynamic.length);
    free(lanes);
    free(places);
    return fault->kind;
}
}
