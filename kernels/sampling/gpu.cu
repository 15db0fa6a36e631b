// Weighted sums of looked-up pixels. Every result has one thread, which adds up in a fixed order.
//
//     x: (N,C,P)   weight, index: (N,K,M)   y: (N,C,M)      an index of -1 is outside
#include "../device.cuh"

extern "C" __global__ void sample(const T* x, const T* weight, const long long* index, T* y, long long planes,
                                  int channels, long long pixels, int taps, long long points) {
    FOR_EACH_PIXEL(p, planes, m, points) {
        const long long image = p / channels;
        T total = 0;
        for (int k = 0; k < taps; k++) {
            const long long e = (image * taps + k) * points + m;
            if (index[e] >= 0) total += weight[e] * x[p * pixels + index[e]];
        }
        y[p * points + m] = total;
    }
}

// Several points look at one pixel. ``order`` lists the entries (n, k, m) sorted by the pixel that they look at, among
// those of all images, and ``starts`` (N*P+1) says where each pixel's begin.
extern "C" __global__ void sample_input_grad(const T* gy, const T* weight, const long long* order,
                                             const long long* starts, T* gx, long long planes, int channels,
                                             long long pixels, long long points) {
    FOR_EACH_PIXEL(p, planes, i, pixels) {
        const long long* start = starts + p / channels * pixels + i;
        T total = 0;
        for (long long j = start[0]; j < start[1]; j++)
            total += weight[order[j]] * gy[p * points + order[j] % points];
        gx[p * pixels + i] = total;
    }
}

extern "C" __global__ void sample_weight_grad(const T* x, const T* gy, const long long* index, T* gw, long long images,
                                              int channels, long long pixels, int taps, long long points) {
    FOR_EACH_PIXEL(r, images * taps, m, points) {
        const long long image = r / taps, at = index[r * points + m];
        T total = 0;
        if (at >= 0)
            for (int c = 0; c < channels; c++) {
                const long long p = image * channels + c;
                total += gy[p * points + m] * x[p * pixels + at];
            }
        gw[r * points + m] = total;
    }
}
