// Upsampling and convolution as one transposed convolution: the weights on their way to conv/gpu.cu and back.
//
// cpu.py derives it: repeating pixels `scale` times and convolving with a filter of k elements is a transposed
// convolution of stride `scale` with a folded filter of k + scale - 1 elements. With scale 2 and (a, b, c):
//
//     folded element   0    1    2    3         y[2q]   =    a  * x[q-1] + (b+c) * x[q]
//                      c   b+c  a+b   a         y[2q+1] =  (a+b) * x[q]  +    c  * x[q+1]
//
// so an output costs 2 multiplications in place of 3, and 4 in place of 9 in two dimensions. Element t is the sum of
// the filter's elements k-1-t ... k-1-t + scale-1, those that exist; the way back, every filter element gathers the
// folded elements that it was added to. The products themselves are conv/gpu.cu's.
#include "../device.cuh"

// packed[folded element][channel][row], as `convolve` takes it: from w by the strides of its channel and row.
// for_tf32: rounded as tensor cores take them.
extern "C" __global__ void fold(
    const T* w, T* packed, int channels, int padded_channels, int rows, int padded_rows, int kernel_h, int kernel_w,
    int scale_h, int scale_w, long long row_stride, long long channel_stride, bool for_tf32) {
    const int wide = kernel_w + scale_w - 1, elements = (kernel_h + scale_h - 1) * wide;
    FOR_EACH(i, (long long)padded_channels * padded_rows) {
        const int m = i % padded_rows, c = i / padded_rows;
        const bool there = m < rows && c < channels;
        const T* filter = w + m * row_stride + c * channel_stride;
        T* to = packed + i;
        for (int e = 0; e < elements; e++, to += (long long)padded_channels * padded_rows) {
            const int u = kernel_h - 1 - e / wide, v = kernel_w - 1 - e % wide;
            T total = 0;
            for (int a = max(u, 0); there && a < min(u + scale_h, kernel_h); a++)
                for (int b = max(v, 0); b < min(v + scale_w, kernel_w); b++) total += filter[a * kernel_w + b];
            *to = for_tf32 ? tf32(total) : total;
        }
    }
}

// gw[row][channel][u][v] = the sum of folded[channel][row][k-1-u + a][k-1-v + b] over a < scale_h, b < scale_w
extern "C" __global__ void unfold(
    const T* folded, T* gw, int channels, int rows, int kernel_h, int kernel_w, int scale_h, int scale_w) {
    const int tall = kernel_h + scale_h - 1, wide = kernel_w + scale_w - 1, area = kernel_h * kernel_w;
    FOR_EACH(i, (long long)rows * channels * area) {
        const int e = i % area, c = i / area % channels, m = i / area / channels;
        const T* from = folded + (((long long)c * rows + m) * tall + kernel_h - 1 - e / kernel_w) * wide + kernel_w - 1 -
                        e % kernel_w;
        T total = 0;
        for (int a = 0; a < scale_h; a++)
            for (int b = 0; b < scale_w; b++) total += from[a * wide + b];
        gw[i] = total;
    }
}
