// The product of two tiles in shared memory, added to sums in registers. All matrix products of convolution use it.
//
// A block of THREADS threads makes a tile of BM x BN results, going through the sum BK terms (a slab) at a time:
//
//                      BN                       b: BK x BN, once in use and once being filled
//                 +---------+
//              BK |    b    |
//          BK     +---------+                   each thread holds TM x TN sums, RUN columns side by side:
//        +----+   +---------+
//        |    |   |  . . .  |                       . . . .        . . . .      <- row(i)
//     BM | a' |   |  . . .  | BM                    . . . .        . . . .
//        |    |   |  . . .  |                          ^ column(j), column(j + RUN)
//        +----+   +---------+
//
// a lies transposed (BK rows of BM), so that both operands of one term are read along rows, 16 bytes at a time. With
// TM = TN = 8 a thread reads 16 numbers for 64 multiplications, and a warp's reads fall on all banks or on one word.
//
// Slabs come with `copy`, so while one is multiplied the next is under way and takes no registers.
//
// With TF32=1 the product runs on tensor cores (mma.sync m16n8k8) with inputs rounded to 10 bits of mantissa and
// sums in float32; pixels then pass through registers, to be rounded (weights were when they were packed). A warp makes (BM / 2) x WN; in each 16x8 part a lane holds two rows' two neighbouring columns.
#pragma once
#include "../device.cuh"

#ifndef BM  // one configuration stands here so that the file compiles by itself; gpu.py names those that are used
#define BM 64
#define BN 64
#define BK 8
#define TM 4
#define TN 4
#define THREADS 256
#define BLOCKS 2
#endif
#ifndef TF32
#define TF32 0
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define RESIDENT 1  // Turing addresses with more registers: at a limit for BLOCKS they would spill
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define RESIDENT (BLOCKS > 2 ? BLOCKS - 1 : BLOCKS)  // so does Ampere, but less
#else
#define RESIDENT BLOCKS
#endif

// Global to shared memory without a register in between (cp.async of Ampere and newer), N numbers, zeros unless `there`.
// The copies of all threads can be read after `wait_for_copies` and a barrier.
template <int N>
__device__ __forceinline__ void copy(T* to, const T* from, bool there) {
    const int size = N * sizeof(T);
#ifdef EMULATED
    emulator::copy_async(to, there ? from : nullptr, size);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"((unsigned)__cvta_generic_to_shared(to)),
                 "l"(from), "n"(size), "r"(there ? size : 0));
#else
    Several<N> values = {};
    if (there) values = *(const Several<N>*)from;
    *(Several<N>*)to = values;
#endif
}

__device__ __forceinline__ void wait_for_copies() {
#ifdef EMULATED
    emulator::wait_for_copies();
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// What a thread brings to shared memory for the next slab, COUNT times N numbers: `fetch` all, later `arrive` all. With
// TF32 they wait in registers in between, and are rounded.
template <int N, int COUNT>
struct Incoming {
#if TF32
    Several<N> held[COUNT];
#endif
    __device__ __forceinline__ void fetch(int i, T* to, const T* from, bool there) {
#if TF32
        const Several<N> none = {};
        held[i] = there ? *(const Several<N>*)from : none;
#else
        copy<N>(to, from, there);
#endif
    }
    __device__ __forceinline__ void arrive(int i, T* to) {
#if TF32
#pragma unroll
        for (int j = 0; j < N; j++) held[i].v[j] = tf32(held[i].v[j]);
        *(Several<N>*)to = held[i];
#endif
    }
};

#if TF32
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#error "TF32 needs a GPU of compute capability 8.0 or newer"
#endif
const int PAD = 8;  // rows 8 banks apart: the 4 rows x 8 columns that a warp reads at once are on 32 banks
const int RUN = 2;
const int WARPS_ACROSS = THREADS / 32 / 2, WN = BN / WARPS_ACROSS;
static_assert(TM == BM / 16 && TN == WN / 4, "a lane holds 1/32 of its warp's part");

__device__ __forceinline__ int row(int i) {
    return int(threadIdx.x) / 32 % 2 * (BM / 2) + i / 2 * 16 + i % 2 * 8 + int(threadIdx.x) % 32 / 4;
}
__device__ __forceinline__ int column(int j) {
    return int(threadIdx.x) / 64 * WN + j / 2 * 8 + int(threadIdx.x) % 4 * 2;
}

// d += a * b for a 16x8, b 8x8. Lane l = 4g + t holds a[g][t], a[g+8][t], a[g][t+4], a[g+8][t+4]; b[t][g], b[t+4][g];
// d[g][2t], d[g][2t+1], d[g+8][2t], d[g+8][2t+1] (PTX ISA, "Matrix Fragments for mma.m16n8k8").
__device__ __forceinline__ void mma(float& d0, float& d1, float& d2, float& d3, const float a[4], const float b[2]) {
#ifdef EMULATED
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    for (int k = 0; k < 8; k++) {
        const float low = __shfl_sync(0xffffffffu, a[0], g * 4 + k % 4);
        const float low_right = __shfl_sync(0xffffffffu, a[2], g * 4 + k % 4);
        const float high = __shfl_sync(0xffffffffu, a[1], g * 4 + k % 4);
        const float high_right = __shfl_sync(0xffffffffu, a[3], g * 4 + k % 4);
        const float left = __shfl_sync(0xffffffffu, b[0], 2 * t * 4 + k % 4);
        const float left_below = __shfl_sync(0xffffffffu, b[1], 2 * t * 4 + k % 4);
        const float right = __shfl_sync(0xffffffffu, b[0], (2 * t + 1) * 4 + k % 4);
        const float right_below = __shfl_sync(0xffffffffu, b[1], (2 * t + 1) * 4 + k % 4);
        d0 += (k < 4 ? low : low_right) * (k < 4 ? left : left_below);
        d1 += (k < 4 ? low : low_right) * (k < 4 ? right : right_below);
        d2 += (k < 4 ? high : high_right) * (k < 4 ? left : left_below);
        d3 += (k < 4 ? high : high_right) * (k < 4 ? right : right_below);
    }
#else
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d0), "+f"(d1), "+f"(d2), "+f"(d3)
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
          "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
#endif
}

__device__ __forceinline__ void multiply(const T (*a)[BM + PAD], const T (*b)[BN + PAD], T (&sums)[TM][TN]) {
    const int t = threadIdx.x % 4, g = threadIdx.x % 32 / 4;
    const int top = threadIdx.x / 32 % 2 * (BM / 2) + g, left = threadIdx.x / 64 * WN + g;
#pragma unroll
    for (int k = 0; k < BK; k += 8) {
        float right[TN / 2][2];
#pragma unroll
        for (int j = 0; j < TN / 2; j++) {
            right[j][0] = b[k + t][left + j * 8];
            right[j][1] = b[k + t + 4][left + j * 8];
        }
#pragma unroll
        for (int i = 0; i < TM; i += 2) {
            const int m = top + i * 8;
            const float part[4] = {a[k + t][m], a[k + t][m + 8], a[k + t + 4][m], a[k + t + 4][m + 8]};
#pragma unroll
            for (int j = 0; j < TN; j += 2)
                mma(sums[i][j], sums[i][j + 1], sums[i + 1][j], sums[i + 1][j + 1], part, right[j / 2]);
        }
    }
}
#else
const int PAD = PACK;  // neighbouring rows begin 4 banks apart: `correlate` writes down columns
const int RUN = PACK < TN ? PACK : TN;       // columns that a thread reads and writes at once
const int DOWN = PACK < TM ? PACK : TM;      // rows, likewise
const int ACROSS = BN / TN;                  // threads side by side
static_assert(THREADS == BM / TM * ACROSS, "every result belongs to one thread");

__device__ __forceinline__ int row(int i) {
    return i / DOWN * (BM / (TM / DOWN)) + int(threadIdx.x) / ACROSS * DOWN + i % DOWN;
}
__device__ __forceinline__ int column(int j) { return j / RUN * (BN / (TN / RUN)) + int(threadIdx.x) % ACROSS * RUN; }

__device__ __forceinline__ void multiply(const T (*a)[BM + PAD], const T (*b)[BN + PAD], T (&sums)[TM][TN]) {
#pragma unroll
    for (int k = 0; k < BK; k++) {
        Several<DOWN> down[TM / DOWN];
        Several<RUN> across[TN / RUN];
#pragma unroll
        for (int i = 0; i < TM / DOWN; i++) down[i] = *(const Several<DOWN>*)&a[k][row(i * DOWN)];
#pragma unroll
        for (int j = 0; j < TN / RUN; j++) across[j] = *(const Several<RUN>*)&b[k][column(j * RUN)];
#pragma unroll
        for (int i = 0; i < TM; i++)
#pragma unroll
            for (int j = 0; j < TN; j++) sums[i][j] += down[i / DOWN].v[i % DOWN] * across[j / RUN].v[j % RUN];
    }
}
#endif
