// What the CUDA kernels share. T is float or double and T_BITS 32 or 64: launch.py defines them.
#pragma once

// Any number of elements on any grid: thread t of all takes t, t + all, t + 2*all, ...
#define FOR_EACH(i, count)                                                                      \
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x, i##_end = (count); i < i##_end; \
         i += (long long)gridDim.x * blockDim.x)

// Images as planes of pixels, on a grid and block of two dimensions (plane_grid of launch.py): threads of one row are
// at neighbouring pixels k, so that a warp's accesses fall on whole cache lines; several small planes p share a block.
//
//     threadIdx.y  0  | p = 0   k = 0 1 2 3 ... |
//                  1  | p = 1   k = 0 1 2 3 ... |
#define FOR_EACH_PIXEL(p, planes, k, pixels)                                                                       \
    for (long long p = blockIdx.y * (long long)blockDim.y + threadIdx.y; p < (planes);                             \
         p += (long long)gridDim.y * blockDim.y)                                                                   \
        for (long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x; k < (pixels);                         \
             k += (long long)gridDim.x * blockDim.x)

// N numbers that are read or written at once; a Pack is 16 bytes, the most that a thread moves with one instruction
template <int N>
struct alignas(N * sizeof(T)) Several {
    T v[N];
};
const int PACK = 128 / T_BITS;
typedef Several<PACK> Pack;

// Several arrays of any sizes for one launch, by value: their addresses lie in the kernel's own arguments, so there is
// nothing to upload (launch.py takes a list; cuda_source.py has MANY too).
const int MANY = 64;
struct Arrays {
    T* at[MANY];
};
struct Counts {
    long long at[MANY];
};

// The number as tensor cores take it with TF32: to 10 bits of mantissa, to nearest, ties away from zero.
__device__ __forceinline__ T tf32(T value) {
#if T_BITS == 32
    unsigned bits = __float_as_uint(value);
    if ((bits & 0x7f800000u) != 0x7f800000u) bits = (bits + 0x1000u) & 0xffffe000u;  // inf and NaN stay
    return __uint_as_float(bits);
#else
    return value;
#endif
}

__device__ __forceinline__ bool aligned(const void* p) { return (size_t)p % 16 == 0; }

// x where ``sign`` is positive, slope * x elsewhere. With slope 0 that is 0 even where x is infinite, and a NaN stays.
__device__ __forceinline__ T leaky(T x, T sign, T slope) {
    if (slope == T(0)) return sign <= T(0) ? T(0) : x;
    return sign > T(0) ? x : slope * x;
}

// The sum over a block of whole warps, the same in every thread. The order is fixed: first the lanes of a warp as a
// butterfly, then the warps one after the other. scratch: 32 doubles of shared memory.
__device__ __forceinline__ double block_sum(double value, double* scratch) {
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
    __syncthreads();  // scratch may still be read: the sum before this one
    if (thread % 32 == 0) scratch[thread / 32] = value;
    __syncthreads();
    double total = 0;
    for (int warp = 0; warp < int(blockDim.x * blockDim.y) / 32; warp++) total += scratch[warp];
    return total;
}
