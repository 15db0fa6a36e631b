// Scaling and shifting planes of pixels, a plane of one channel of one image at a time.
#include "../device.cuh"

extern "C" __global__ void scale_shift(const T* x, const T* scale, const T* shift, T slope, T* y, long long planes,
                                       long long pixels) {
    FOR_EACH_PIXEL(p, planes, k, pixels) {
        const T value = x[p * pixels + k] * scale[p] + shift[p];
        y[p * pixels + k] = leaky(value, value, slope);
    }
}

// A block for each plane, whose two sums it adds in a fixed order.
extern "C" __global__ void scale_shift_grad(const T* gy, const T* x, const T* scale, const T* shift, T slope, T* gx,
                                            T* gscale, T* gshift, long long planes, long long pixels) {
    __shared__ double scratch[32];
    for (long long p = blockIdx.x; p < planes; p += gridDim.x) {
        const T factor = scale[p], offset = shift[p];
        double total = 0, product = 0;
        for (long long k = threadIdx.x; k < pixels; k += blockDim.x) {
            const T value = x[p * pixels + k];
            const T g = leaky(gy[p * pixels + k], value * factor + offset, slope);
            gx[p * pixels + k] = g * factor;
            total += g;
            product += double(g) * value;
        }
        total = block_sum(total, scratch);
        product = block_sum(product, scratch);
        if (threadIdx.x == 0) {
            gscale[p] = T(product);
            gshift[p] = T(total);
        }
    }
}
