// CUDA C++ for g++: enough of the language for a kernel's source to compile as it is and run on a CPU.
//
// A thread of a block is a context of its own (runtime.cpp), and only one of them runs at any moment: until it
// arrives at a barrier, needs the other lanes of its warp, or ends. So threads and blocks have a known order, which
// the loader varies. What this cannot see: how fast a kernel is, and races that need two threads within one
// statement.
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define EMULATED 1  // a source that needs an instruction of the GPU's can give a plain version of it here

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __shared__ static __attribute__((section("cuda_shared")))  // blocks run one by one and can share the memory
// `extern __shared__ T name[];` becomes this (loader.py): a block of the size that was asked for at the launch
#define DYNAMIC_SHARED(type, name) type* name = static_cast<type*>(emulator::dynamic_shared())

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };
extern "C" uint3 threadIdx, blockIdx;
extern "C" dim3 blockDim, gridDim;
static const int warpSize = 32;

#define VECTOR(name, type, count, alignment, ...)          \
    struct alignas(alignment) name { type __VA_ARGS__; };
VECTOR(float2, float, 2, 8, x, y)
VECTOR(float4, float, 4, 16, x, y, z, w)
VECTOR(double2, double, 2, 16, x, y)
VECTOR(int2, int, 2, 8, x, y)
VECTOR(int4, int, 4, 16, x, y, z, w)
VECTOR(uint2, unsigned, 2, 8, x, y)
VECTOR(uint4, unsigned, 4, 16, x, y, z, w)
#undef VECTOR
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }

#define ORDERED(type)                                            \
    inline type min(type a, type b) { return b < a ? b : a; }    \
    inline type max(type a, type b) { return a < b ? b : a; }
ORDERED(int)
ORDERED(unsigned)
ORDERED(long)
ORDERED(unsigned long)
ORDERED(long long)
ORDERED(unsigned long long)
#undef ORDERED
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline float rsqrt(float x) { return 1 / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
template <class V> inline V __ldg(const V* p) { return *p; }
inline int __float_as_int(float x) { int i; memcpy(&i, &x, 4); return i; }
inline unsigned __float_as_uint(float x) { unsigned i; memcpy(&i, &x, 4); return i; }
inline float __int_as_float(int i) { float x; memcpy(&x, &i, 4); return x; }
inline float __uint_as_float(unsigned i) { float x; memcpy(&x, &i, 4); return x; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __mulhi(int a, int b) { return int((int64_t(a) * b) >> 32); }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
inline void __threadfence() {}
inline void __threadfence_block() {}

// Of several threads only one runs, so nothing can come between the reading and the writing.
template <class V, class W> inline V atomicAdd(V* p, W v) { V old = *p; *p = old + V(v); return old; }
template <class V, class W> inline V atomicSub(V* p, W v) { V old = *p; *p = old - V(v); return old; }
template <class V, class W> inline V atomicMax(V* p, W v) { V old = *p; *p = old < V(v) ? V(v) : old; return old; }
template <class V, class W> inline V atomicMin(V* p, W v) { V old = *p; *p = V(v) < old ? V(v) : old; return old; }
template <class V, class W> inline V atomicOr(V* p, W v) { V old = *p; *p = old | V(v); return old; }
template <class V, class W> inline V atomicExch(V* p, W v) { V old = *p; *p = V(v); return old; }
template <class V, class W> inline V atomicCAS(V* p, W compare, W v) {
    V old = *p;
    if (old == V(compare)) *p = V(v);
    return old;
}

namespace emulator {
void barrier(const char* file, int line);
void* dynamic_shared();
int lane();
// Every lane of ``mask`` brings 8 bytes; each gets those of all 32. What a lane outside the mask brought is poison.
const uint64_t* collective(const char* file, int line, unsigned mask, uint64_t mine);

template <class V> V exchanged(const char* file, int line, unsigned mask, V value, int source) {
    static_assert(sizeof(V) <= 8, "a warp shuffle moves 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(V));
    const uint64_t* all = collective(file, line, mask, bits);
    V result;
    memcpy(&result, &all[source], sizeof(V));
    return result;
}
template <class V> V shfl(const char* f, int l, unsigned mask, V v, int source, int width = 32) {
    return exchanged(f, l, mask, v, (lane() & ~(width - 1)) | (source & (width - 1)));
}
template <class V> V shfl_down(const char* f, int l, unsigned mask, V v, unsigned delta, int width = 32) {
    int source = lane() + int(delta);
    return exchanged(f, l, mask, v, source / width == lane() / width ? source : lane());
}
template <class V> V shfl_up(const char* f, int l, unsigned mask, V v, unsigned delta, int width = 32) {
    int source = lane() - int(delta);
    return exchanged(f, l, mask, v, source >= 0 && source / width == lane() / width ? source : lane());
}
template <class V> V shfl_xor(const char* f, int l, unsigned mask, V v, int bits, int width = 32) {
    int source = lane() ^ bits;
    return exchanged(f, l, mask, v, source / width <= lane() / width ? source : lane());
}
inline unsigned ballot(const char* f, int l, unsigned mask, bool predicate) {
    const uint64_t* all = collective(f, l, mask, predicate);
    unsigned result = 0;
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1 && all[i] == 1) result |= 1u << i;
    return result;
}
inline void syncwarp(const char* f, int l, unsigned mask = 0xffffffffu) { collective(f, l, mask, 0); }

// cp.async: a thread's copies are carried out when it waits for them, or, as late as that, when it has begun many more.
const int COPIES = 128;
struct Copy { void* to; const void* from; int size; };
static Copy copies[1024][COPIES];
static int copies_begun[1024];

inline void carry_out(const Copy& copy) {
    if (copy.from) memcpy(copy.to, copy.from, copy.size);
    else memset(copy.to, 0, copy.size);
}
inline int copying_thread() { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }
// ``from`` null: zeros
inline void copy_async(void* to, const void* from, int size) {
    const int thread = copying_thread(), at = copies_begun[thread]++ % COPIES;
    if (copies_begun[thread] > COPIES) carry_out(copies[thread][at]);
    copies[thread][at] = {to, from, size};
}
inline void wait_for_copies() {
    const int thread = copying_thread(), begun = copies_begun[thread];
    for (int i = begun > COPIES ? begun - COPIES : 0; i < begun; i++) carry_out(copies[thread][i % COPIES]);
    copies_begun[thread] = 0;
}
}  // namespace emulator

#define __syncthreads() emulator::barrier(__FILE__, __LINE__)
#define __syncwarp(...) emulator::syncwarp(__FILE__, __LINE__, ##__VA_ARGS__)
#define __shfl_sync(...) emulator::shfl(__FILE__, __LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) emulator::shfl_down(__FILE__, __LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) emulator::shfl_up(__FILE__, __LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...) emulator::shfl_xor(__FILE__, __LINE__, __VA_ARGS__)
#define __ballot_sync(mask, p) emulator::ballot(__FILE__, __LINE__, mask, p)
#define __any_sync(mask, p) (emulator::ballot(__FILE__, __LINE__, mask, p) != 0)
#define __all_sync(mask, p) (emulator::ballot(__FILE__, __LINE__, mask, p) == (mask))
