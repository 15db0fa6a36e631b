// Convolution, its input gradient (the transposed convolution) and its weight gradient on a GPU.
//
// Each is a product of matrices that are never made; a block copies the parts it needs to shared memory, slab by slab,
// and tile.cuh multiplies them. Nothing is added up in an order that varies: every result is gathered by one thread.
//
//   convolve     rows m: output channels     columns: pixels q of all images     terms: channel c and tap t
//
//                   q q+1 ... q+BN-1                       a tap is where q looks, relative to it
//                  +-----------------+
//      8 channels  |  source at tap  |  <- gathered: neighbouring threads read neighbouring pixels
//                  +-----------------+
//      packed      |  y[m, q]        |  for each 8 channels all taps, so that the pixels of the next tap
//      weights     |                 |  are still in the first cache
//                  +-----------------+
//
//   correlate    rows: channels of gy        columns: (c, u, v) of the kernel    terms: pixels q of all images
//
// conv2d looks from output pixel q at q * stride + u * dilation - padding. The transposed convolution turns this
// round, for each phase of the output modulo the stride by itself: its pixel q * stride + phase looks at
//
//      (q * stride + phase + padding - u * dilation) / stride       for those u that make it whole,
//
// every `every`-th one (the stride over its greatest common divisor with the dilation). So the taps of one axis are an
// arithmetic progression either way, which `Axis` finds, and no zero between the pixels is ever multiplied.
//
// `convolve` takes the weights as packed[group][kernel element][channel][row], rows side by side and filled up with
// zeros to whole tiles; `pack` makes it, and upsample_conv's `fold`.
//
// Where there are too few tiles for the whole GPU, blocks share the sum of a tile: each writes its part to
// parts[split], and `reduce` adds them up in the order of the splits.
#include "tile.cuh"

// How the source's pixels come to shared memory
#define TAPS 0   // a slab is BK channels at one tap: a pixel's address is found once for all of them
#define FLAT 1   // a slab is any BK of the (tap, channel) pairs: for fewer channels than BK
#define POINT 2  // the kernel is 1x1 with stride 1 and no padding, and pixels come 16 bytes at a time
#ifndef GATHER
#define GATHER TAPS
#endif

// The taps of one axis: tap i is kernel element first + i * every, and looks at q * step + start + i * skip.
struct Axis {
    int first, every, count, start, skip, step;
};

__device__ __forceinline__ Axis axis(
    bool transposed, int kernel, int stride, int padding, int dilation, int every, int phase) {
    if (!transposed) return {0, 1, kernel, -padding, dilation, stride};
    int first = 0;
    while (first < kernel && (phase + padding - first * dilation) % stride != 0) first++;
    const int start = (phase + padding - first * dilation) / stride;
    return {first, every, (kernel - first + every - 1) / every, start, -(dilation * every / stride), 1};
}

__device__ __forceinline__ bool inside(int i, int size) { return (unsigned)i < (unsigned)size; }

// grid.x: row tiles, then pixel tiles, splits, phases and groups. parts: null if there is one split.
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT) convolve(
    const T* source, const T* packed, const T* bias, T* y, T* parts, int images, int groups, int channels, int height,
    int width, int rows, int padded_channels, int padded_rows, int out_height, int out_width, int q_height, int q_width,
    bool transposed, int kernel_h, int kernel_w, int stride_h, int stride_w, int padding_h, int padding_w,
    int dilation_h, int dilation_w, int every_h, int every_w, int splits, bool whole_runs) {
    alignas(16) __shared__ T a[2][BK][BM + PAD];
    alignas(16) __shared__ T b[2][BK][BN + PAD];
    const int thread = threadIdx.x;
    const long long q_plane = (long long)q_height * q_width, pixels = images * q_plane;
    const long long plane = (long long)height * width;

    // Which tile
    long long left = blockIdx.x;
    const int row_tiles = padded_rows / BM;
    const int top = left % row_tiles * BM;
    left /= row_tiles;
    const long long pixel_tiles = (pixels + BN - 1) / BN, begin = left % pixel_tiles * BN;
    left /= pixel_tiles;
    const int split = left % splits;
    left /= splits;
    const int phases = transposed ? stride_h * stride_w : 1, phase = left % phases, group = left / phases;
    const int phase_h = phase / stride_w, phase_w = phase % stride_w;
    __shared__ Axis axes[2];
    if (thread == 0) {
        axes[0] = axis(transposed, kernel_h, stride_h, padding_h, dilation_h, every_h, phase_h);
        axes[1] = axis(transposed, kernel_w, stride_w, padding_w, dilation_w, every_w, phase_w);
    }
    __syncthreads();
#if GATHER == FLAT
    const Axis v = axes[0], h = axes[1];  // needed at every slab
#else
    const Axis &v = axes[0], &h = axes[1];  // needed once a tap: carried in registers through all slabs they would spill
#endif

    // Which slabs of the sum. Channels follow each other, and all of them take turns before the next tap.
    const int taps = v.count * h.count;
    const int terms = taps * channels, per_tap = (channels + BK - 1) / BK;
    const long long slabs = GATHER == FLAT ? (terms + BK - 1) / BK : (long long)per_tap * taps;
    const int slab = slabs * split / splits;
    int todo = slabs * (split + 1) / splits - slab;

    // What this thread copies: packs of rows of a, and numbers (with POINT packs) of b, all at one pixel
    const int A_PACKS = BK * BM / PACK, A_EACH = (A_PACKS + THREADS - 1) / THREADS;
    const int WIDTH = GATHER == POINT ? PACK : 1, B_DOWN = THREADS / (BN / WIDTH);
    const int B_EACH = (BK + B_DOWN - 1) / B_DOWN;
    static_assert(THREADS % (BN / WIDTH) == 0, "a thread stays at its pixel");
    const int own = thread % (BN / WIDTH) * WIDTH, own_k = thread / (BN / WIDTH);
    const bool valid = begin + own < pixels;
    const long long image = valid ? (begin + own) / q_plane : 0;
    const int q = valid ? (begin + own) % q_plane : 0;
    const int q_row = q / q_width * v.step + v.start, q_column = q % q_width * h.step + h.start;  // looked at by tap 0
    const T* const pixel = source + (image * groups + group) * channels * plane;
    const T* const weights = packed + (long long)group * kernel_h * kernel_w * padded_channels * padded_rows + top;
    Incoming<WIDTH, B_EACH> incoming;

    // The row of `packed` where the kernel element of a tap begins
    auto element = [&](int tap) {
        return ((v.first + tap / h.count * v.every) * kernel_w + h.first + tap % h.count * h.every) *
               (long long)padded_channels;
    };
#if GATHER == FLAT
    int first_term = slab * BK;  // of the next slab
    auto load = [&](int buffer) {
#pragma unroll
        for (int i = 0; i < A_EACH; i++) {
            const int at = thread + i * THREADS, k = at / (BM / PACK), m = at % (BM / PACK) * PACK;
            if (A_PACKS % THREADS != 0 && at >= A_PACKS) break;
            const int term = first_term + k;
            copy<PACK>(&a[buffer][k][m], weights + m + (element(term / channels) + term % channels) * padded_rows,
                       term < terms);
        }
#pragma unroll
        for (int i = 0; i < B_EACH; i++) {
            const int k = own_k + i * B_DOWN, term = first_term + k, tap = term / channels, c = term - tap * channels;
            if (BK % B_DOWN != 0 && k >= BK) break;
            const int r = q_row + tap / h.count * v.skip, s = q_column + tap % h.count * h.skip;
            incoming.fetch(i, &b[buffer][k][own], pixel + c * plane + (long long)r * width + s,
                           valid && term < terms && inside(r, height) && inside(s, width));
        }
        first_term += BK;
    };
#else
    int tap = todo > 0 ? slab / per_tap : 0, c = todo > 0 ? slab % per_tap * BK : 0;  // of the next slab
    const T *from_a, *from_b;
    bool there;
    auto begin_tap = [&]() {
        const int r = q_row + tap / h.count * v.skip, s = q_column + tap % h.count * h.skip;
        there = valid && (GATHER == POINT || (inside(r, height) && inside(s, width)));
        from_b = pixel + (c + own_k) * plane + (long long)r * width + s;
        from_a = weights + (element(tap) + c + thread / (BM / PACK)) * padded_rows + thread % (BM / PACK) * PACK;
    };
    if (todo > 0) begin_tap();
    auto load = [&](int buffer) {
#pragma unroll
        for (int i = 0; i < A_EACH; i++) {
            const int at = thread + i * THREADS;
            if (A_PACKS % THREADS != 0 && at >= A_PACKS) break;
            copy<PACK>(&a[buffer][at / (BM / PACK)][at % (BM / PACK) * PACK],
                       from_a + i * (THREADS / (BM / PACK)) * padded_rows, true);
        }
#pragma unroll
        for (int i = 0; i < B_EACH; i++) {
            const int k = own_k + i * B_DOWN;
            if (BK % B_DOWN != 0 && k >= BK) break;
            incoming.fetch(i, &b[buffer][k][own], from_b + i * B_DOWN * plane, there && c + k < channels);
        }
        c += BK;
        from_a += BK * padded_rows;
        from_b += BK * plane;
        if (c >= channels && tap + 1 < taps) {
            c = 0;
            tap++;
            begin_tap();
        }
    };
#endif
    auto arrive = [&](int buffer) {
#pragma unroll
        for (int i = 0; i < B_EACH; i++) {
            if (BK % B_DOWN != 0 && own_k + i * B_DOWN >= BK) break;
            incoming.arrive(i, &b[buffer][own_k + i * B_DOWN][own]);
        }
        wait_for_copies();
    };

    T sums[TM][TN] = {};
    if (todo > 0) {
        load(0);
        arrive(0);
    }
    __syncthreads();
    for (int buffer = 0; todo > 0; todo--, buffer ^= 1) {
        if (todo > 1) load(buffer ^ 1);  // on its way while the slab before it is multiplied
        multiply(a[buffer], b[buffer], sums);
        if (todo > 1) arrive(buffer ^ 1);
        __syncthreads();
    }

    // The results, RUN pixels at a time
    const long long out_plane = (long long)out_height * out_width;
    T* out = parts ? parts + split * (images * groups * out_plane) * rows : y;
#pragma unroll
    for (int j = 0; j < TN; j += RUN) {
        const long long at = begin + column(j);
        if (at >= pixels) continue;
        const long long n = at / q_plane, p = at % q_plane;
        T* start = out + ((n * groups + group) * rows) * out_plane;
        long long to[RUN];  // from the start of the image's rows; -1: no such pixel
        to[0] = p;
#pragma unroll
        for (int e = 0; e < RUN && !whole_runs; e++) {
            const long long image_e = (at + e) / q_plane, p_e = (at + e) % q_plane;
            const int out_row = int(p_e / q_width) * (transposed ? stride_h : 1) + phase_h;
            const int out_column = int(p_e % q_width) * (transposed ? stride_w : 1) + phase_w;
            const bool there = at + e < pixels && out_row < out_height && out_column < out_width;
            to[e] = there ? (image_e - n) * groups * rows * out_plane + (long long)out_row * out_width + out_column : -1;
        }
#pragma unroll
        for (int i = 0; i < TM; i++) {
            const int m = top + row(i);
            if (m >= rows) continue;
            const T b0 = bias && !parts ? bias[group * rows + m] : T(0);
            Several<RUN> run;
#pragma unroll
            for (int e = 0; e < RUN; e++) run.v[e] = sums[i][j + e] + b0;
            if (whole_runs) {
                *(Several<RUN>*)(start + m * out_plane + to[0]) = run;
            } else {
#pragma unroll
                for (int e = 0; e < RUN; e++)
                    if (to[e] >= 0) start[m * out_plane + to[e]] = run.v[e];
            }
        }
    }
}

// packed[group][kernel element][channel][row] = w[group][row][channel][element] by these strides; zeros fill it up. A
// thread takes all elements of one channel and row: they lie together in w, and neighbouring rows in packed. for_tf32:
// rounded as tensor cores take them.
extern "C" __global__ void pack(
    const T* w, T* packed, int groups, int elements, int channels, int padded_channels, int rows, int padded_rows,
    long long group_stride, long long row_stride, long long channel_stride, bool for_tf32) {
    FOR_EACH(i, (long long)groups * padded_channels * padded_rows) {
        const int m = i % padded_rows, c = i / padded_rows % padded_channels, group = i / padded_rows / padded_channels;
        const T* from = w + group * group_stride + m * row_stride + c * channel_stride;
        T* to = packed + ((long long)group * elements * padded_channels + c) * padded_rows + m;
        for (int e = 0; e < elements; e++, to += (long long)padded_channels * padded_rows) {
            const T value = m < rows && c < channels ? from[e] : T(0);
            *to = for_tf32 ? tf32(value) : value;
        }
    }
}

// y[i] = bias of i's channel + parts[0][i] + parts[1][i] + ..., in this order. Element i is of channel
// i / plane % channels.
extern "C" __global__ void reduce(
    const T* parts, const T* bias, T* y, long long count, int splits, int channels, long long plane) {
    FOR_EACH(i, count) {
        T total = bias ? bias[i / plane % channels] : T(0);
        for (int s = 0; s < splits; s++) total += parts[s * count + i];
        y[i] = total;
    }
}

#include "correlate.cuh"
#include "thin.cuh"
