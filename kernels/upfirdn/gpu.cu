// Upsample, filter, downsample: one thread, one output, which meets every up-th tap of the filter and no zeros.
#include "../device.cuh"

// The pixels [first, end) of one axis that an output meets, and the tap at which it meets the first.
struct Meeting {
    int first, end, tap;

    __device__ __forceinline__ Meeting(int output, int size, int taps, int up, int down, int before) {
        const int at = output * down - before, last = at + taps - 1;  // tap 0 and the last, among pixels and zeros
        first = at > 0 ? (at + up - 1) / up : 0;
        end = last < 0 ? 0 : min(size, last / up + 1);
        tap = first * up - at;
    }
};

// y[o] = sum over k of f[k] * u[o * down + k - before], where u is x with up - 1 zeros after each pixel. f: (fh, fw)
extern "C" __global__ void upfirdn(const T* x, const T* f, T* y, long long planes, int height, int width, int tall,
                                   int wide, int fh, int fw, int up_h, int up_w, int down_h, int down_w, int before_h,
                                   int before_w) {
    FOR_EACH_PIXEL(p, planes, k, (long long)tall * wide) {
        const int row = k / wide, column = k - (long long)row * wide;
        const Meeting v(row, height, fh, up_h, down_h, before_h), h(column, width, fw, up_w, down_w, before_w);
        T total = 0;
        for (int i = v.first, a = v.tap; i < v.end; i++, a += up_h) {
            const T* line = x + (p * height + i) * width;
            const T* taps = f + (long long)a * fw;
            T across = 0;
            for (int j = h.first, b = h.tap; j < h.end; j++, b += up_w) across += taps[b] * line[j];
            total += across;
        }
        y[p * tall * wide + k] = total;
    }
}
