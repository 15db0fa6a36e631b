// Batch normalisation, its gradient and the bias gradient, of (N, C, S) arrays: S is all spatial axes.
//
// A channel's values lie in N rows of S, and the blocks (c, 0), (c, 1), ... share them. Each writes its sums to
// ``partial``; the second kernel of a pair adds those up again in every block, in one order, and goes on.
//
//     n   |<------- S ------->|
//     0   | row 0 of block (c, 0)     lanes 0, 1, 2 ... side by side, then ``lanes`` further on
//     1   | row 1 of block (c, 0)     blockDim.y rows at once, so that small images fill a block too
//     2   | row 0 of block (c, 1)
//     3   | row 1 of block (c, 1)
//     4   | row 0 of block (c, 0) again, gridDim.y * blockDim.y rows further on
//
// Sums are float64 whatever T is. No sum depends on which block runs first.
#include "../device.cuh"

// What block (c, chunk) goes through: N numbers at a time of its rows n, column by column of such groups, so that the
// reads of several rows are under way at once. `packs`: rows are whole packs and begin at one; then N is PACK.
//
// DOWN and UP go through the same in opposite order: what a first kernel read last is still in the second cache, and
// the second kernel begins with it.
#define COLUMNS(i, size) for (int i = threadIdx.x * N; i < (size); i += blockDim.x * N)
#define FIRST_ROW (blockIdx.y * (long long)blockDim.y + threadIdx.y)
#define ROW_STEP ((long long)gridDim.y * blockDim.y)
#define DOWN(n, batch) for (long long n = FIRST_ROW; n < (batch); n += ROW_STEP)
#define UP(n, batch)                                                                                  \
    for (long long n = FIRST_ROW + ((batch) - FIRST_ROW + ROW_STEP - 1) / ROW_STEP * ROW_STEP - ROW_STEP; n >= 0; \
         n -= ROW_STEP)

// The two sums of channel c over all chunks.
__device__ __forceinline__ void total_of(const double* partial, int chunks, double& first, double& second) {
    first = second = 0;
    for (int k = 0; k < chunks; k++) {
        first += partial[2 * (blockIdx.x * (long long)chunks + k)];
        second += partial[2 * (blockIdx.x * (long long)chunks + k) + 1];
    }
}

__device__ __forceinline__ void keep_sums(double first, double second, double* partial) {
    __shared__ double scratch[32];
    first = block_sum(first, scratch);
    second = block_sum(second, scratch);
    if (threadIdx.x == 0 && threadIdx.y == 0) {
        const long long k = blockIdx.x * (long long)gridDim.y + blockIdx.y;
        partial[2 * k] = first;
        partial[2 * k + 1] = second;
    }
}

// Sums of the differences from the channel's first value, and of their squares (cpu.py says why).
template <int N>
__device__ __forceinline__ void norm_sums(const T* x, double* partial, long long batch, long long channels, int size) {
    const long long c = blockIdx.x;
    const double pivot = x[c * size];
    double total = 0, squares = 0;
    COLUMNS(i, size) {
#pragma unroll 4
        DOWN(n, batch) {
            const Several<N> values = *(const Several<N>*)(x + (n * channels + c) * size + i);
#pragma unroll
            for (int j = 0; j < N; j++) {
                const double d = values.v[j] - pivot;
                total += d;
                squares += d * d;
            }
        }
    }
    keep_sums(total, squares, partial);
}

extern "C" __global__ void batch_norm_sums(const T* x, double* partial, long long batch, long long channels, int size,
                                           bool packs) {
    if (packs) norm_sums<PACK>(x, partial, batch, channels, size);
    else norm_sums<1>(x, partial, batch, channels, size);
}

template <int N>
__device__ __forceinline__ void norm_apply(const T* x, T* y, T middle, T scale, T shift, T slope, long long batch,
                                           long long channels, int size) {
    COLUMNS(i, size) {
#pragma unroll 4
        UP(n, batch) {
            const long long at = (n * channels + blockIdx.x) * size + i;
            Several<N> values = *(const Several<N>*)(x + at);
#pragma unroll
            for (int j = 0; j < N; j++) {
                const T value = (values.v[j] - middle) * scale + shift;
                values.v[j] = leaky(value, value, slope);
            }
            *(Several<N>*)(y + at) = values;
        }
    }
}

extern "C" __global__ void batch_norm_apply(const T* x, const T* weight, const T* bias, double eps, T slope,
                                            const double* partial, T* y, T* mean, T* invstd, long long batch,
                                            long long channels, int size, bool packs) {
    const long long c = blockIdx.x;
    const double pivot = x[c * size], count = double(batch) * size;
    double total, squares;
    total_of(partial, gridDim.y, total, squares);
    const double centre = total / count;
    const double variance = squares / count - centre * centre;
    const double inverse = 1 / sqrt((variance < 0 ? 0.0 : variance) + eps);  // NaN stays NaN
    const T middle = T(pivot + centre);
    if (blockIdx.y == 0 && threadIdx.x == 0 && threadIdx.y == 0) {
        mean[c] = middle;
        invstd[c] = T(inverse);
    }
    // x - mean first: the difference is exact near the mean. What rounding the mean to T takes away is in the shift.
    const double factor = weight[c] * inverse;
    const T scale = T(factor), shift = T(bias[c] - (pivot - middle + centre) * factor);
    if (packs) norm_apply<PACK>(x, y, middle, scale, shift, slope, batch, channels, size);
    else norm_apply<1>(x, y, middle, scale, shift, slope, batch, channels, size);
}

template <int N>
__device__ __forceinline__ void norm_grad_sums(const T* gy, const T* x, T middle, T scale, T shift, T slope,
                                               double* partial, long long batch, long long channels, int size) {
    double sum_gy = 0, sum_product = 0;
    COLUMNS(i, size) {
#pragma unroll 4
        DOWN(n, batch) {
            const long long at = (n * channels + blockIdx.x) * size + i;
            const Several<N> values = *(const Several<N>*)(x + at), grads = *(const Several<N>*)(gy + at);
#pragma unroll
            for (int j = 0; j < N; j++) {
                const T d = values.v[j] - middle;
                const T g = leaky(grads.v[j], d * scale + shift, slope);
                sum_gy += g;
                sum_product += double(g) * d;
            }
        }
    }
    keep_sums(sum_gy, sum_product, partial);
}

extern "C" __global__ void batch_norm_grad_sums(const T* gy, const T* x, const T* weight, const T* bias, const T* mean,
                                                const T* invstd, T slope, double* partial, long long batch,
                                                long long channels, int size, bool packs) {
    const long long c = blockIdx.x;
    const T middle = mean[c], scale = T(weight[c] * double(invstd[c])), shift = bias[c];
    if (packs) norm_grad_sums<PACK>(gy, x, middle, scale, shift, slope, partial, batch, channels, size);
    else norm_grad_sums<1>(gy, x, middle, scale, shift, slope, partial, batch, channels, size);
}

template <int N>
__device__ __forceinline__ void norm_grad_apply(const T* gy, const T* x, T middle, T scale, T shift, T slope, T average,
                                                T inverse, T along, T* gx, long long batch, long long channels, int size) {
    COLUMNS(i, size) {
#pragma unroll 4
        UP(n, batch) {
            const long long at = (n * channels + blockIdx.x) * size + i;
            Several<N> values = *(const Several<N>*)(x + at);
            const Several<N> grads = *(const Several<N>*)(gy + at);
#pragma unroll
            for (int j = 0; j < N; j++) {
                const T d = values.v[j] - middle;
                const T g = leaky(grads.v[j], d * scale + shift, slope);
                values.v[j] = scale * (g - average - (d * inverse) * along);
            }
            *(Several<N>*)(gx + at) = values;
        }
    }
}

// gx = weight * invstd * (gy - mean(gy) - xhat * mean(gy * xhat)), with xhat = (x - mean) * invstd
extern "C" __global__ void batch_norm_grad_apply(const T* gy, const T* x, const T* weight, const T* bias, const T* mean,
                                                 const T* invstd, T slope, const double* partial, T* gx, T* gweight,
                                                 T* gbias, long long batch, long long channels, int size, bool packs) {
    const long long c = blockIdx.x;
    const double count = double(batch) * size;
    const T inverse = invstd[c];
    double sum_gy, sum_product;
    total_of(partial, gridDim.y, sum_gy, sum_product);
    if (blockIdx.y == 0 && threadIdx.x == 0 && threadIdx.y == 0) {
        gweight[c] = T(sum_product * double(inverse));
        gbias[c] = T(sum_gy);
    }
    const T middle = mean[c], scale = T(weight[c] * double(inverse)), shift = bias[c];
    // the products in an order in which none is far from 1: invstd cubed vanishes for deviations of 1e14
    const T average = T(sum_gy / count), along = T(sum_product * double(inverse) / count);
    if (packs) norm_grad_apply<PACK>(gy, x, middle, scale, shift, slope, average, inverse, along, gx, batch, channels, size);
    else norm_grad_apply<1>(gy, x, middle, scale, shift, slope, average, inverse, along, gx, batch, channels, size);
}

template <int N>
__device__ __forceinline__ void sums(const T* gy, double* partial, long long batch, long long channels, int size) {
    double total = 0;
    COLUMNS(i, size) {
#pragma unroll 4
        DOWN(n, batch) {
            const Several<N> values = *(const Several<N>*)(gy + (n * channels + blockIdx.x) * size + i);
#pragma unroll
            for (int j = 0; j < N; j++) total += values.v[j];
        }
    }
    keep_sums(total, 0, partial);
}

extern "C" __global__ void channel_sums(const T* gy, double* partial, long long batch, long long channels, int size,
                                        bool packs) {
    if (packs) sums<PACK>(gy, partial, batch, channels, size);
    else sums<1>(gy, partial, batch, channels, size);
}

extern "C" __global__ void channel_totals(const double* partial, T* result, long long channels, int chunks) {
    FOR_EACH(c, channels) {
        double total = 0;
        for (int k = 0; k < chunks; k++) total += partial[2 * (c * chunks + k)];
        result[c] = T(total);
    }
}
