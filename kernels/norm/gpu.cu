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

// What block (c, chunk) goes through: rows n of channel c, elements i of a row.
#define FOR_EACH_ROW(n, batch)                                                                      \
    for (long long n = blockIdx.y * (long long)blockDim.y + threadIdx.y; n < (batch);               \
         n += (long long)gridDim.y * blockDim.y)
#define FOR_EACH_IN_ROW(i, size) for (int i = threadIdx.x; i < (size); i += blockDim.x)

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
extern "C" __global__ void batch_norm_sums(const T* x, double* partial, long long batch, long long channels, int size) {
    const long long c = blockIdx.x;
    const double pivot = x[c * size];
    double total = 0, squares = 0;
    FOR_EACH_ROW(n, batch) {
        const T* row = x + (n * channels + c) * size;
#pragma unroll 4
        FOR_EACH_IN_ROW(i, size) {
            const double d = row[i] - pivot;
            total += d;
            squares += d * d;
        }
    }
    keep_sums(total, squares, partial);
}

extern "C" __global__ void batch_norm_apply(const T* x, const T* weight, const T* bias, double eps, T slope,
                                            const double* partial, T* y, T* mean, T* invstd, long long batch,
                                            long long channels, int size) {
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
    FOR_EACH_ROW(n, batch) {
        const long long start = (n * channels + c) * size;
#pragma unroll 4
        FOR_EACH_IN_ROW(i, size) {
            const T value = (x[start + i] - middle) * scale + shift;
            y[start + i] = leaky(value, value, slope);
        }
    }
}

extern "C" __global__ void batch_norm_grad_sums(const T* gy, const T* x, const T* weight, const T* bias, const T* mean,
                                                const T* invstd, T slope, double* partial, long long batch,
                                                long long channels, int size) {
    const long long c = blockIdx.x;
    const T middle = mean[c], scale = T(weight[c] * double(invstd[c])), shift = bias[c];
    double sum_gy = 0, sum_product = 0;
    FOR_EACH_ROW(n, batch) {
        const long long start = (n * channels + c) * size;
#pragma unroll 4
        FOR_EACH_IN_ROW(i, size) {
            const T d = x[start + i] - middle;
            const T g = leaky(gy[start + i], d * scale + shift, slope);
            sum_gy += g;
            sum_product += double(g) * d;
        }
    }
    keep_sums(sum_gy, sum_product, partial);
}

// gx = weight * invstd * (gy - mean(gy) - xhat * mean(gy * xhat)), with xhat = (x - mean) * invstd
extern "C" __global__ void batch_norm_grad_apply(const T* gy, const T* x, const T* weight, const T* bias, const T* mean,
                                                 const T* invstd, T slope, const double* partial, T* gx, T* gweight,
                                                 T* gbias, long long batch, long long channels, int size) {
    const long long c = blockIdx.x;
    const double inverse = invstd[c], count = double(batch) * size;
    double sum_gy, sum_product;
    total_of(partial, gridDim.y, sum_gy, sum_product);
    if (blockIdx.y == 0 && threadIdx.x == 0 && threadIdx.y == 0) {
        gweight[c] = T(sum_product * inverse);
        gbias[c] = T(sum_gy);
    }
    const T middle = mean[c], scale = T(weight[c] * inverse), shift = bias[c];
    const T factor = T(-weight[c] * inverse * inverse * inverse * sum_product / count);
    const T average = T(sum_gy / count);
    FOR_EACH_ROW(n, batch) {
        const long long start = (n * channels + c) * size;
#pragma unroll 4
        FOR_EACH_IN_ROW(i, size) {
            const T d = x[start + i] - middle;
            const T g = leaky(gy[start + i], d * scale + shift, slope);
            gx[start + i] = scale * (g - average) + factor * d;
        }
    }
}

extern "C" __global__ void channel_sums(const T* gy, double* partial, long long batch, long long channels, int size) {
    const long long c = blockIdx.x;
    double total = 0;
    FOR_EACH_ROW(n, batch) {
        const T* row = gy + (n * channels + c) * size;
#pragma unroll 4
        FOR_EACH_IN_ROW(i, size) total += row[i];
    }
    keep_sums(total, 0, partial);
}

extern "C" __global__ void channel_totals(const double* partial, T* result, long long channels, int chunks) {
    FOR_EACH(c, channels) {
        double total = 0;
        for (int k = 0; k < chunks; k++) total += partial[2 * (c * chunks + k)];
        result[c] = T(total);
    }
}
