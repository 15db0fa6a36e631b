// Pooling and its gradients over (planes, H, W). Every result is gathered by one thread, in a fixed order.
//
//     window o covers inputs o*stride - padding + k*dilation, k = 0 .. kernel-1
//     input i lies in windows (i + padding - kernel)/stride + 1 .. (i + padding)/stride      (dilation 1)
#include "../device.cuh"


extern "C" __global__ void max_pool(const T* x, T* y, long long* index, long long planes, int height, int width,
                                    int tall, int wide, int kh, int kw, int sh, int sw, int ph, int pw, int dh,
                                    int dw) {
    FOR_EACH_PIXEL(p, planes, k, (long long)tall * wide) {
        const int u = k / wide, v = k - (long long)u * wide;
        const T* plane = x + p * height * width;
        T best = 0;
        long long where = -1;
        for (int a = 0; a < kh; a++) {
            const int row = u * sh - ph + a * dh;
            if (row < 0 || row >= height) continue;
            for (int b = 0; b < kw; b++) {
                const int column = v * sw - pw + b * dw;
                if (column < 0 || column >= width) continue;
                const T value = plane[(long long)row * width + column];
                if (where < 0 || value > best || value != value) {  // the first of equals, the last of NaNs
                    best = value;
                    where = (long long)row * width + column;
                }
            }
        }
        y[p * tall * wide + k] = best;
        index[p * tall * wide + k] = where;
    }
}

// Windows overlap, so several k can have one index. A block has one plane, and a thread the pixels from ``first``;
// all threads read all of the plane's indices, in step, and each adds up what is for its own pixels, in order of k.
//
//     index   | 7 | 1 | 7 | 12 | ...      read by every thread, through shared memory
//     gx      | 0 .. 3 | 4 .. 7 | ...     thread 0, 1, ...
extern "C" __global__ void max_pool_grad(const T* gy, const long long* index, T* gx, long long planes, long long count,
                                         long long pixels) {
    __shared__ long long place[256];
    __shared__ T value[256];
    const long long each = (pixels + blockDim.x - 1) / blockDim.x;
    const long long first = threadIdx.x * each, end = first + each < pixels ? first + each : pixels;
    for (long long p = blockIdx.x; p < planes; p += gridDim.x) {
        for (long long i = first; i < end; i++) gx[p * pixels + i] = 0;
        for (long long start = 0; start < count; start += blockDim.x) {
            const long long k = start + threadIdx.x;
            __syncthreads();  // what the round before left has been read
            place[threadIdx.x] = k < count ? index[p * count + k] : -1;
            value[threadIdx.x] = k < count ? gy[p * count + k] : T(0);
            __syncthreads();
            for (int j = 0; j < int(blockDim.x); j++)
                if (place[j] >= first && place[j] < end) gx[p * pixels + place[j]] += value[j];
        }
    }
}

// An index outside the plane gives NaN: counting them, as the CPU does, would wait for the GPU.
extern "C" __global__ void max_pool_gather(const T* x, const long long* index, T* y, long long planes, long long count,
                                           long long pixels) {
    FOR_EACH_PIXEL(p, planes, k, count) {
        const long long i = index[p * count + k];
        y[p * count + k] = i >= 0 && i < pixels ? x[p * pixels + i] : T(nan(""));
    }
}

__device__ __forceinline__ int inside(int start, int kernel, int size) {
    return min(start + kernel, size) - max(start, 0);
}

// The divisor of window (u, v): all of the kernel, or what of it lies in the image.
__device__ __forceinline__ T divisor(int u, int v, int height, int width, int kh, int kw, int sh, int sw, int ph,
                                     int pw, bool include) {
    if (include) return T(kh) * T(kw);
    return T(inside(u * sh - ph, kh, height)) * T(inside(v * sw - pw, kw, width));
}

extern "C" __global__ void avg_pool(const T* x, T* y, long long planes, int height, int width, int tall, int wide,
                                    int kh, int kw, int sh, int sw, int ph, int pw, bool include) {
    FOR_EACH_PIXEL(p, planes, k, (long long)tall * wide) {
        const int u = k / wide, v = k - (long long)u * wide;
        const int top = max(u * sh - ph, 0), bottom = min(u * sh - ph + kh, height);
        const int left = max(v * sw - pw, 0), right = min(v * sw - pw + kw, width);
        T total = 0;
        for (int row = top; row < bottom; row++)
            for (int column = left; column < right; column++)
                total += x[(p * height + row) * width + column];
        y[p * tall * wide + k] = total / divisor(u, v, height, width, kh, kw, sh, sw, ph, pw, include);
    }
}

extern "C" __global__ void avg_pool_grad(const T* gy, T* gx, long long planes, int height, int width, int tall,
                                         int wide, int kh, int kw, int sh, int sw, int ph, int pw, bool include) {
    FOR_EACH_PIXEL(p, planes, k, (long long)height * width) {
        const int row = k / width, column = k - (long long)row * width;
        const int top = row + ph < kh ? 0 : (row + ph - kh) / sh + 1, bottom = min((row + ph) / sh, tall - 1);
        const int left = column + pw < kw ? 0 : (column + pw - kw) / sw + 1, right = min((column + pw) / sw, wide - 1);
        T total = 0;
        for (int u = top; u <= bottom; u++)
            for (int v = left; v <= right; v++)
                total += gy[(p * tall + u) * wide + v] / divisor(u, v, height, width, kh, kw, sh, sw, ph, pw, include);
        gx[p * height * width + k] = total;
    }
}
